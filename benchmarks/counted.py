"""Work that can be counted, in one process with no network: the same on a slow machine and on a fast one."""

import asyncio
import gc
import json
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from msgspec import Struct
from starlette.types import Scope

from benchmarks import bodies
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Outcome
from logbridge.domain.ports import Deadline, SinkHealth
from logbridge.entrypoints.container import Container
from logbridge.entrypoints.http.app import create_app
from logbridge.entrypoints.settings import Settings

WRITES = 1000
ENTRIES = 1000
Message = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]


class CountedWork(Struct, frozen=True):
    """blocks_in_flight: of memory, for each write that hangs. blocks_left: for each one that was answered.

    batch_bytes: at the peak of a batch's request, for each entry.
    """

    blocks_in_flight: float
    blocks_left: float
    batch_bytes: float


class IdleSink:
    """Accepts everything and keeps nothing; while ``open`` is not set, it gives no answer."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:  # noqa: ARG002
        """See LogSink.write."""
        await self.open.wait()
        return [Accepted(entry.id) for entry in entries]

    async def check(self) -> SinkHealth:
        """See LogSink.check."""
        return SinkHealth(True)

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:  # noqa: ARG002 (the port has it)
        """See LogSink.honours_ids."""
        return True

    async def aclose(self) -> None:
        """See LogSink.aclose."""


async def post(app: App, path: str, body: bytes) -> int:
    """The status of a request that is given to the application itself."""
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8001),
        "state": {},
    }
    await app(scope, receive, send)
    return statuses[0]


async def count_work() -> CountedWork:
    """Count it. Raises RuntimeError if a request fails."""
    sink = IdleSink()
    settings = Settings(request_timeout_s=120, attempt_timeout_s=120)
    app = create_app(Container(settings, sink))
    body = bodies.body(1)

    async def writes(count: int) -> None:
        statuses = await asyncio.gather(*(post(app, "/api/v1/logs/write", body) for _ in range(count)))
        if set(statuses) != {200}:
            raise RuntimeError(f"writes were answered with {set(statuses)}")

    await writes(WRITES)
    idle = _blocks()
    await writes(WRITES)
    left = (_blocks() - idle) / WRITES
    sink.open.clear()
    idle = _blocks()
    hanging = asyncio.ensure_future(writes(WRITES))
    for _ in range(20):
        await asyncio.sleep(0.01)
    in_flight = (_blocks() - idle) / WRITES
    sink.open.set()
    await hanging
    return CountedWork(in_flight, left, await _batch_bytes(app))


def _blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


async def _batch_bytes(app: App) -> float:
    body = bodies.body(ENTRIES)
    await post(app, "/api/v1/logs/batch", body)
    gc.collect()
    tracemalloc.start()
    try:
        status = await post(app, "/api/v1/logs/batch", body)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if status != 200:
        raise RuntimeError(f"a batch was answered with {status}")
    return peak_bytes / ENTRIES


def main() -> None:
    """Print one line of JSON."""
    seen = asyncio.run(count_work())
    print(json.dumps({name: getattr(seen, name) for name in CountedWork.__struct_fields__}))


if __name__ == "__main__":
    main()
