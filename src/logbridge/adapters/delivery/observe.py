"""Observe: measures each attempt to hand entries on, as the log service sees them."""

from collections.abc import Callable, Sequence

from logbridge.adapters.delivery.link import Link
from logbridge.domain.entry import LogEntry
from logbridge.domain.measures import Measures
from logbridge.domain.outcome import Outcome
from logbridge.domain.ports import Deadline, LogSink


class Observe(Link):
    """A link that changes nothing. monotonic: gives seconds of a clock that only goes forward."""

    def __init__(self, next_sink: LogSink, measures: Measures, monotonic: Callable[[], float]) -> None:
        super().__init__(next_sink)
        self._measures = measures
        self._monotonic = monotonic

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        began_s = self._monotonic()
        outcomes = await self._next.write(entries, deadline=deadline)
        if outcomes:
            self._measures.call(outcomes, self._monotonic() - began_s)
        return outcomes
