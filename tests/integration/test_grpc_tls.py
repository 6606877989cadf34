"""TLS towards the log service: who is trusted, what is said when not, and renewal on both sides."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from logbridge import AsyncLogServiceClient
from logbridge.adapters import renewed
from logbridge.adapters.certificates import PemFiles
from logbridge.adapters.grpc.sink import GrpcSink
from logbridge.adapters.memory import MemorySink
from logbridge.domain.entry import EntryMaker
from logbridge.domain.outcome import Accepted, Cause, Failed
from logbridge.domain.query import LogFilter
from logbridge.entrypoints.log_service import LogServiceServer
from tests.certificates import LONG_AGO, Authority, replace
from tests.factories import make_entry, soon
from tests.integration.field_peer import FieldPeer
from tests.integration.processes import end, free_port, log_service
from tests.integration.served import until
from tests.integration.test_grpc_sink import sink_to
from tests.sink_contract import SinkContract

MAKER = EntryMaker("default-service", 262_144, 64, lambda: "2024-08-30T10:30:45.000000Z", lambda: "made-id")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look at the files is too early."""
    monkeypatch.setattr(renewed, "LOOK_EVERY_S", 0.0)


@contextlib.asynccontextmanager
async def serving(store: MemorySink, tls: PemFiles | None) -> AsyncIterator[str]:
    """Our log service; gives its address."""
    server = LogServiceServer(store, host="127.0.0.1", port=0, maker=MAKER, tls=tls)
    await server.start()
    try:
        yield f"localhost:{server.port}"
    finally:
        await server.stop(0)


async def written(sink: GrpcSink) -> Any:
    """What becomes of one entry."""
    (outcome,) = await sink.write([make_entry()], deadline=soon())
    return outcome


def connections_to(address: str) -> int:
    """How many TCP connections lead there from this machine."""
    port, established = f"{int(address.rpartition(':')[2]):04X}", "01"
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    return sum(row[2].endswith(f":{port}") and row[3] == established for row in rows)


class TestOverTls(SinkContract):
    """The contract of a sink, with certificates on both sides."""

    @pytest.fixture
    async def sink(self, authority: Authority) -> AsyncIterator[GrpcSink]:
        both = authority.issue("service", ca=authority.ca), authority.issue("bridge", "b", ca=authority.ca)
        async with serving(MemorySink(), both[0]) as address, sink_to(address, tls=both[1]) as sink:
            yield sink


@pytest.mark.parametrize(
    ("service", "bridge", "why"),
    [
        ("own", "stranger's ca", "its certificate is of no CA that is trusted here, see LOGBRIDGE_SINK_CA"),
        ("own", "no ca", "its certificate is of no CA that is trusted here, see LOGBRIDGE_SINK_CA"),
        ("other name", "ca", "its certificate is for another name than this"),
        ("plain", "ca", "it speaks no TLS: grpc:// and otlp:// are for peers without it"),
        (
            "own",
            "plain",
            "no connection: it hung up; does it want TLS (grpcs://, otlps://), or see LOGBRIDGE_SINK_CERT?",
        ),
        (
            "asks",
            "ca",
            "no connection: it hung up; does it want TLS (grpcs://, otlps://), or see LOGBRIDGE_SINK_CERT?",
        ),
        (
            "asks",
            "stranger",
            "no connection: it hung up; does it want TLS (grpcs://, otlps://), or see LOGBRIDGE_SINK_CERT?",
        ),
    ],
)
async def test_no_trust_no_write(
    tmp_path: Path, authority: Authority, service: str, bridge: str, why: str
) -> None:
    """A handshake that fails is known not to have written, and says why; nothing falls back to plain text."""
    other = Authority(tmp_path, "other")
    services = {
        "own": authority.issue("own"),
        "other name": authority.issue("elsewhere", "elsewhere.example"),
        "asks": authority.issue("asks", ca=authority.ca),
        "plain": None,
    }
    bridges = {
        "ca": PemFiles(ca=authority.ca),
        "no ca": PemFiles(),
        "stranger's ca": PemFiles(ca=other.ca),
        "stranger": other.issue("stranger", "b", ca=authority.ca),
        "plain": None,
    }
    store = MemorySink()
    async with serving(store, services[service]) as address, sink_to(address, tls=bridges[bridge]) as sink:
        outcome = await written(sink)
        health = await sink.check()
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.reason) == (Cause.UNAVAILABLE, f"{address}: {why}")
    assert (health.reachable, health.detail, store.entries) == (False, f"{address}: {why}", [])


async def test_a_peer_with_an_old_certificate(authority: Authority) -> None:
    """A certificate that has expired since is told as that; ours does not start with one."""
    async with FieldPeer(tls=authority.issue("old", dates=LONG_AGO)) as peer:
        port = peer.address.rpartition(":")[2]
        async with sink_to(f"localhost:{port}", tls=PemFiles(ca=authority.ca)) as sink:
            assert (await written(sink)).reason == f"localhost:{port}: its certificate has expired"


@pytest.mark.usefixtures("looks_always")
async def test_the_log_service_renews(tmp_path: Path, authority: Authority) -> None:
    """New connections see the new certificate, and calls on the old ones go on."""
    files, next_one = authority.issue("service"), Authority(tmp_path, "next")
    store = MemorySink()
    async with serving(store, files) as address, sink_to(address, tls=PemFiles(ca=authority.ca)) as old:
        assert isinstance(await written(old), Accepted)
        next_one.issue("service")
        async with sink_to(address, tls=PemFiles(ca=next_one.ca)) as new:
            assert isinstance(await written(new), Accepted)
        assert isinstance(await written(old), Accepted)
        replace(files.key, b"broken")
        async with sink_to(address, tls=PemFiles(ca=next_one.ca)) as new:
            assert isinstance(await written(new), Accepted)
    assert len(store.entries) == 4


@pytest.mark.usefixtures("looks_always")
async def test_the_log_service_renews_its_clients_ca(tmp_path: Path, authority: Authority) -> None:
    """Who has a certificate of the new CA is let in, and who has one of the old CA no more."""
    next_one = Authority(tmp_path, "next")
    old, new = (
        authority.issue("old", "b", ca=authority.ca),
        next_one.issue("new", "b", ca=str(tmp_path / "both.pem")),
    )
    shutil.copyfile(authority.ca, new.ca)
    async with serving(MemorySink(), authority.issue("service", ca=authority.ca)) as address:
        shutil.copyfile(next_one.ca, authority.ca)
        async with sink_to(address, tls=new) as sink:
            assert isinstance(await written(sink), Accepted)
        shutil.copyfile(new.ca, authority.ca)
        async with sink_to(address, tls=old) as sink:
            assert isinstance(await written(sink), Accepted)
        async with sink_to(address, tls=new) as sink:
            assert isinstance(await written(sink), Failed)


@pytest.mark.usefixtures("looks_always")
async def test_the_bridge_renews(tmp_path: Path, authority: Authority) -> None:
    """New calls take a channel with the new files, a follow goes on with the old ones; broken ones wait."""
    service = authority.issue("service", ca=authority.ca)
    bridge = authority.issue("bridge", "b", ca=authority.ca)
    store = MemorySink()
    async with serving(store, service) as address, sink_to(address, tls=bridge) as sink:
        following = sink.follow(LogFilter())
        assert (await anext(following)).entry is None
        authority.issue("bridge", "b")
        outcome = await written(sink)
        assert isinstance(outcome, Accepted)
        followed = await anext(following)
        assert followed.entry is not None
        assert followed.entry.id == outcome.log_id
        replace(bridge.key, b"broken")
        assert isinstance(await written(sink), Accepted)
        await following.aclose()


@pytest.mark.usefixtures("looks_always")
async def test_a_bridge_that_renews_takes_its_call_to_the_end(authority: Authority) -> None:
    """A write that waits for its answer gets it, though new calls go another way; then the old one closes."""
    bridge = authority.issue("bridge", "b", ca=authority.ca)
    async with FieldPeer(tls=authority.issue("service")) as peer:
        address = f"localhost:{peer.address.rpartition(':')[2]}"
        async with sink_to(address, tls=bridge) as sink:
            peer.gate.clear()
            waiting = asyncio.ensure_future(written(sink))
            await peer.entered.wait()
            authority.issue("bridge", "b")
            assert (await sink.check()).reachable
            assert connections_to(address) == 2
            peer.gate.set()
            assert isinstance(await waiting, Accepted)
            await until(lambda: connections_to(address) == 1)


async def test_names_in_handshakes_are_not_told(tmp_path: Path, authority: Authority) -> None:
    """The server name that a stranger sends, line breaks and all, does not get into the service's output."""
    tls = authority.issue("own")
    settings = {"LOGBRIDGE_SERVICE_TLS_CERT": tls.chain, "LOGBRIDGE_SERVICE_TLS_KEY": tls.key}
    stranger = authority.trusted()
    stranger.check_hostname = False
    with log_service(tmp_path, port := free_port(), **settings) as service:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=stranger, server_hostname="a\n2026-01-01 INFO forged"
        )
        writer.close()
        assert "forged" not in end(service)[1]


async def test_the_python_surface(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    """A client with a grpcs address uses the files of the settings; one with a plain address does not."""
    monkeypatch.setenv("LOGBRIDGE_SINK_CA", authority.ca)
    async with serving(MemorySink(), authority.issue("own")) as safe, serving(MemorySink(), None) as plain:
        for address in (f"grpcs://{safe}", plain):
            async with AsyncLogServiceClient(address) as client:
                assert (await client.write_log("m"))["error_message"] == ""
