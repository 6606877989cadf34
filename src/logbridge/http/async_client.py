"""The client for asyncio: each call takes the steps of Calls, and others have their turn meanwhile."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

from httpx_sse import EventSource

from logbridge.domain.export import Place
from logbridge.domain.query import LIMIT_DEFAULT
from logbridge.entrypoints.http.schema import Health, LogRecord
from logbridge.entrypoints.http.stats import Stats
from logbridge.http.async_sending import AsyncSender
from logbridge.http.base import BridgeClient
from logbridge.http.errors import BridgeError
from logbridge.http.following import Following
from logbridge.http.questions import ALL_LOGS, Filters, filter_of, page_of
from logbridge.http.results import BatchResult, Page, StreamResult, WriteResult

Entry = Mapping[str, Any]


class AsyncClient(BridgeClient):
    """Client for asyncio: what is said there holds here. Each loop has connections of its own.

    log() sends from a thread: a ``transport`` for it has to serve a synchronous client, too.
    """

    async def write(self, message: str, /, **fields: Any) -> WriteResult:
        """As Client.write(). Cancelled, it may have been written."""
        return await self._sender.run(self._calls.write(message, fields))

    async def write_batch(self, entries: Iterable[Entry]) -> BatchResult:
        """As Client.write_batch()."""
        return await self._sender.run(self._calls.write_batch(entries))

    async def stream(self, entries: AsyncIterable[Entry] | Iterable[Entry]) -> StreamResult:
        """As Client.stream(); the loop waits for entries that are no AsyncIterable."""
        rest = aiter(entries) if isinstance(entries, AsyncIterable) else _awaited(entries)
        return await self._sender.run(self._calls.stream(lambda lines: lines.of_async(rest)))

    async def query(
        self, *, logs_max: int = ALL_LOGS, **filters: Unpack[Filters]
    ) -> AsyncIterator[LogRecord]:
        """As Client.query()."""
        place = Place(filter_of(filters), logs_max)
        while place.more:
            for log in await self._sender.run(self._calls.next_logs(place)):
                yield log

    async def page(self, *, limit: int = LIMIT_DEFAULT, offset: int = 0, **filters: Unpack[Filters]) -> Page:
        """As Client.page()."""
        return await self._sender.run(self._calls.page(page_of(filter_of(filters), limit, offset)))

    async def tail(self, **filters: Unpack[Filters]) -> AsyncIterator[LogRecord]:
        """As Client.tail(). Close it with contextlib.aclosing() where you leave it before its end."""
        following = Following(self._calls, filter_of(filters))
        while True:
            broken: BridgeError | None = None
            try:
                async with self._sender.opened(following.request()) as response:
                    async for event in EventSource(response).aiter_sse():
                        if (log := following.log_of(event)) is not None:
                            yield log
            except BridgeError as error:
                broken = error
            await self._sender.pause(following.pause_s(broken))

    async def health(self) -> Health:
        """As Client.health()."""
        return await self._sender.run(self._calls.health())

    async def stats(self, *, history_s: int = 0) -> Stats:
        """As Client.stats()."""
        return await self._sender.run(self._calls.stats(history_s))

    async def flush(self, timeout_s: float | None = None) -> bool:
        """As Client.flush(); the loop goes on meanwhile."""
        return await asyncio.to_thread(self._background.flush, timeout_s)

    async def aclose(self, timeout_s: float | None = None) -> bool:
        """As Client.close(); the connections are those of this loop."""
        flushed = await asyncio.to_thread(self._background.close, timeout_s)
        self._beside.close()
        await self._sender.aclose()
        return flushed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _begin(self, options: dict[str, Any], sleep: Callable[[float], Any] | None) -> None:
        self._sender = AsyncSender(options, sleep)


async def _awaited(entries: Iterable[Entry]) -> AsyncIterator[Entry]:
    for entry in entries:
        yield entry
