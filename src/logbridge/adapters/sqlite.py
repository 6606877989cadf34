"""SqliteStore: the store of the log service, behind both ports. One thread writes, a few others read.

Writes that wait while a transaction is on its way to the disk share the next one: group commit, no timer.
"""

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from logbridge.adapters.followers import Followers
from logbridge.adapters.sqlite_file import connect_reader, open_store_file
from logbridge.adapters.sqlite_query import find_after, find_page, last_sequence
from logbridge.adapters.sqlite_retention import Keeper, Retention
from logbridge.adapters.sqlite_write import store_batches
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import QueryRefused, ReaderUnavailable
from logbridge.domain.outcome import Cause, Failed, Outcome, Unknown
from logbridge.domain.policy import RetentionPolicy
from logbridge.domain.ports import Deadline, SinkHealth
from logbridge.domain.query import Followed, LogFilter, LogPage, LogQuery

WAITING_ENTRIES_MAX = 20_000
COMMIT_ENTRIES_MAX = 2_000
READERS = 4
_OPCODES_PER_LOOK_AT_THE_CLOCK = 20_000

T = TypeVar("T")


class _Waiting:
    """A batch that waits for its turn, and its answer."""

    def __init__(self, entries: Sequence[LogEntry]) -> None:
        self.entries = entries
        self.answer: Future[list[Outcome]] = Future()


class SqliteStore:
    """Logs in one SQLite file: on the disk before they are acknowledged, an id stored once for its service.

    path: the file, made with its directory if missing. lock_wait_s: seconds that a write waits for a lock
    that another process holds. retention: what is kept; everything without it. now_s: gives the time, in
    seconds since 1970. Raises StoreError when the file cannot be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        lock_wait_s: float = 5.0,
        retention: RetentionPolicy | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._writer = open_store_file(path, lock_wait_s)
        self._readers = [connect_reader(path, lock_wait_s) for _ in range(READERS)]
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for reader in self._readers:
            self._idle.put(reader)
        self._writing = ThreadPoolExecutor(1, "logbridge-store-write")
        self._reading = ThreadPoolExecutor(READERS, "logbridge-store-read")
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._waiting_entries = 0
        self._followers = Followers()
        self._closed = False
        self._keeper: Keeper | None = None
        if retention is not None and not retention.keeps_everything:
            self._keeper = Keeper(Retention(retention, now_s), self._writer, self._writing)

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        """See LogSink.write. What is still on its way at the deadline is Unknown, cause TIMEOUT."""
        if not entries:
            return []
        with self._lock:
            reason = self._reason_against(len(entries))
            answer = self._enqueue(entries) if not reason else None
        if answer is None:
            cause = Cause.UNAVAILABLE if self._closed else Cause.OVERLOADED
            return [Failed(entry.id, reason, cause) for entry in entries]
        try:
            # Cancelling takes back a batch that was not begun; one that was begun goes on.
            return await asyncio.wait_for(asyncio.wrap_future(answer), deadline.remaining_s(time.monotonic()))
        except TimeoutError:
            reason = "the store did not answer before the deadline"
            return [Unknown(entry.id, reason, Cause.TIMEOUT) for entry in entries]

    def _reason_against(self, count: int) -> str:
        if self._closed:
            return self._closed_reason()
        # A batch larger than the whole limit passes when it is alone: it could never be written otherwise.
        if self._waiting_entries and self._waiting_entries + count > WAITING_ENTRIES_MAX:
            return f"the store has {self._waiting_entries} entries waiting, at most {WAITING_ENTRIES_MAX} may"
        return ""

    def _closed_reason(self) -> str:
        return f"the store {self._path} is closed"

    def _enqueue(self, entries: Sequence[LogEntry]) -> Future[list[Outcome]]:
        waiting = _Waiting(entries)
        self._waiting.append(waiting)
        self._waiting_entries += len(entries)
        # One turn for each batch; a turn takes all that wait, so that most later turns find nothing to do.
        self._writing.submit(self._commit_waiting)
        return waiting.answer

    def _commit_waiting(self) -> None:
        begun = [waiting for waiting in self._take() if waiting.answer.set_running_or_notify_cancel()]
        if not begun:
            return
        try:
            outcomes = store_batches(self._writer, [waiting.entries for waiting in begun])
        except Exception as error:
            # A fault of ours: whoever waits must see it, not run into the deadline.
            for waiting in begun:
                waiting.answer.set_exception(error)
            return
        self._followers.wake()
        for waiting, outcome in zip(begun, outcomes, strict=True):
            waiting.answer.set_result(outcome)
        if self._keeper:
            self._keeper.after_commit()

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        count = 0
        with self._lock:
            while self._waiting and count < COMMIT_ENTRIES_MAX:
                taken.append(self._waiting.popleft())
                count += len(taken[-1].entries)
            self._waiting_entries -= count
        return taken

    async def check(self) -> SinkHealth:
        """See LogSink.check."""
        try:
            await self._read(lambda reader: reader.execute("SELECT 1").fetchone())
        except ReaderUnavailable as error:
            return SinkHealth(False, str(error))
        return SinkHealth(True, f"sqlite store {self._path}")

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:  # noqa: ARG002 (the port has it)
        """See LogSink.honours_ids."""
        return not self._closed or None

    async def query(self, query: LogQuery, *, deadline: Deadline) -> LogPage:
        """See LogReader.query. Reading does not hold up writing."""
        return await self._read(lambda reader: find_page(reader, query), deadline)

    async def follow(self, which: LogFilter, *, after: int | None = None) -> AsyncGenerator[Followed, None]:
        """See LogReader.follow. It sees what this store object writes, as soon as that is on the disk."""
        with self._followers.joined() as stored:
            last = await self._read(last_sequence)
            # A place beyond the end belongs to another store, before this one was begun anew.
            sequence = last if after is None else min(after, last)
            yield Followed(sequence)
            while True:
                stored.clear()
                page = await self._read(partial(find_after, sequence=sequence))
                for followed in page:
                    sequence = followed.sequence
                    if followed.entry is not None and which.matches(followed.entry):
                        yield followed
                if not page:
                    await stored.wait()

    async def _read(self, ask: Callable[[sqlite3.Connection], T], deadline: Deadline | None = None) -> T:
        if self._closed:
            raise ReaderUnavailable(self._closed_reason())
        asked = self._reading.submit(self._ask, ask, deadline)
        remaining_s = deadline.remaining_s(time.monotonic()) if deadline else None
        try:
            return await asyncio.wait_for(asyncio.wrap_future(asked), remaining_s)
        except TimeoutError:
            raise ReaderUnavailable("the store did not answer before the deadline") from None
        except (UnicodeEncodeError, OverflowError) as error:
            raise QueryRefused(f"the question holds what no log can: {error}") from None
        except sqlite3.Error as error:
            raise ReaderUnavailable(f"the store {self._path} cannot be read: {error}") from error

    def _ask(self, ask: Callable[[sqlite3.Connection], T], deadline: Deadline | None) -> T:
        reader = self._idle.get()
        # Nobody waits for an answer after the deadline: a long search ends itself and frees its thread.
        late = (lambda: time.monotonic() > deadline.at_s) if deadline else None
        reader.set_progress_handler(late, _OPCODES_PER_LOOK_AT_THE_CLOCK)
        try:
            return ask(reader)
        finally:
            self._idle.put(reader)

    async def aclose(self) -> None:
        """Write what waits, end what follows, close the file. A second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._followers.wake()
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        if self._keeper:
            self._keeper.stop()
        self._writing.shutdown()
        for reader in self._readers:
            reader.interrupt()
        self._reading.shutdown()
        for reader in self._readers:
            reader.close()
        # The last connection to close folds the write-ahead log into the file.
        self._writer.close()
