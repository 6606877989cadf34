"""Link: what all links of the chain have in common. Each is a LogSink around the next LogSink."""

from collections.abc import Sequence

from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Outcome
from logbridge.domain.ports import Deadline, LogSink, SinkHealth


class Link:
    """A LogSink that hands everything on to the next one; a link overrides what it is there for."""

    def __init__(self, next_sink: LogSink) -> None:
        self._next = next_sink

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        return await self._next.write(entries, deadline=deadline)

    async def check(self) -> SinkHealth:
        return await self._next.check()

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:
        return await self._next.honours_ids(deadline=deadline)

    async def aclose(self) -> None:
        await self._next.aclose()
