"""Several log services behind one bridge: real gRPC, real processes, one of them killed."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from httpx_sse import connect_sse

from logbridge.adapters.memory import MemorySink
from logbridge.domain.measures import Measures
from logbridge.domain.outcome import Accepted
from logbridge.domain.ports import LogSink
from logbridge.entrypoints.container import Container, close
from logbridge.entrypoints.settings import Settings
from logbridge.entrypoints.sinks import open_sink
from tests.cluster.services import Services, run
from tests.factories import make_entry, soon
from tests.integration.processes import Bridge, bridge, free_port, held_port, log_service, until
from tests.integration.served import API
from tests.integration.test_bad_times import own_hosts
from tests.integration.test_grpc_sink import serving
from tests.sink_contract import SinkContract

SERVICES = 3


@contextlib.asynccontextmanager
async def three_stores() -> AsyncIterator[tuple[list[MemorySink], list[int]]]:
    """Three log services of this process, and their ports."""
    stores = [MemorySink() for _ in range(SERVICES)]
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving(store)) for store in stores]
        yield stores, [server.port for server in servers]


def url_of(ports: Sequence[int]) -> str:
    """All of them as LOGBRIDGE_SINK has them."""
    return "grpc://" + ",".join(f"127.0.0.1:{port}" for port in ports)


class TestSeveralServices(SinkContract):
    """The contract over three log services at once, read back merged."""

    one_store = False

    @pytest.fixture
    async def sink(self) -> AsyncIterator[LogSink]:
        async with three_stores() as (_, ports):
            sink = open_sink(Settings(sink=url_of(ports)), Measures())
            yield sink
            await sink.aclose()


class TestChainOverSeveralServices(SinkContract):
    """The contract over the whole chain of delivered writes, as the container makes it."""

    reads_back = False
    follows = False

    @pytest.fixture
    async def sink(self) -> AsyncIterator[LogSink]:
        async with three_stores() as (_, ports):
            container = Container(Settings(sink=url_of(ports)))
            yield container.delivered
            await close(container)


async def test_a_connection_is_renewed_through_a_load_balancer() -> None:
    """One address with two log services behind it: a new connection takes over, and the other one has work.

    No call fails on the way.
    """
    stores = [MemorySink(), MemorySink()]
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving(store)) for store in stores]
        balancer = await stack.enter_async_context(round_robin([server.port for server in servers]))
        sink = open_sink(
            Settings(sink=f"grpc://127.0.0.1:{balancer.port}", sink_connection_age_s=0.05), Measures()
        )
        async with asyncio.timeout(30):
            while not all(store.entries for store in stores):
                (outcome,) = await sink.write([make_entry()], deadline=soon())
                assert isinstance(outcome, Accepted)
        await sink.aclose()


async def test_a_connection_that_cannot_be_renewed_stays() -> None:
    """Where no further connection comes about, calls go on over the one that is there."""
    nobody = [free_port()] * 50
    async with serving(MemorySink()) as server, round_robin([server.port, *nobody]) as balancer:
        sink = open_sink(
            Settings(sink=f"grpc://127.0.0.1:{balancer.port}", sink_connection_age_s=0.05), Measures()
        )
        async with asyncio.timeout(30):
            while balancer.connections < 2:
                (outcome,) = await sink.write([make_entry()], deadline=soon())
                assert isinstance(outcome, Accepted)
        for _ in range(20):
            (outcome,) = await sink.write([make_entry()], deadline=soon())
            assert isinstance(outcome, Accepted)
        await sink.aclose()


class Balancer:
    """A TCP load balancer: the first connection goes to the first port, the next one to the next."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.connections = 0
        self.port = 0
        self._ports = ports

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand on both ways; a port at which nobody listens ends the connection."""
        port = self._ports[self.connections % len(self._ports)]
        self.connections += 1
        try:
            there, back = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            writer.close()
            return
        await asyncio.gather(_pipe(reader, back), _pipe(there, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def round_robin(ports: Sequence[int]) -> AsyncIterator[Balancer]:
    """A running one."""
    balancer = Balancer(ports)
    server = await asyncio.start_server(balancer.connected, "127.0.0.1", 0)
    balancer.port = server.sockets[0].getsockname()[1]
    async with server:
        yield balancer


def test_one_of_three_is_killed_under_load(tmp_path: Path) -> None:
    """kill -9 and a return: nothing that was acknowledged is lost, nothing is stored twice."""
    ledger = run(tmp_path, 0, print)
    assert (ledger.lost, ledger.doubled) == (0, 0)
    assert ledger.acknowledged >= 2400


def test_the_addresses_of_a_name_are_followed(tmp_path: Path) -> None:
    """A log service that the name has gained gets logs, one that it has lost gets none; no write fails.

    The name is in a hosts file, which the bridge alone sees.
    """
    one, two = tmp_path / "one", tmp_path / "two"
    with contextlib.ExitStack() as stack:
        name, before = stack.enter_context(own_hosts(tmp_path))
        name("127.0.0.1 logs.test")
        port = stack.enter_context(held_port())
        for folder, host in ((one, "127.0.0.1"), (two, "127.0.0.2")):
            folder.mkdir()
            stack.enter_context(log_service(folder, port, host))
        sink = f"grpc+dns://logs.test:{port}"
        settings = {"LOGBRIDGE_SINK_RESOLVE_S": "0.05", "LOGBRIDGE_OPEN": "read"}
        entrance = stack.enter_context(bridge(tmp_path, sink, before=before, **settings))

        def write() -> None:
            assert entrance.write("log").status_code == 200

        write()
        assert (stored_in(one), stored_in(two)) == (1, 0)
        name("127.0.0.1 logs.test\n127.0.0.2 logs.test")
        until_after(write, lambda: stored_in(two))
        name("127.0.0.2 logs.test")
        upstream = entrance.client.get
        until_after(write, lambda: upstream(f"{API}/stats").json()["upstream"]["services"] == 1)
        kept = stored_in(one)
        for _ in range(10):
            write()
        assert stored_in(one) == kept


def stored_in(folder: Path) -> int:
    """How many logs a log service has."""
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'logs.db'}?mode=ro", uri=True)) as store:
        (count,) = store.execute("SELECT count(*) FROM logs").fetchone()
    return int(count)


def until_after(act: Callable[[], object], true: Callable[[], object]) -> None:
    """Act again and again until it is true."""

    def acted() -> object:
        act()
        return true()

    until(acted)


def test_with_one_away_logs_are_read_from_the_others(tmp_path: Path) -> None:
    """A query says whose logs are missing; an export, which is to be whole, is refused with that reason."""
    with Services(tmp_path) as services, bridge(tmp_path, services.url, LOGBRIDGE_OPEN="read") as entrance:
        for number in range(30):
            assert entrance.write(f"log {number}").status_code == 200
        whole = entrance.client.get(f"{API}/query").json()
        assert (whole["total_count"], "missing" in whole) == (30, False)
        services.kill(0)
        part = entrance.client.get(f"{API}/query").json()
        assert 0 < part["total_count"] < 30
        (missing,) = part["missing"]
        assert f"127.0.0.1:{services.ports[0]}" in missing
        histogram = entrance.client.get(f"{API}/histogram").json()
        assert histogram["total_count"] == part["total_count"]
        (missing,) = histogram["missing"]
        assert f"127.0.0.1:{services.ports[0]}" in missing
        export = entrance.client.get(f"{API}/export")
        assert export.status_code == 503
        assert "not all logs can be read now" in export.json()["detail"]
        until(lambda: "2 of 3 log services" in entrance.client.get(f"{API}/health").text)


def test_a_tail_of_several_goes_on_after_a_break(tmp_path: Path) -> None:
    """The place that an event names holds in all of them: what came meanwhile is there, each log once."""
    with Services(tmp_path) as services, bridge(tmp_path, services.url, LOGBRIDGE_OPEN="read") as entrance:
        first, place = tailed(entrance, "", 5, lambda: [entrance.write(f"first {n}") for n in range(5)])
        assert first == {f"first {n}" for n in range(5)}
        for number in range(5):
            entrance.write(f"meanwhile {number}")
        second, _ = tailed(entrance, place, 5)
        assert second == {f"meanwhile {n}" for n in range(5)}


def tailed(
    entrance: Bridge, place: str, count: int, meanwhile: Callable[[], object] | None = None
) -> tuple[set[str], str]:
    """The messages of so many events, and the place after them. meanwhile: runs once the tail has begun."""
    headers = {"Last-Event-ID": place} if place else {}
    seen: set[str] = set()
    with connect_sse(entrance.client, "GET", f"{API}/tail", headers=headers) as source:
        for event in source.iter_sse():
            place = event.id or place
            if event.data:
                seen.add(event.json()["message"])
            elif meanwhile:
                threading.Thread(target=meanwhile).start()
            if len(seen) == count:
                break
    return seen, place
