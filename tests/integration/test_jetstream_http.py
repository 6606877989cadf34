"""A bridge over HTTP in front of a real stream: full and with room again, and the way of a dead letter."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from grpc import StatusCode

from tests.integration.field_peer import FieldPeer, Status
from tests.integration.nats_servers import NEEDS_NATS, NatsServer, nats_server, spool_url
from tests.integration.processes import DEADLINE_S, Bridge, bridge, free_port, log_service, start, until
from tests.integration.served import API

pytestmark = NEEDS_NATS
# The least that LOGBRIDGE_SPOOL_BYTES_MAX may be.
BYTES_MAX = 65_536


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server with JetStream and nothing in it."""
    with nats_server(tmp_path / "nats") as server:
        yield server


def durable(folder: Path, server: NatsServer, port: int, **variables: str) -> AbstractContextManager[Bridge]:
    """A bridge that keeps every write in the stream, and delivers to this port."""
    return bridge(
        folder,
        f"grpc://127.0.0.1:{port}",
        LOGBRIDGE_ACK="durable",
        LOGBRIDGE_SPOOL=spool_url([server]),
        **variables,
    )


def fill(entrance: Bridge) -> tuple[list[str], httpx.Response]:
    """Write until it is refused; what was acknowledged, and the answer to the one that was not."""
    acknowledged: list[str] = []
    while True:
        message = f"log {len(acknowledged)} {'x' * 5000}"
        answer = entrance.write(message)
        if answer.status_code != 202:
            return acknowledged, answer
        acknowledged.append(message)


def test_a_full_stream_refuses_until_there_is_room(server: NatsServer, tmp_path: Path) -> None:
    """503 with Retry-After and what to do, for a log and for a batch; nothing acknowledged is lost."""
    port = free_port()
    with durable(tmp_path, server, port, LOGBRIDGE_SPOOL_BYTES_MAX=str(BYTES_MAX)) as entrance:
        acknowledged, refused = fill(entrance)
        assert len(acknowledged) > 5
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        for word in ("stream is full", "max_bytes", "deliver"):
            assert word in refused.json()["detail"]
        entries = [{"message": "x" * 5000} for _ in range(3)]
        batch = entrance.client.post(f"{API}/batch", json={"log_entries": entries})
        assert (batch.status_code, batch.headers["retry-after"]) == (503, "5")
        assert batch.json()["success_count"] == 0
        stats = entrance.client.get(f"{API}/stats").json()["spool"]
        assert stats["entries"] == len(acknowledged)
        with log_service(tmp_path, port):
            until(lambda: entrance.write("there is room").status_code == 202)
            until(lambda: sorted(entrance.stored()) == sorted([*acknowledged, "there is room"]))


async def test_a_dead_letter_goes_its_way(server: NatsServer, tmp_path: Path) -> None:
    """Refused for good, it is listed with the reason; once the log service takes it, retry delivers it."""
    strict = [True]

    def refuses(message: str) -> Status | None:
        return (StatusCode.INVALID_ARGUMENT, "no bad logs here") if strict and message == "bad" else None

    async with FieldPeer(refuses=refuses) as peer:
        await asyncio.to_thread(_retried, server, tmp_path, int(peer.address.rpartition(":")[2]), strict)
        assert sorted(entry.message for entry in peer.stored) == ["bad", "good"]


def _retried(server: NatsServer, folder: Path, port: int, strict: list[bool]) -> None:
    with durable(folder, server, port) as entrance:

        def kept() -> tuple[int, int]:
            shown = entrance.client.get(f"{API}/stats").json()["spool"]
            return shown["entries"], shown["dead_letters"]

        assert entrance.write("bad", log_id="mine").status_code == 202
        until(lambda: kept() == (0, 1))
        assert entrance.write("good").status_code == 202
        letter = json.loads(spool(folder, server, "list", "--json"))
        assert (letter["entry"]["log_id"], letter["entry"]["message"]) == ("mine", "bad")
        assert "no bad logs here" in letter["reason"]
        assert "logbridge_spool_dead_letters 1.0" in entrance.client.get("/metrics").text
        # Not mended yet: it comes back as a dead letter, and is not lost on the way.
        assert json.loads(spool(folder, server, "retry", "--json")) == {"retried": 1}
        until(lambda: kept() == (0, 1))
        strict.clear()
        spool(folder, server, "retry")
        until(lambda: kept() == (0, 0))


def spool(folder: Path, server: NatsServer, *arguments: str) -> str:
    """What an operator's command on the spool prints."""
    process = start(folder, "spool", *arguments, LOGBRIDGE_SPOOL=spool_url([server]))
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    return out
