"""Group commit: batches that wait while a transaction goes to the disk share the next one; no timer."""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Cause, Failed, Outcome, Unknown
from logbridge.domain.ports import Deadline

T = TypeVar("T")
Batches = list[Sequence[LogEntry]]


class _Waiting:
    """A batch that waits for its turn, and its answer: None if it comes too late."""

    __slots__ = ("answer", "entries", "loop")

    def __init__(self, entries: Sequence[LogEntry]) -> None:
        self.entries = entries
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Sequence[Outcome] | None] = self.loop.create_future()

    def end(self, outcomes: Sequence[Outcome] | None) -> None:
        """Answer it, unless nobody waits any more; in the thread of its loop."""
        if not self.answer.done():
            self.answer.set_result(outcomes)

    def fail(self, error: Exception) -> None:
        """As end, with what the writer must see."""
        if not self.answer.done():
            self.answer.set_exception(error)


class GroupCommit:
    """One thread that writes, and what waits for it.

    name: what writes, in words. commit: writes batches in one transaction, and answers for each.
    waiting_entries_max: beyond it a write fails at once. commit_entries_max: entries of one transaction; a
    larger batch goes alone.
    """

    def __init__(
        self,
        name: str,
        commit: Callable[[Batches], Sequence[Sequence[Outcome]]],
        *,
        waiting_entries_max: int,
        commit_entries_max: int,
    ) -> None:
        self._name = name
        self._commit = commit
        self._waiting_entries_max = waiting_entries_max
        self._commit_entries_max = commit_entries_max
        self._thread = ThreadPoolExecutor(1, name)
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._waiting_entries = 0
        self._turn_comes = False
        self._closed = False

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        """An outcome for every entry; what is still on its way at the deadline is Unknown, cause TIMEOUT."""
        if not entries:
            return []
        with self._lock:
            reason = self._reason_against(len(entries))
            waiting = self._enqueue(entries) if not reason else None
        if waiting is None:
            cause = Cause.UNAVAILABLE if self._closed else Cause.OVERLOADED
            return [Failed(entry.id, reason, cause) for entry in entries]
        # By hand, at a fifth of the cost of wait_for(): single writes pay it for every log.
        late = waiting.loop.call_later(deadline.remaining_s(time.monotonic()), waiting.end, None)
        try:
            # Cancelling takes back a batch that was not begun; one that was begun goes on.
            outcomes = await waiting.answer
        finally:
            late.cancel()
        if outcomes is None:
            reason = f"{self._name} did not answer before the deadline"
            return [Unknown(entry.id, reason, Cause.TIMEOUT) for entry in entries]
        return outcomes

    def _reason_against(self, count: int) -> str:
        if self._closed:
            return f"{self._name} is closed"
        # A batch larger than the whole limit passes when it is alone: it could never be written otherwise.
        if self._waiting_entries and self._waiting_entries + count > self._waiting_entries_max:
            return (
                f"{self._name} has {self._waiting_entries} entries waiting, "
                f"at most {self._waiting_entries_max} may"
            )
        return ""

    def _enqueue(self, entries: Sequence[LogEntry]) -> _Waiting:
        waiting = _Waiting(entries)
        self._waiting.append(waiting)
        self._waiting_entries += len(entries)
        if not self._turn_comes:
            self._turn_comes = True
            self._thread.submit(self._commit_waiting)
        return waiting

    def _commit_waiting(self) -> None:
        """A turn: it writes all that waits when it begins. What comes meanwhile has another one coming."""
        with self._lock:
            self._turn_comes = False
            due = len(self._waiting)
        while due > 0:
            taken = self._take()
            due -= len(taken)
            self._commit_taken([waiting for waiting in taken if not waiting.answer.done()])

    def _commit_taken(self, begun: Sequence[_Waiting]) -> None:
        if not begun:
            return
        ends: list[Callable[[], None]]
        try:
            outcomes = self._commit([waiting.entries for waiting in begun])
        except Exception as error:
            # A fault of ours: whoever waits must see it, not run into the deadline.
            ends = [partial(waiting.fail, error) for waiting in begun]
        else:
            ends = [partial(waiting.end, of) for waiting, of in zip(begun, outcomes, strict=True)]
        by_loop: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}
        for waiting, end in zip(begun, ends, strict=True):
            by_loop.setdefault(waiting.loop, []).append(end)
        for loop, its_ends in by_loop.items():
            # Waking a loop costs two system calls: once for all of its batches. Nobody waits in a closed one.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_call_all, its_ends)

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        count = 0
        with self._lock:
            while self._waiting and count < self._commit_entries_max:
                taken.append(self._waiting.popleft())
                count += len(taken[-1].entries)
            self._waiting_entries -= count
        return taken

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Do something else in the thread that writes, after what waits there."""
        return self._thread.submit(work)

    async def run(self, work: Callable[[], T]) -> T:
        """As submit, and wait for it; cancelling the wait lets it go on."""
        return await asyncio.shield(asyncio.wrap_future(self.submit(work)))

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> bool:
        """Take no more. True the first time."""
        with self._lock:
            first, self._closed = not self._closed, True
        return first

    def finish(self) -> None:
        """Wait until everything that was begun is done; blocks."""
        self._thread.shutdown()


def _call_all(ends: Sequence[Callable[[], None]]) -> None:
    for end in ends:
        end()
