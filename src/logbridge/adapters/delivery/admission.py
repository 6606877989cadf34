"""Admission: so many entries in flight and no more; beyond it the answer is "too much", at once."""

from collections.abc import Sequence

from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Cause, Failed, Outcome
from logbridge.domain.policy import AdmissionPolicy
from logbridge.domain.ports import Deadline, LogSink, SinkHealth


class Admission:
    """A link that counts entries in flight and fails those for which there is no room. It never queues."""

    def __init__(self, next_sink: LogSink, policy: AdmissionPolicy) -> None:
        self._next = next_sink
        self._policy = policy
        self.entries_in_flight = 0

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        if not self._admits(len(entries)):
            return [self._failed(entry) for entry in entries]
        self.entries_in_flight += len(entries)
        try:
            return await self._next.write(entries, deadline=deadline)
        finally:
            self.entries_in_flight -= len(entries)

    def _admits(self, count: int) -> bool:
        # A batch larger than the whole limit passes when it is alone: it could never be written otherwise.
        return self.entries_in_flight == 0 or self.entries_in_flight + count <= self._policy.entries_max

    def _failed(self, entry: LogEntry) -> Failed:
        reason = f"too much in flight: MAX_CONCURRENT_REQUESTS={self._policy.entries_max} entries at once"
        return Failed(entry.id, reason, Cause.OVERLOADED, self._policy.retry_after_s)

    async def check(self) -> SinkHealth:
        return await self._next.check()

    async def aclose(self) -> None:
        await self._next.aclose()
