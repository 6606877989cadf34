"""Admission: so many entries and bytes in flight and no more; beyond it the answer is "too much", at once."""

from collections.abc import Sequence

from logbridge.adapters.delivery.link import Link
from logbridge.domain.entry import LogEntry, text_bytes
from logbridge.domain.outcome import Cause, Failed, Outcome
from logbridge.domain.policy import AdmissionPolicy
from logbridge.domain.ports import Deadline, LogSink


class InFlight:
    """What is in flight; the chains of one bridge share it."""

    def __init__(self) -> None:
        self.entries = 0
        self.bytes = 0


class Admission(Link):
    """A link that counts what is in flight and fails that for which there is no room. It never queues.

    Closing it admits nothing more.
    """

    def __init__(self, next_sink: LogSink, policy: AdmissionPolicy, in_flight: InFlight) -> None:
        super().__init__(next_sink)
        self._policy = policy
        self._in_flight = in_flight
        self._closing = False

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        size_bytes = text_bytes(entries[0]) if len(entries) == 1 else sum(map(text_bytes, entries))
        if reason := self._reason_against(len(entries), size_bytes):
            cause = Cause.STOPPING if self._closing else Cause.OVERLOADED
            return [Failed(entry.id, reason, cause, self._policy.retry_after_s) for entry in entries]
        self._in_flight.entries += len(entries)
        self._in_flight.bytes += size_bytes
        try:
            return await self._next.write(entries, deadline=deadline)
        finally:
            self._in_flight.entries -= len(entries)
            self._in_flight.bytes -= size_bytes

    def _reason_against(self, count: int, size_bytes: int) -> str:
        if self._closing:
            return "the bridge is shutting down"
        # A batch larger than a whole limit passes when it is alone: it could never be written otherwise.
        if not self._in_flight.entries:
            return ""
        if self._in_flight.entries + count > self._policy.entries_max:
            return f"too much in flight: MAX_CONCURRENT_REQUESTS={self._policy.entries_max} entries at once"
        if self._in_flight.bytes + size_bytes > self._policy.bytes_max:
            return f"too much in flight: LOGBRIDGE_IN_FLIGHT_BYTES_MAX={self._policy.bytes_max} at once"
        return ""

    async def aclose(self) -> None:
        self._closing = True
        await self._next.aclose()
