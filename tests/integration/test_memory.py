"""Ten thousand writes that hang, and a stream of many lines: the bridge stays small, and loses none."""

import asyncio
import json
import os
import re
import resource
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from logbridge import MemorySink
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Outcome
from logbridge.domain.ports import Deadline
from tests.integration.served import API, connected, running
from tests.integration.test_grpc_sink import serving

WRITES = 10_000
MEMORY_KIB_MAX = 300 * 1024
_FILES = WRITES + 500
_PATIENT = {"request_timeout_s": 120.0, "attempt_timeout_s": 120.0, "retry_budget_s": 120.0}


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for so many connections, in this process and the ones that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < _FILES:
        pytest.skip(f"{hard} open files are allowed here, {_FILES} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, _FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory is that of the bridge, without what measures its coverage."""
    for name in [name for name in os.environ if name.startswith("COVERAGE")]:
        monkeypatch.delenv(name)


@asynccontextmanager
async def log_service(folder: Path, store: str) -> AsyncIterator[str]:
    """The address of our log service, a process of its own."""
    command = [
        sys.executable,
        "-m",
        "logbridge",
        "service",
        "--grpc-server-port",
        "0",
        "--store",
        store,
    ]
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    try:
        line = (await asyncio.wait_for(process.stderr.readline(), 60)).decode()
        found = re.search(r"listens on ([\d.]+:\d+)", line)
        assert found, line
        yield found[1]
    finally:
        process.kill()
        await process.communicate()


class Holding(MemorySink):
    """Answers nothing until it may. A stopped process would not do: it counts as away within a minute."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        """As MemorySink, once it may."""
        await self.may.wait()
        return await super().write(entries, deadline=deadline)


def request(number: int) -> bytes:
    body = json.dumps({"message": f"{number} " + "x" * 500, "log_id": f"{number}", "co_id": number}).encode()
    head = f"POST {API}/write HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Sent:
    """A write that was sent on a connection of its own; its answer may come much later."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        self.writer = writer

    async def status(self) -> int:
        head = await asyncio.wait_for(self.head, 60)
        self.writer.close()
        return int(head.split()[1])


async def send(port: int, number: int) -> Sent:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    writer.write(request(number))
    return Sent(reader, writer)


async def send_until_refused(port: int, sent: list[Sent]) -> bytes:
    """Send one more at a time until one is answered while the others hang; the head of that answer."""
    while True:
        sent.append(await send(port, len(sent)))
        await asyncio.wait([sent[-1].head], timeout=1)
        if sent[-1].head.done():
            return sent[-1].head.result()


def peak_memory_kib(pid: int) -> int:
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.usefixtures("many_files", "unmeasured")
async def test_ten_thousand_writes_hang(tmp_path: Path) -> None:
    """All are held within 300 MiB, one more is refused with Retry-After, and all are accepted in the end."""
    async with (
        serving(store := Holding()) as service,
        running(tmp_path, sink=f"grpc://127.0.0.1:{service.port}", **_PATIENT) as served,
    ):
        sent = [await send(served.port, number) for number in range(WRITES)]
        refusal = await send_until_refused(served.port, sent)
        store.may.set()
        assert refusal.startswith(b"HTTP/1.1 503 ")
        assert re.search(rb"\r\nretry-after: [1-9]", refusal)
        assert peak_memory_kib(served.process.pid) < MEMORY_KIB_MAX
        statuses = Counter([await one.status() for one in sent])
        assert statuses[200] == WRITES
        assert statuses[503] == len(sent) - WRITES


STREAMED = 200_000
GROWTH_KIB_MAX = 32 * 1024


async def stream(port: int, count: int) -> dict[str, int]:
    """Send so many lines as fast as they are taken; the counts of the answer."""
    async with connected(port) as connection:
        connection.write(
            f"POST {API}/stream HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for begin in range(0, count, 1000):
            lines = b"".join(
                b'{"message":"%d %b"}\n' % (number, b"x" * 300) for number in range(begin, begin + 1000)
            )
            connection.write(b"%x\r\n%b\r\n" % (len(lines), lines))
            await connection.drain()
        connection.write(b"0\r\n\r\n")
        answer = await connection.read()
        assert answer.status == 200
        return {name: answer.body[name] for name in ("total_count", "success_count", "lines_read")}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.usefixtures("unmeasured")
async def test_a_stream_costs_no_more_for_being_long(tmp_path: Path) -> None:
    """Ten times as many lines, 60 MB where a body may have 20, take no more memory."""
    async with (
        log_service(tmp_path, f"sqlite:///{tmp_path}/logs.db") as address,
        running(tmp_path, sink=f"grpc://{address}") as served,
    ):
        await stream(served.port, STREAMED // 10)
        before_kib = peak_memory_kib(served.process.pid)
        counts = await stream(served.port, STREAMED)
        growth_kib = peak_memory_kib(served.process.pid) - before_kib
    assert set(counts.values()) == {STREAMED}
    assert growth_kib < GROWTH_KIB_MAX
