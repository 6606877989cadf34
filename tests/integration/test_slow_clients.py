"""Clients that drip: hundreds of them are cut off, while others are served as if they were not there."""

import asyncio
import gzip
import json
import zlib
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.served import API, Closed, connected, running

WRITE = f"{API}/write"
HEAD = f"POST {WRITE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
# What each kind sends first and then goes on with, byte by byte.
DRIPS = {
    "silent": (b"", b""),
    "idle": (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
    "blank lines": (b"", b"\r\n"),
    "target": (b"GET /", b"a"),
    "header": (HEAD + b"Name: ", b"a"),
    "body": (HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "compressed": (
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1000000\r\n\r\n" + gzip.compress(b"{")[:10],
        b"\0\0\0\xff\xff",
    ),
}
OF_EACH = 40
DRIP_S = 0.05
# HEAD_S is the time for the first byte of a new connection as well.
HEAD_S, IDLE_S = 3.0, 5.0


async def drip(port: int, kind: str) -> str:
    """Be such a client until the bridge ends it; what it was told last."""
    begin, more = DRIPS[kind]
    now = asyncio.get_running_loop().time
    since_s = now()
    async with connected(port) as connection:
        connection.write(begin)
        if now() - since_s >= HEAD_S:
            # On a busy machine it stood still itself, and may have been ended before it sent anything.
            return await drip(port, kind)
        if kind == "idle":
            assert (await connection.read()).status == 200
        told = asyncio.ensure_future(connection.read())
        while not told.done():
            connection.write(more)
            await asyncio.wait({told}, timeout=DRIP_S)
        try:
            return f"{kind} {told.result().status}"
        except (Closed, ConnectionError):
            return f"{kind} ended"


async def write_until(ended: asyncio.Event, port: int) -> set[int]:
    """Write one log after the other; the statuses. Who is ended must have stood still itself: it goes on."""
    statuses: set[int] = set()
    now = asyncio.get_running_loop().time
    while not ended.is_set():
        since_s = now()
        async with connected(port) as connection:
            while not ended.is_set():
                asked_s = now()
                try:
                    statuses.add((await connection.ask("POST", WRITE, {"message": "good"})).status)
                except (Closed, ConnectionError):
                    assert now() - since_s >= HEAD_S
                    break
                since_s = asked_s
    return statuses


async def test_drips_are_cut_and_nobody_else_notices(tmp_path: Path) -> None:
    """Every dripping client is told or ended, and every write of the others is acknowledged."""
    timeouts = {"head_timeout_s": HEAD_S, "body_timeout_s": HEAD_S, "idle_timeout_s": IDLE_S}
    async with running(tmp_path, **timeouts, body_bytes_per_s_min=10_000) as served:
        ended = asyncio.Event()
        good = [asyncio.ensure_future(write_until(ended, served.port)) for _ in range(2)]
        drips = (drip(served.port, kind) for kind in DRIPS for _ in range(OF_EACH))
        told = Counter(await asyncio.gather(*drips))
        ended.set()
        statuses = {status for each in good for status in await each}
    cut_off = ("target", "header", "body", "chunks", "compressed")
    expected = {f"{kind} 408" if kind in cut_off else f"{kind} ended": OF_EACH for kind in DRIPS}
    assert told == expected
    assert statuses == {200}


def zeros(mib: int) -> bytes:
    """So much of nothing, compressed and without its end."""
    deflate = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    first, again = (deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (mib - 1)


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_bombs_do_not_fill_memory(tmp_path: Path, encoding: str) -> None:
    """Bodies of a GiB, compressed or not, get 413 one after the other; the memory of the bridge stays."""
    async with running(tmp_path, body_bytes_max=4_000_000) as served:
        sent = zeros(1024) if encoding == "gzip" else b" " * 100_000_000
        head = HEAD + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (encoding.encode(), len(sent))
        peaks_kib = []
        for _ in range(8):
            async with connected(served.port) as connection:
                connection.write(head + sent)
                answer = await connection.read()
            assert (answer.status, answer.last) == (413, True)
            assert json.dumps(answer.body).count("LOGBRIDGE_BODY_BYTES_MAX=4000000")
            peaks_kib.append(peak_kib(served.process.pid))
    assert peaks_kib[-1] < peaks_kib[0] + 32_768


def peak_kib(pid: int) -> int:
    """The most memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
