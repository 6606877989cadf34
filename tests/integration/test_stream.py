"""Streams of lines over real connections: slow, cut off, refused, and while the bridge or the peer stops."""

import asyncio
import json
import signal
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.field_peer import FieldPeer
from tests.integration.processes import free_port
from tests.integration.served import API, Connection, Reply, Served, connected, running, until

STREAM = f"{API}/stream"
LONG_S = 3600.0


class Upload:
    """A stream on a connection, in chunks."""

    def __init__(self, connection: Connection, *headers: str) -> None:
        self._connection = connection
        head = [f"POST {STREAM} HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked", *headers]
        connection.write("\r\n".join([*head, "", ""]).encode())

    def chunk(self, data: bytes) -> None:
        """Send bytes of the body."""
        self._connection.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self, trailers: bytes = b"") -> Reply:
        """The body is complete; the answer."""
        self._connection.write(b"0\r\n%b\r\n" % trailers)
        return await self._connection.read()


@asynccontextmanager
async def bridge(folder: Path, **settings: Any) -> AsyncIterator[tuple[Served, FieldPeer]]:
    """A bridge over a log service as in the field."""
    async with FieldPeer(port=free_port()) as peer:
        try:
            async with running(folder, sink=f"grpc://{peer.address}", **settings) as served:
                yield served, peer
        finally:
            peer.gate.set()


def line(number: int) -> bytes:
    return json.dumps({"message": str(number)}).encode() + b"\n"


def _over(logs: dict[str, int]) -> int:
    """How many logs were not written, or not known to be, when their time was over."""
    return logs["failed"] + logs["unknown"]


def messages(peer: FieldPeer) -> list[int]:
    return sorted(int(entry.message) for entry in peer.stored)


async def test_a_line_is_written_while_the_stream_goes_on(tmp_path: Path) -> None:
    """However slowly lines come, each is with the log service before the next; no rule for bodies cuts it."""
    hasty = {"body_timeout_s": 0.05, "body_bytes_per_s_min": 1_000_000}
    async with bridge(tmp_path, **hasty) as (served, peer), connected(served.port) as connection:
        upload = Upload(connection)
        for number in range(1, 6):
            upload.chunk(line(number))
            await until(lambda number=number: len(peer.stored) == number)  # type: ignore[misc]  # a default
        answer = await upload.end()
        assert (answer.status, answer.body["success_count"], answer.body["lines_read"]) == (200, 5, 5)
        again = await connection.ask("GET", "/livez")
        assert (again.status, messages(peer)) == (200, [1, 2, 3, 4, 5])


async def test_every_byte_a_chunk(tmp_path: Path) -> None:
    """Chunks are not lines; trailers are neither."""
    async with bridge(tmp_path) as (served, peer), connected(served.port) as connection:
        upload = Upload(connection)
        for place in range(len(body := line(1) + b"\n" + line(2))):
            upload.chunk(body[place : place + 1])
        answer = await upload.end(b"Digest: x\r\n")
    assert (answer.status, answer.body["lines_read"], messages(peer)) == (200, 3, [1, 2])


async def test_compressed_lines_are_written_as_they_come(tmp_path: Path) -> None:
    """A compressor that flushes makes its lines known."""
    async with bridge(tmp_path) as (served, peer), connected(served.port) as connection:
        upload, compress = Upload(connection, "Content-Encoding: gzip"), zlib.compressobj(wbits=31)
        for number in (1, 2):
            upload.chunk(compress.compress(line(number)) + compress.flush(zlib.Z_SYNC_FLUSH))
            await until(lambda number=number: len(peer.stored) == number)  # type: ignore[misc]  # a default
        upload.chunk(compress.flush())
        answer = await upload.end()
    assert (answer.status, answer.body["success_count"]) == (200, 2)


async def test_a_client_that_says_nothing_for_too_long(tmp_path: Path) -> None:
    """408 that names the setting and counts what was written; half a line is not taken."""
    async with (
        bridge(tmp_path, body_timeout_s=0.1, stream_idle_timeout_s=2) as (served, peer),
        connected(served.port) as connection,
    ):
        upload = Upload(connection)
        upload.chunk(line(1) + line(2) + b'{"message":')
        answer = await connection.read()
        assert (answer.status, answer.last, await connection.ended()) == (408, True, True)
    assert "LOGBRIDGE_STREAM_IDLE_TIMEOUT_S=2" in answer.body["stopped"]
    assert (answer.body["lines_read"], answer.body["success_count"], messages(peer)) == (2, 2, [1, 2])


async def test_a_client_that_hangs_up(tmp_path: Path) -> None:
    """The lines that came are written, half a line is not, and the next stream is served."""
    async with bridge(tmp_path) as (served, peer):
        async with connected(served.port) as connection:
            Upload(connection).chunk(line(1) + line(2) + b'{"message":')
            await connection.drain()
        await until(lambda: len(peer.stored) == 2)
        async with connected(served.port) as connection:
            upload = Upload(connection)
            upload.chunk(line(3))
            assert (await upload.end()).status == 200
            stats = (await connection.ask("GET", f"{API}/stats")).body
    assert messages(peer) == [1, 2, 3]
    assert stats["performance"]["logs"]["accepted"] == 3


async def test_a_chunk_that_is_none(tmp_path: Path) -> None:
    """400, and what came before it is counted."""
    async with bridge(tmp_path) as (served, peer), connected(served.port) as connection:
        upload = Upload(connection)
        upload.chunk(line(1))
        await until(lambda: len(peer.stored) == 1)
        connection.write(b"nonsense\r\n")
        answer = await connection.read()
    assert (answer.status, answer.body["success_count"], answer.last) == (400, 1, True)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_in_the_middle(tmp_path: Path, stop: signal.Signals) -> None:
    """What is under way ends and is counted: 503 says up to which line, and the process ends with 0."""
    async with (
        bridge(tmp_path, drain_s=LONG_S) as (served, peer),
        connected(served.port) as connection,
    ):
        upload = Upload(connection)
        upload.chunk(line(1))
        await until(lambda: len(peer.stored) == 1)
        peer.gate.clear()
        peer.entered.clear()
        upload.chunk(line(2) + line(3))
        await asyncio.wait_for(peer.entered.wait(), 30)
        served.process.send_signal(stop)
        await served.refuses()
        upload.chunk(line(4))
        peer.gate.set()
        answer = await connection.read()
        assert (answer.status, answer.last, await served.ended()) == (503, True, 0)
    assert answer.body["stopped"] == "the bridge is stopping"
    assert (answer.body["lines_read"], answer.body["success_count"], messages(peer)) == (3, 3, [1, 2, 3])
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("ended", [False, True])
async def test_a_stop_while_the_log_service_is_away(tmp_path: Path, ended: bool) -> None:
    """Lines that wait for it are given back, of a whole stream too: whoever goes on loses none."""
    async with bridge(tmp_path, drain_s=LONG_S) as (served, peer), connected(served.port) as connection:
        upload = Upload(connection)
        upload.chunk(line(1))
        await until(lambda: len(peer.stored) == 1)
        await peer.stop()
        upload.chunk(line(2))
        async with connected(served.port) as other:
            while not (await other.ask("GET", f"{API}/stats")).body["upstream"]["calls"].get("failed"):
                pass
        if ended:
            connection.write(b"0\r\n\r\n")
        served.process.send_signal(signal.SIGTERM)
        answer = await connection.read()
        assert (answer.status, answer.body["stopped"]) == (503, "the bridge is stopping")
        assert await served.ended() == 0
    assert (answer.body["lines_read"], answer.body["total_count"], answer.body["errors"]) == (1, 1, [])


async def test_the_log_service_comes_back(tmp_path: Path) -> None:
    """Lines wait while it is away: none fails, and none is lost."""
    async with bridge(tmp_path) as (served, peer), connected(served.port) as connection:
        upload = Upload(connection)
        upload.chunk(line(1))
        await until(lambda: len(peer.stored) == 1)
        await peer.stop()
        upload.chunk(line(2))
        async with connected(served.port) as other:
            while not (await other.ask("GET", f"{API}/stats")).body["upstream"]["calls"].get("failed"):
                pass
        upload.chunk(line(3))
        await peer.start(int(peer.address.rpartition(":")[2]))
        answer = await upload.end()
    assert (answer.status, answer.body["success_count"], messages(peer)) == (200, 3, [1, 2, 3])


async def test_the_log_service_stays_away_for_too_long(tmp_path: Path) -> None:
    """Lines whose time is over fail, each with its number and why; those after them are tried, too."""
    async with bridge(tmp_path) as (served, peer), connected(served.port) as connection:
        upload = Upload(connection, "Request-Timeout: 0.3")
        await peer.stop()
        upload.chunk(line(1))
        async with connected(served.port) as other:
            # What has no answer by the end of its time is unknown: on a busy machine a refusal may be late.
            while not _over((await other.ask("GET", f"{API}/stats")).body["performance"]["logs"]):
                pass
        await peer.start(int(peer.address.rpartition(":")[2]))
        number = 1
        while not peer.stored:
            number += 1
            upload.chunk(line(number))
            await asyncio.sleep(0.05)
        answer = await upload.end()
    told = answer.body
    assert (answer.status, told["lines_read"], told["total_count"]) == (200, number, number)
    assert told["errors"][0]["line"] == 1
    assert told["errors"][0]["log_id"]
    assert {int(each["line"]) for each in told["errors"]} | set(messages(peer)) == set(range(1, number + 1))


async def test_too_much_in_flight_slows_it_down(tmp_path: Path) -> None:
    """Where there is no room its lines wait: none fails."""
    tight = {"max_concurrent_requests": 5, "max_batch_size": 3, "max_concurrent_workers": 5}
    async with bridge(tmp_path, **tight) as (served, peer), connected(served.port) as connection:
        upload = Upload(connection)
        peer.gate.clear()
        upload.chunk(b"".join(map(line, range(1, 31))))
        await asyncio.wait_for(peer.entered.wait(), 30)
        peer.gate.set()
        answer = await upload.end()
        stats = (await connection.ask("GET", f"{API}/stats")).body
    assert (answer.status, answer.body["success_count"], messages(peer)) == (200, 30, [*range(1, 31)])
    assert (stats["performance"]["logs"]["accepted"], stats["performance"]["logs"]["failed"]) == (30, 0)


async def test_who_waits_to_be_asked(tmp_path: Path) -> None:
    """With Expect: 100-continue it is asked for its lines, unless it is refused before."""
    async with bridge(tmp_path) as (served, peer):
        async with connected(served.port) as connection:
            upload = Upload(connection, "Expect: 100-continue")
            assert await connection.read_exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            upload.chunk(line(1))
            assert (await upload.end()).status == 200
        async with connected(served.port) as connection:
            Upload(connection, "Expect: 100-continue", "Content-Type: text/plain")
            answer = await connection.read()
            assert (answer.status, answer.last, await connection.ended()) == (415, True, True)
    assert messages(peer) == [1]


async def test_a_spool_answers_202(tmp_path: Path) -> None:
    """With Prefer: respond-async the lines are on the disk here."""
    spool = f"sqlite:///{tmp_path}/spool"
    async with bridge(tmp_path, spool=spool) as (served, _), connected(served.port) as connection:
        upload = Upload(connection, "Prefer: respond-async")
        upload.chunk(line(1))
        answer = await upload.end()
    assert (answer.status, answer.headers["preference-applied"]) == (202, "respond-async")
