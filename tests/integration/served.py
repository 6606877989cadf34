"""The bridge as a process of its own, and a client that sees what becomes of its connection."""

import asyncio
import contextlib
import json
import os
import re
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.factories import coalesces
from tests.integration.workers import workers_of

API = "/api/v1/logs"
DEADLINE_S = 30.0
START_S = 60.0
# Longer than a restart of the bridge, which a request may wait for.
ANSWER_S = 90.0
_PROGRAM = """
import json
import sys
from logbridge.entrypoints.http.server import serve
from logbridge.entrypoints.settings import Settings
if __name__ == "__main__":
    settings = {"sink": "memory://", "drain_notice_s": 0.0, **json.loads(sys.argv[2])}
    sys.exit(serve(Settings(host="127.0.0.1", port=0, **settings), int(sys.argv[1])))
"""


class Served(NamedTuple):
    """A serving process and where it listens."""

    process: asyncio.subprocess.Process
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        return await asyncio.wait_for(self.process.wait(), DEADLINE_S)

    async def refuses(self) -> None:
        """Returns once nobody listens any more."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    return
                except ConnectionResetError:  # it connected in the instant of closing
                    continue
                writer.close()
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(folder: Path, workers: int = 1, **settings: Any) -> AsyncIterator[Served]:
    """A serving process, without a notice unless asked for; it is killed if the test leaves it running."""
    # A file, because workers read the program again.
    program = folder / "program.py"
    program.write_text(_PROGRAM)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        program,
        str(workers),
        json.dumps({"coalesce": coalesces(), **settings}),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), START_S)).decode()
        found = re.search(r"https?://[\d.]+:\d+", line)
        assert found
        assert "/docs" in line
        yield Served(process, found[0])
    finally:
        if process.returncode is None:
            # Its workers as well: without it they end in their own time, and keep its pipe until then.
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it ends just now
                for pid in (*workers_of(process.pid), process.pid):
                    os.kill(pid, signal.SIGKILL)
        await asyncio.wait_for(process.communicate(), DEADLINE_S)


class Reply(NamedTuple):
    """A complete answer."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def last(self) -> bool:
        """Whether it says that the connection ends."""
        return self.headers.get("connection") == "close"


class Closed(Exception):
    """The connection ended properly, before the first byte of an answer."""


class Connection:
    """One connection. A reset, or an answer that breaks off, is an error of the standard library."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def tls(self) -> ssl.SSLObject:
        """What TLS knows of it."""
        found: ssl.SSLObject = self._writer.get_extra_info("ssl_object")
        return found

    def send(self, method: str, path: str, body: Any = None, *, part: slice = slice(None)) -> None:
        """Write a request, or a part of its bytes; the answer is for ``read``."""
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
        self._writer.write((f"{head}Content-Type: application/json\r\n\r\n".encode() + content)[part])

    def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._writer.write(data)

    async def read(self) -> Reply:
        """The next answer. Raises Closed."""
        async with asyncio.timeout(ANSWER_S):
            first = await self._reader.read(1)
            if not first:
                raise Closed
            head = (first + await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in fields}
            body = json.loads(await self._reader.readexactly(int(headers["content-length"])))
            return Reply(int(head[0].split()[1]), headers, body)

    async def ask(self, method: str, path: str, body: Any = None) -> Reply:
        """A request and its answer. Raises Closed."""
        self.send(method, path, body)
        return await self.read()

    async def drain(self) -> None:
        """Returns once what was written is nearly all on its way."""
        await asyncio.wait_for(self._writer.drain(), DEADLINE_S)

    async def read_exactly(self, count: int) -> bytes:
        """So many bytes."""
        return await asyncio.wait_for(self._reader.readexactly(count), DEADLINE_S)

    async def rest(self) -> bytes:
        """All bytes until the connection ends."""
        return await asyncio.wait_for(self._reader.read(), DEADLINE_S)

    async def ended(self) -> bool:
        """Whether the connection ends now, without another byte."""
        return not await asyncio.wait_for(self._reader.read(), DEADLINE_S)

    async def aclose(self) -> None:
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)


@asynccontextmanager
async def connected(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Connection]:
    """A connection to a port of 127.0.0.1; with tls it has to show a certificate for localhost."""
    name = None if tls is None else "localhost"
    streams = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    connection = Connection(*streams)
    try:
        yield connection
    finally:
        await connection.aclose()


async def until(true: Callable[[], bool]) -> None:
    """Returns once it is true."""
    async with asyncio.timeout(ANSWER_S):
        while not true():  # noqa: ASYNC110 (another process has no event)
            await asyncio.sleep(0.01)
