"""Admission: so many entries and bytes in flight and no more; beyond it the answer is "too much", at once."""

import asyncio
from collections.abc import Sequence
from typing import Any

from logbridge.adapters.delivery.link import Link
from logbridge.domain.entry import LogEntry, text_bytes
from logbridge.domain.outcome import Cause, Failed, Outcome, Unknown
from logbridge.domain.policy import AdmissionPolicy
from logbridge.domain.ports import Deadline, LogSink


class InFlight:
    """What is in flight; the chains of one bridge share it."""

    def __init__(self) -> None:
        self.entries = 0
        self.bytes = 0


class Admission(Link):
    """A link that counts what is in flight and fails that for which there is no room. It never queues.

    Closing it admits nothing more; ``cut`` ends what is then still in flight.
    """

    def __init__(self, next_sink: LogSink, policy: AdmissionPolicy, in_flight: InFlight) -> None:
        super().__init__(next_sink)
        self._policy = policy
        self._in_flight = in_flight
        self._writes: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._cut = False

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        size_bytes = sum(map(text_bytes, entries))
        if reason := self._reason_against(len(entries), size_bytes):
            cause = Cause.STOPPING if self._closing else Cause.OVERLOADED
            return [Failed(entry.id, reason, cause, self._policy.retry_after_s) for entry in entries]
        self._in_flight.entries += len(entries)
        self._in_flight.bytes += size_bytes
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (for the type checker: coroutines run in tasks)
        self._writes.add(task)
        try:
            return await self._next.write(entries, deadline=deadline)
        except asyncio.CancelledError:
            # Whoever cancels besides cut() wants the task to end.
            if not self._cut or task.uncancel():
                raise
            reason = "the bridge stopped before the log service answered: the log may have been written"
            return [Unknown(entry.id, reason, Cause.STOPPING) for entry in entries]
        finally:
            self._writes.discard(task)
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

    def cut(self) -> None:
        """Answer whatever is in flight: its outcome is unknown. To be called once, after aclose began."""
        self._cut = True
        for task in self._writes:
            task.cancel()

    async def aclose(self) -> None:
        self._closing = True
        await self._next.aclose()
