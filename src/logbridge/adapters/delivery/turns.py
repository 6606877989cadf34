"""Turns: so many writes under way at once; the rest wait for theirs, before the time of an attempt begins."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from logbridge.adapters.delivery.link import Link
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Cause, Failed, Outcome, Unknown
from logbridge.domain.ports import Deadline, LogSink


class Turns(Link):
    """A link that lets at most ``writes_max`` writes through at once, in the order in which they came.

    A write whose turn does not come before its deadline has Failed: it was never sent. How many may wait is
    the business of Admission, in front of it. A write that backs off does so in front of it, without a turn.
    ``cut`` answers all that is under way or waits.
    """

    def __init__(self, next_sink: LogSink, writes_max: int, monotonic: Callable[[], float]) -> None:
        super().__init__(next_sink)
        self._monotonic = monotonic
        self._turns = asyncio.Semaphore(writes_max)
        self._writes: set[asyncio.Task[Any]] = set()
        self._cut = False

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        if self._cut:
            return [Failed(entry.id, "the bridge is shutting down", Cause.STOPPING) for entry in entries]
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (for the type checker: coroutines run in tasks)
        self._writes.add(task)
        try:
            return await self._write(entries, deadline)
        except asyncio.CancelledError:
            # Whoever cancels besides cut() wants the task to end.
            if not self._cut or task.uncancel():
                raise
            reason = "the bridge stopped before the log service answered: the log may have been written"
            return [Unknown(entry.id, reason, Cause.STOPPING) for entry in entries]
        finally:
            self._writes.discard(task)

    def cut(self) -> None:
        """Answer what is under way or waits as unknown, and whatever still comes as failed."""
        self._cut = True
        for task in self._writes:
            task.cancel()

    async def _write(self, entries: Sequence[LogEntry], deadline: Deadline) -> Sequence[Outcome]:
        if not await self._turn(deadline):
            reason = "the log service is too slow for what is asked of it: no turn before the deadline"
            return [Failed(entry.id, reason, Cause.OVERLOADED) for entry in entries]
        try:
            return await self._next.write(entries, deadline=deadline)
        finally:
            self._turns.release()

    async def _turn(self, deadline: Deadline) -> bool:
        """Take a turn; False if none comes in time."""
        if not self._turns.locked():
            return await self._turns.acquire()  # at once, without the price of a timeout
        try:
            async with asyncio.timeout(deadline.remaining_s(self._monotonic())):
                return await self._turns.acquire()
        except TimeoutError:
            return False
