"""SqliteSpool: entries that wait on the disk of this machine until the log service has them."""

import asyncio
import logging
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from msgspec import Struct

from logbridge.adapters.group_commit import Batches, GroupCommit
from logbridge.adapters.spool.damage import inspect
from logbridge.adapters.spool.file import COUNTERS, DamagedFile, SpoolFile
from logbridge.adapters.spool.folders import Folders, OwnedFile
from logbridge.adapters.spool.lock import BridgeLock
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import StoreError
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.ports import Deadline, SinkHealth, Spooled

logger = logging.getLogger(__name__)

WAITING_ENTRIES_MAX = 20_000
COMMIT_ENTRIES_MAX = 2_000
RETRY_AFTER_FULL_S = 5.0
# How often a worker looks whether another one left a file behind.
ADOPT_EVERY_S = 5.0


class SpoolLimits(Struct, frozen=True):
    """bytes_max: bytes of all entries (LOGBRIDGE_SPOOL_BYTES_MAX).

    disk_free_bytes_min: bytes that stay free on the disk (LOGBRIDGE_SPOOL_DISK_FREE_BYTES_MIN).
    """

    bytes_max: int
    disk_free_bytes_min: int


class SqliteSpool:
    """A Spool in a directory: a file of its own for new entries, and those that dead workers left.

    lock: shows that this process may use the directory; released by aclose. now: the time as RFC 3339.
    new_id: gives names that sort by time. Raises StoreError when the directory cannot be used. Damaged files
    are set aside, and what can be read of them waits here.
    """

    def __init__(
        self,
        directory: Path,
        limits: SpoolLimits,
        lock: BridgeLock,
        *,
        now: Callable[[], str],
        new_id: Callable[[], str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._limits = limits
        self._lock = lock
        self._now = now
        self._monotonic = monotonic
        self._folders = Folders(directory, now, new_id)
        self._commits = GroupCommit(
            f"the spool {directory}",
            self._commit,
            waiting_entries_max=WAITING_ENTRIES_MAX,
            commit_entries_max=COMMIT_ENTRIES_MAX,
        )
        # The first of them takes new entries; the others only get empty.
        self._owned = list(self._folders.adopt(set()))
        self._own_file()
        self._measure()
        self._look_at_s = monotonic() + ADOPT_EVERY_S

    async def append(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        """See Spool.append. Entries that arrive together share one fsync."""
        return await self._commits.write(entries, deadline=deadline)

    def _commit(self, batches: Batches) -> list[Sequence[Outcome]]:
        outcomes = iter(self._keep([entry for batch in batches for entry in batch]))
        return [[next(outcomes) for _ in batch] for batch in batches]

    def _keep(self, entries: Sequence[LogEntry]) -> Sequence[Outcome]:
        reason = self._reason_against()
        if reason:
            return [_full(entry, reason) for entry in entries]
        try:
            self._bytes += self._own_file().append(entries, self._now())
        except DamagedFile as error:
            self._set_aside(self._owned[0], str(error))
            return [_full(entry, "the spool file was damaged and set aside") for entry in entries]
        except (sqlite3.Error, OSError, StoreError) as error:
            return [_not_kept(entry, error) for entry in entries]
        return [Accepted(entry.id, spooled=True) for entry in entries]

    def _own_file(self) -> SpoolFile:
        if not self._owned:
            self._owned.append(self._folders.make())
        return self._owned[0].file

    def _reason_against(self) -> str:
        limits = self._limits
        if self._bytes >= limits.bytes_max:
            return f"the spool is full: LOGBRIDGE_SPOOL_BYTES_MAX={limits.bytes_max}"
        free_bytes = shutil.disk_usage(self._directory).free
        if free_bytes < limits.disk_free_bytes_min:
            return (
                f"the disk of the spool has {free_bytes} bytes free, "
                f"less than LOGBRIDGE_SPOOL_DISK_FREE_BYTES_MIN={limits.disk_free_bytes_min}"
            )
        return ""

    async def take(self, entries_max: int, bytes_max: int) -> Sequence[Spooled]:
        """See Spool.take: what dead workers left comes first."""
        return await self._commits.run(lambda: self._take(entries_max, bytes_max))

    def _take(self, entries_max: int, bytes_max: int) -> list[Spooled]:
        self._adopt()
        for owned in [*self._owned[1:], *self._owned[:1]]:
            try:
                if owned.file.notice_changes():
                    self._measure()
                taken = owned.file.take(entries_max, bytes_max)
            except DamagedFile as error:
                self._set_aside(owned, str(error))
                return self._take(entries_max, bytes_max)
            if taken:
                name = owned.file.folder.name
                return [Spooled((name, sequence), entry) for sequence, entry in taken]
            if owned.file.has_remains:
                self._settle_file(owned.file, (), ())
            self._let_go_if_empty(owned)
        return []

    def _adopt(self) -> None:
        if self._monotonic() < self._look_at_s:
            return
        self._look_at_s = self._monotonic() + ADOPT_EVERY_S
        names = {owned.file.folder.name for owned in self._owned}
        for left in self._folders.adopt(names):
            logger.info("took over the spool file %s of a worker that is gone", left.file.folder.name)
            self._owned.append(left)
            self._bytes += left.file.contents().bytes

    def _let_go_if_empty(self, owned: OwnedFile) -> None:
        contents = owned.file.contents() if owned is not self._owned[0] and owned.file.idle else None
        if contents is None or contents.waiting or contents.dead:
            return
        for name, count in owned.file.counters().items():
            if name in COUNTERS:
                self._own_file().count(name, count)
        self._owned.remove(owned)
        owned.close_and_delete()

    def _set_aside(self, owned: OwnedFile, why: str) -> None:
        place = self._owned.index(owned)
        owned.file.close_as_it_is()
        self._owned.remove(owned)
        try:
            inspected = inspect(owned.file.folder)
            if not inspected.why or inspected.tally_only:
                inspected = inspected._replace(why=why)
            self._owned.insert(place, self._folders.set_aside(owned.file.folder, inspected))
        except (sqlite3.Error, OSError, StoreError) as error:
            # A full disk, most likely: what is in it is saved as soon as there is room (see adopt).
            logger.error("%s is damaged (%s) and cannot be saved now: %s", owned.file.folder, why, error)
        finally:
            owned.let_go()
        self._measure()

    def _measure(self) -> None:
        self._bytes = sum(owned.file.contents().bytes for owned in self._owned)

    async def settle(self, delivered: Sequence[Spooled], dead: Sequence[tuple[Spooled, Refused]]) -> None:
        """See Spool.settle. On a full disk what was delivered is removed later, and not given again."""
        await self._commits.run(lambda: self._settle(delivered, dead))

    def _settle(self, delivered: Sequence[Spooled], dead: Sequence[tuple[Spooled, Refused]]) -> None:
        files = {owned.file.folder.name: owned.file for owned in self._owned}
        gone = _by_file([spooled.key for spooled in delivered])
        buried = {spooled.key: refused for spooled, refused in dead}
        for name, sequences in _by_file([*(s.key for s in delivered), *buried]).items():
            # A file that was set aside meanwhile has its entries elsewhere: they are given again.
            if name in files:
                refused = [(seq, buried[name, seq]) for seq in sequences if (name, seq) in buried]
                self._settle_file(files[name], gone.get(name, []), refused)

    def _settle_file(self, file: SpoolFile, gone: Sequence[int], dead: Sequence[tuple[int, Refused]]) -> None:
        try:
            self._bytes -= file.settle(gone, dead, self._now())
        except DamagedFile as error:
            logger.warning("%s: %s", file.folder, error)  # the next take sets it aside
        except (sqlite3.Error, OSError) as error:
            logger.warning("%s: delivered entries are not removed yet: %s", file.folder, error)

    async def sending(self, batch: Sequence[Spooled]) -> None:
        """See Spool.sending."""
        await self._commits.run(lambda: self._note(batch, SpoolFile.send))

    async def answered(self, batch: Sequence[Spooled]) -> None:
        """See Spool.answered."""
        await self._commits.run(lambda: self._note(batch, SpoolFile.answered))

    def _note(self, batch: Sequence[Spooled], note: Callable[[SpoolFile, Sequence[int]], None]) -> None:
        files = {owned.file.folder.name: owned.file for owned in self._owned}
        for name, sequences in _by_file([spooled.key for spooled in batch]).items():
            try:
                if name in files:
                    note(files[name], sequences)
            except OSError as error:
                # It is about counting after a crash, and no reason not to deliver.
                logger.warning("%s: what is handed on cannot be noted: %s", files[name].folder, error)

    async def count_resent(self, count: int) -> None:
        """See Spool.count_resent."""
        await self._commits.run(lambda: self._count("resent", count))

    def _count(self, name: str, count: int) -> None:
        try:
            self._own_file().count(name, count)
        except (DamagedFile, sqlite3.Error, StoreError) as error:
            logger.warning("%d %s entries are not counted: %s", count, name, error)

    async def check(self) -> SinkHealth:
        """See Spool.check."""
        try:
            reason = self._reason_against()
        except OSError as error:
            reason = f"the spool {self._directory} is gone: {error.strerror}"
        return SinkHealth(not reason, reason or f"spool {self._directory}")

    async def aclose(self) -> None:
        """See Spool.aclose."""
        if self._commits.close():
            await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        self._commits.finish()
        for owned in self._owned:
            owned.close()
        self._lock.release()


def _by_file(keys: Sequence[tuple[str, int]]) -> dict[str, list[int]]:
    return {name: [seq for _, seq in group] for name, group in groupby(sorted(keys), itemgetter(0))}


def _full(entry: LogEntry, reason: str) -> Failed:
    return Failed(entry.id, reason, Cause.OVERLOADED, RETRY_AFTER_FULL_S)


def _not_kept(entry: LogEntry, error: Exception) -> Failed | Unknown:
    codes = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    begun = not isinstance(error, StoreError)
    if not begun or (getattr(error, "sqlite_errorcode", 0) & 0xFF) in codes:
        return _full(entry, f"the spool could not be written: {error}")
    # After any other fault nobody knows how far the transaction came.
    return Unknown(entry.id, f"the spool could not be written: {error}: the log may be kept all the same")
