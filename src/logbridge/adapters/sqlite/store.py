"""SqliteStore: the store of the log service, behind both ports. One thread writes, a few others read."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from logbridge.adapters.followers import Followers
from logbridge.adapters.group_commit import Batches, GroupCommit
from logbridge.adapters.sqlite.file import connect_reader, open_store_file
from logbridge.adapters.sqlite.query import find_after, find_histogram, find_page, last_sequence
from logbridge.adapters.sqlite.retention import Keeper, Retention
from logbridge.adapters.sqlite.write import store_batches
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import QueryRefused, ReaderUnavailable
from logbridge.domain.outcome import Outcome
from logbridge.domain.policy import RetentionPolicy
from logbridge.domain.ports import Deadline, SinkHealth
from logbridge.domain.query import (
    Followed,
    HistogramQuery,
    LogFilter,
    LogHistogram,
    LogPage,
    LogQuery,
    check_place,
)

WAITING_ENTRIES_MAX = 20_000
COMMIT_ENTRIES_MAX = 2_000
READERS = 4
_OPCODES_PER_LOOK_AT_THE_CLOCK = 20_000

T = TypeVar("T")


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
        self._commits = GroupCommit(
            f"the store {path}",
            self._commit,
            waiting_entries_max=WAITING_ENTRIES_MAX,
            commit_entries_max=COMMIT_ENTRIES_MAX,
        )
        self._reading = ThreadPoolExecutor(READERS, "logbridge-store-read")
        self._followers = Followers()
        self._keeper: Keeper | None = None
        if retention is not None and not retention.keeps_everything:
            self._keeper = Keeper(Retention(retention, now_s), self._writer, self._commits)

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        """See LogSink.write. What is still on its way at the deadline is Unknown, cause TIMEOUT."""
        return await self._commits.write(entries, deadline=deadline)

    def _commit(self, batches: Batches) -> Sequence[Sequence[Outcome]]:
        outcomes = store_batches(self._writer, batches)
        self._followers.wake()
        if self._keeper:
            self._keeper.after_commit()
        return outcomes

    async def check(self) -> SinkHealth:
        """See LogSink.check."""
        try:
            await self._read(lambda reader: reader.execute("SELECT 1").fetchone())
        except ReaderUnavailable as error:
            return SinkHealth(False, str(error))
        return SinkHealth(True, f"sqlite store {self._path}")

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:  # noqa: ARG002 (the port has it)
        """See LogSink.honours_ids."""
        return not self._commits.closed or None

    async def query(self, query: LogQuery, *, deadline: Deadline) -> LogPage:
        """See LogReader.query. Reading does not hold up writing."""
        return await self._read(lambda reader: find_page(reader, query), deadline)

    async def histogram(self, query: HistogramQuery, *, deadline: Deadline) -> LogHistogram:
        """See LogReader.histogram."""
        return await self._read(lambda reader: find_histogram(reader, query), deadline)

    async def follow(self, which: LogFilter, *, after: int | None = None) -> AsyncGenerator[Followed, None]:
        """See LogReader.follow. It sees what this store object writes, as soon as that is on the disk."""
        check_place(after)
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
        if self._commits.closed:
            raise ReaderUnavailable(f"the store {self._path} is closed")
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
        if self._commits.close():
            self._followers.wake()
            await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        if self._keeper:
            self._keeper.stop()
        self._commits.finish()
        for reader in self._readers:
            reader.interrupt()
        self._reading.shutdown()
        for reader in self._readers:
            reader.close()
        # The last connection to close folds the write-ahead log into the file.
        self._writer.close()
