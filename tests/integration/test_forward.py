"""``logbridge forward`` as a process: its probes, its metrics, its stop."""

import asyncio
import contextlib
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from logbridge.adapters.jetstream.connection import Access
from logbridge.adapters.jetstream.spool import JetStreamSpool
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted
from logbridge.domain.policy import QueuePolicy
from tests.factories import make_entry, soon
from tests.integration.field_peer import FieldPeer
from tests.integration.nats_servers import NEEDS_NATS, NatsServer, nats_server, spool_url
from tests.integration.processes import (
    bridge,
    end,
    free_port,
    held_port,
    log_service,
    read_until,
    start,
    tells_of_a_fault,
    until,
)
from tests.integration.served import API, DEADLINE_S, Served

pytestmark = NEEDS_NATS


class Worker(NamedTuple):
    """A running ``logbridge forward``, and a client of it."""

    process: subprocess.Popen[str]
    client: httpx.Client

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        found = re.search(rf"^{name} ([\d.e+-]+)$", self.client.get("/metrics").text, re.M)
        assert found, name
        return float(found[1])

    def ready(self) -> bool:
        return self.client.get("/readyz").status_code == 200


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server with JetStream and nothing in it."""
    with nats_server(tmp_path / "nats") as server:
        yield server


@contextlib.contextmanager
def worker(
    folder: Path, server: NatsServer, port: int, before: Sequence[str] = (), **variables: str
) -> Iterator[Worker]:
    """A worker in front of the log service at this port, killed if the test leaves it running."""
    places = {"LOGBRIDGE_SPOOL": spool_url([server]), "LOGBRIDGE_SINK": f"grpc://127.0.0.1:{port}"}
    process = start(folder, "forward", before=before, **places, **variables)
    try:
        assert process.stderr is not None
        url = read_until(process.stderr, r"forwards from .* at (http://[\d.:]+)")[1]
        with httpx.Client(base_url=url, timeout=60) as client:
            yield Worker(process, client)
    finally:
        end(process, signal.SIGKILL)


def test_a_worker_is_watched(server: NatsServer, tmp_path: Path) -> None:
    """Probes and metrics say what it does, with the log service and the stream there, away and back."""
    with held_port() as port, worker(tmp_path, server, port) as one:
        assert one.client.get("/livez").json() == {"status": "alive"}
        until(lambda: "127.0.0.1" in one.client.get("/readyz").json().get("detail", ""))
        with (
            log_service(tmp_path, port),
            bridge(
                tmp_path,
                f"grpc://127.0.0.1:{port}",
                LOGBRIDGE_ACK="durable",
                LOGBRIDGE_SPOOL=spool_url([server], deliver="false"),
            ) as entrance,
        ):
            until(one.ready)
            assert entrance.write("hello").status_code == 202
            until(lambda: entrance.stored() == ["hello"])
            until(lambda: one.metric("logbridge_spool_delivered_logs_total") == 1)
            assert one.metric("logbridge_spool_logs") == 0
            assert one.metric("logbridge_upstream_call_logs_count") >= 1
            server.kill()
            until(lambda: "stream cannot be read" in one.client.get("/readyz").json().get("detail", ""))
            until(lambda: one.metric("logbridge_spool_readable") == 0)
            assert one.client.get("/livez").status_code == 200
            server.start()
            server.wait()
            until(one.ready)


def test_a_worker_has_nothing_else(server: NatsServer, tmp_path: Path) -> None:
    """Nothing of the API is there, and what there is takes no other method; both are told as problems."""
    with worker(tmp_path, server, free_port()) as one:
        for path in ("/", f"{API}/write", f"{API}/stats", "/docs", "/console", "/openapi.json"):
            answer = one.client.get(path)
            assert (answer.status_code, answer.json()["status"]) == (404, 404), path
            assert "/livez, /readyz, /metrics" in answer.json()["detail"]
        assert one.client.post("/metrics").headers["allow"] == "GET, HEAD"


def test_metrics_ask_for_a_key_as_at_a_bridge(server: NatsServer, tmp_path: Path) -> None:
    """With keys they need the scope read; probes need none. Without, forwarded callers are strangers."""
    keys = str(tmp_path / "keys.json")
    made = start(tmp_path, "key", "create", "prom", "--scope", "read", LOGBRIDGE_KEYS_FILE=keys)
    out, err = made.communicate(timeout=60)
    assert made.returncode == 0, err
    with worker(tmp_path, server, free_port(), LOGBRIDGE_KEYS_FILE=keys) as one:
        assert one.client.get("/metrics").status_code == 401
        assert one.client.get("/metrics", headers={"X-API-Key": out.strip()}).status_code == 200
        assert one.client.get("/livez").status_code == 200
    with worker(tmp_path, server, free_port()) as one:
        assert one.client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 403


@pytest.fixture
async def busy(server: NatsServer, tmp_path: Path) -> AsyncIterator[tuple[FieldPeer, Worker]]:
    """A worker whose batch is under way at a log service that does not answer yet."""
    async with FieldPeer() as peer:
        peer.gate.clear()
        await keep(server, make_entry(message="hello"))
        port = int(peer.address.rpartition(":")[2])
        with worker(tmp_path, server, port, LOGBRIDGE_ATTEMPT_TIMEOUT_S="60") as one:
            await asyncio.wait_for(peer.entered.wait(), DEADLINE_S)
            yield peer, one


async def keep(server: NatsServer, entry: LogEntry) -> None:
    """Put an entry into the stream, as a bridge does."""
    spool = JetStreamSpool(QueuePolicy((server.address,)), Access(), 2**28)
    (outcome,) = await spool.append([entry], deadline=soon())
    await spool.aclose()
    assert outcome == Accepted(entry.id, spooled=True)


async def stop(one: Worker, number: signal.Signals) -> None:
    """Send the signal; returns once nobody listens any more."""
    one.process.send_signal(number)
    await Served(one.process, str(one.client.base_url)).refuses()  # type: ignore[arg-type]  # only its port is used


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_stop_finishes_the_batch_under_way(
    busy: tuple[FieldPeer, Worker], server: NatsServer, number: signal.Signals
) -> None:
    """It listens no more, waits for the answer, tells the stream, and ends with 0; also with its terminal."""
    peer, one = busy
    await stop(one, number)
    peer.gate.set()
    code, err = await asyncio.to_thread(end_of, one.process)
    assert (code, tells_of_a_fault(err)) == (0, False), err
    assert [entry.message for entry in peer.stored] == ["hello"]
    spool = JetStreamSpool(QueuePolicy((server.address,)), Access(), 2**28)
    # The stream was told, and was not waited for.
    while (await spool.status()).waiting:
        pass
    await spool.aclose()


async def test_a_second_signal_ends_it_at_once(busy: tuple[FieldPeer, Worker]) -> None:
    """The batch under way is not waited for any more; a terminal that ends says so twice, and that is one."""
    _, one = busy
    await stop(one, signal.SIGHUP)
    one.process.send_signal(signal.SIGHUP)
    one.process.send_signal(signal.SIGTERM)
    code, err = await asyncio.to_thread(end_of, one.process)
    assert code == -signal.SIGTERM, err


def test_nohup_outlives_its_terminal(server: NatsServer, tmp_path: Path) -> None:
    """SIGHUP that is ignored at the start stays so, and is no first signal."""
    with worker(tmp_path, server, free_port(), before=("nohup",)) as one:
        one.process.send_signal(signal.SIGHUP)
        assert one.client.get("/livez").status_code == 200
        one.process.send_signal(signal.SIGTERM)
        code, err = end_of(one.process)
        assert code == 0, err


def test_a_taken_port_is_one_line(server: NatsServer, tmp_path: Path) -> None:
    """The setting is named, and nothing else is told."""
    port = server.port
    process = start(tmp_path, "forward", "--forward-port", str(port), LOGBRIDGE_SPOOL=spool_url([server]))
    code, err = end_of(process)
    assert code == 2
    assert f"LOGBRIDGE_FORWARD_PORT={port}: is taken by another program" in err


def end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and the words of a process that ends by itself."""
    _, err = process.communicate(timeout=60)
    return process.returncode, err
