"""The application over a sink, started and stopped around a test."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from msgspec.structs import replace

from logbridge.adapters.memory import MemorySink
from logbridge.domain.errors import LogbridgeError
from logbridge.domain.ports import Deadline, LogSink
from logbridge.domain.query import Followed, HistogramQuery, LogFilter, LogHistogram, LogPage, LogQuery
from logbridge.entrypoints.container import Container
from logbridge.entrypoints.http.app import create_app
from logbridge.entrypoints.settings import Settings
from tests.factories import coalesces

API = "/api/v1/logs"
FAST = Settings(request_timeout_s=0.05, attempt_timeout_s=0.05)


@asynccontextmanager
async def serving(
    sink: LogSink | None = None,
    settings: Settings | None = None,
    *,
    peer: str = "127.0.0.1",
    host: str = "localhost",
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a started application, from ``peer``, asking for ``host``."""
    settings = replace(settings or FAST, coalesce=coalesces())
    app = create_app(Container(settings, sink or MemorySink()))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 5000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client,
    ):
        yield client


class UnreadableSink(MemorySink):
    """Takes logs, and answers every question with the same error."""

    def __init__(self, error: LogbridgeError) -> None:
        super().__init__()
        self._error = error

    async def query(self, query: LogQuery, *, deadline: Deadline) -> LogPage:
        raise self._error

    async def histogram(self, query: HistogramQuery, *, deadline: Deadline) -> LogHistogram:
        raise self._error

    async def follow(self, which: LogFilter, *, after: int | None = None) -> AsyncGenerator[Followed, None]:
        raise self._error
        yield Followed(0)


class BrokenSink(MemorySink):
    """Has a fault of its own."""

    async def write(self, entries: Any, *, deadline: Deadline) -> Any:
        raise ZeroDivisionError("secret internals")
