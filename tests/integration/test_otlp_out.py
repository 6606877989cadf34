"""A bridge of its own process in front of OTLP receivers: what gets there, also when they are killed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.integration.otlp_collector import GrpcCollector
from tests.integration.processes import bridge, free_port, start
from tests.integration.served import API
from tests.integration.test_otlp_sinks import WAYS, collector

SCHEMES = {"grpc": "otlp", "http": "otlp+http"}
LOG = {
    "message": "async test log 中文 😀",
    "service_name": "shop",
    "level": "WARN",
    "timestamp": "2024-08-30T10:30:45.123456Z",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "span_id": "00f067aa0ba902b7",
    "log_id": "0191a2b3-0000-7000-8000-000000000001",
    "metadata": {"user_id": "user123", "nested": {"a": [1, 2.5, None, True]}},
}


async def in_thread(work: Any, *arguments: Any, **keywords: Any) -> Any:
    """What talks to another process does not keep the receiver in this loop from answering."""
    return await asyncio.to_thread(work, *arguments, **keywords)


@pytest.mark.parametrize("way", WAYS)
async def test_a_write_is_at_the_receiver(way: str, tmp_path: Path) -> None:
    """What a program posts is at the receiver before the answer, field by field, with key and headers."""
    async with collector(way) as peer:

        def talk() -> list[Any]:
            sink = f"{SCHEMES[way]}://127.0.0.1:{peer.port}"
            variables = {"LOGBRIDGE_SINK_KEY": "s3cret", "LOGBRIDGE_SINK_HEADERS": "X-Tenant=a%2Cb"}
            with bridge(tmp_path, sink, LOGBRIDGE_OPEN="read,test", **variables) as running:
                client = running.client
                return [
                    client.get(f"{API}/health"),
                    client.post(f"{API}/write", json=LOG),
                    client.post(
                        f"{API}/batch", json={"log_entries": [{"message": f"log {n}"} for n in range(50)]}
                    ),
                    client.get(f"{API}/query"),
                    client.get(f"{API}/stats"),
                ]

        health, write, batch, query, stats = await in_thread(talk)
    assert health.status_code == 200, health.text
    where = f"127.0.0.1:{peer.port}" + ("/v1/logs" if way == "http" else "")
    assert health.json()["service_info"]["grpc_server"] == where
    assert write.json() == {"success": True, "log_id": LOG["log_id"], "error_message": ""}
    assert batch.json()["success_count"] == 50
    assert query.status_code == 501
    assert stats.json()["upstream"]["address"] == f"{SCHEMES[way]}://127.0.0.1:{peer.port}"
    entry = next(entry for entry in peer.entries if entry.id == LOG["log_id"])
    assert (entry.message, entry.service_name, entry.level.name) == (LOG["message"], "shop", "WARN")
    assert (entry.timestamp, entry.trace_id, entry.span_id) == (
        LOG["timestamp"],
        LOG["trace_id"],
        LOG["span_id"],
    )
    assert entry.metadata == {"user_id": "user123", "nested": '{"a":[1,2.5,null,true]}'}
    assert len(peer.entries) == 51
    assert peer.headers[-1]["authorization"] == "Bearer s3cret"
    assert peer.headers[-1]["x-tenant"] == "a,b"


@pytest.mark.parametrize("way", WAYS)
async def test_over_tls(way: str, tmp_path: Path) -> None:
    """otlps:// and otlp+https:// check the receiver with LOGBRIDGE_SINK_CA."""
    authority = Authority(tmp_path)
    async with collector(way, tls=authority.issue("receiver")) as peer:
        sink = f"{SCHEMES[way]}s://localhost:{peer.port}"

        def talk() -> Any:
            with bridge(tmp_path, sink, LOGBRIDGE_SINK_CA=authority.ca) as running:
                return running.write("by TLS")

        answer = await in_thread(talk)
    assert answer.json()["success"], answer.text
    assert peer.messages == ["by TLS"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_receiver_that_is_killed_loses_nothing(way: str, tmp_path: Path) -> None:
    """Killed and started again under load, with a spool: every log that was acknowledged gets there."""
    peer = collector(way)
    await peer.start(port := free_port())
    acknowledged: list[str] = []
    running_load = asyncio.Event()
    loop = asyncio.get_running_loop()

    def load() -> None:
        sink = f"{SCHEMES[way]}://127.0.0.1:{port}"
        with bridge(tmp_path, sink, LOGBRIDGE_ACK="durable") as running:
            for number in range(300):
                answer = running.write(f"log {number}")
                assert answer.status_code == 202, answer.text
                acknowledged.append(f"log {number}")
                if number == 20:
                    loop.call_soon_threadsafe(running_load.set)
            asyncio.run_coroutine_threadsafe(everything(), loop).result(60)

    async def everything() -> None:
        while not set(acknowledged) <= set(peer.messages):  # noqa: ASYNC110 (another process has no event)
            await asyncio.sleep(0.02)

    loading = asyncio.ensure_future(in_thread(load))
    await asyncio.wait([asyncio.ensure_future(running_load.wait()), loading], return_when="FIRST_COMPLETED")
    for peer.keeps_first in (True, False, True):
        # With requests in its hands that it answers no more, whether it has kept them or not.
        peer.gate.clear()
        peer.entered.clear()
        await peer.entered.wait()
        await peer.stop()
        peer.gate.set()
        await peer.start(port)
    await loading
    await peer.stop()
    assert len(acknowledged) == 300
    assert set(acknowledged) == set(peer.messages)
    assert len(peer.messages) > 300, "what it kept and did not answer goes again"


@pytest.mark.parametrize("way", WAYS)
async def test_the_spool_gets_past_a_record_that_is_rejected(way: str, tmp_path: Path) -> None:
    """With a spool the rejected record becomes a dead letter with its reason, and all the others get in."""
    async with collector(way, rejects=lambda message: message == "bad") as peer:
        entries = [{"message": "bad" if number == 7 else f"log {number}"} for number in range(20)]
        wanted = {f"log {number}" for number in range(20)} - {"log 7"}

        def talk() -> None:
            sink = f"{SCHEMES[way]}://127.0.0.1:{peer.port}"
            with bridge(tmp_path, sink, LOGBRIDGE_ACK="durable", LOGBRIDGE_OPEN="read") as running:
                answer = running.client.post(f"{API}/batch", json={"log_entries": entries})
                assert answer.json()["success_count"] == 20
                dead = 0
                while not (wanted <= set(peer.messages) and dead):
                    dead = running.client.get(f"{API}/stats").json()["spool"]["dead_letters"]

        async with asyncio.timeout(60):
            await in_thread(talk)
        with start(tmp_path, "spool", "list", LOGBRIDGE_ACK="durable") as listing:
            shown, _ = await in_thread(listing.communicate)
    assert set(peer.messages) == wanted
    assert "body too strange" in " ".join(shown.split())


async def test_check_direct(tmp_path: Path) -> None:
    """`logbridge check direct` tests the way to the receiver that the settings name."""
    async with GrpcCollector() as peer:
        sink = f"otlp://127.0.0.1:{peer.port}"
        patient = dict.fromkeys(("LOGBRIDGE_REQUEST_TIMEOUT_S", "LOGBRIDGE_ATTEMPT_TIMEOUT_S"), "120")
        with start(tmp_path, "check", "direct", LOGBRIDGE_SINK=sink, **patient) as checking:
            out, err = await in_thread(checking.communicate)
    assert checking.returncode == 0, out + err
    assert "4 passed, 0 failed" in out
    assert len(peer.messages) == 1 + 1000 + 500 + 5000


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"LOGBRIDGE_SINK": "otlp://collector"},
            "LOGBRIDGE_SINK=otlp://collector: allowed are grpc://host:port",
        ),
        (
            {"LOGBRIDGE_SINK": "grpc://localhost:1", "LOGBRIDGE_SINK_HEADERS": "a=s3cret"},
            "LOGBRIDGE_SINK_HEADERS=(set): is for OTLP receivers",
        ),
        (
            {"LOGBRIDGE_SINK": "otlp+http://localhost:1", "LOGBRIDGE_SINK_CA": "ca.pem"},
            "LOGBRIDGE_SINK_CA=ca.pem: is for grpcs://host:port, grpcs+dns://name:port, otlps://host:port and otlp+https://",
        ),
    ],
)
def test_one_line_for_a_wrong_setting(variables: dict[str, str], words: str, tmp_path: Path) -> None:
    """A setting that cannot be stops the start with one line, which shows no secret."""
    with start(tmp_path, "serve", "--port", "0", **variables) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert words in err
    assert "s3cret" not in err
    assert len(err.strip().splitlines()) == 1
