"""Timeout: one attempt may take only so long, however long the caller would wait."""

from collections.abc import Callable, Sequence

from logbridge.adapters.delivery.link import Link
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Outcome
from logbridge.domain.ports import Deadline, LogSink


class Timeout(Link):
    """A link that hands on the earlier of the caller's deadline and now + ``attempt_s`` seconds.

    It does not cut the attempt off itself: a sink keeps the deadline it is given, and only the sink knows
    whether the entry may have been written by then.
    """

    def __init__(self, next_sink: LogSink, attempt_s: float, monotonic: Callable[[], float]) -> None:
        super().__init__(next_sink)
        self._attempt_s = attempt_s
        self._monotonic = monotonic

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        attempt = Deadline(min(deadline.at_s, self._monotonic() + self._attempt_s))
        return await self._next.write(entries, deadline=attempt)
