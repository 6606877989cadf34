"""The spool seen from outside, by an operator's command, while the bridge uses it or while none runs."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from logbridge.adapters.spool.damage import DamageReport, read_reports
from logbridge.adapters.spool.file import (
    COUNTERS,
    DATABASE_NAME,
    ROW_BYTES,
    TALLY_BYTES,
    check_version,
    connect,
    connect_to_read,
    is_damage,
    read_counters,
)
from logbridge.adapters.spool.folders import DAMAGED_NAME, worker_folders
from logbridge.adapters.spool.record import DamagedRecord, decode_record
from logbridge.adapters.spool.tally import TALLY_NAME, Tally
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import StoreError

_PAGE_ROWS = 500
_PAGE = "SELECT seq, since, reason, record FROM entries WHERE dead = ? AND seq > ? ORDER BY seq LIMIT ?"
_TOTALS = (
    "SELECT count(*) FILTER (WHERE dead = 0), count(*) FILTER (WHERE dead = 1), "
    "coalesce(sum(length(record)), 0), min(since) FILTER (WHERE dead = 0 AND since <> '') FROM entries"
)
_SET_COUNTER = "UPDATE counters SET value = ? WHERE name = ?"


class SpoolStatus(Struct, frozen=True):
    """What is in a spool. bytes: of all entries. oldest: RFC 3339, when the longest waiting entry came.

    delivered, buried: entries since the spool was made. resent: entries that went again though they may have
    been written. files: one for each worker. damaged: what damaged files cost.
    """

    waiting: int
    dead: int
    bytes: int
    oldest: str
    delivered: int
    resent: int
    buried: int
    files: int
    damaged: list[DamageReport]


class Kept(NamedTuple):
    """An entry in the spool, or a dead letter. since: RFC 3339, when it was kept or when it died, and why."""

    entry: LogEntry
    dead: bool
    since: str
    reason: str


class SpoolInventory:
    """The spool in ``directory``. Raises StoreError where it cannot be read or changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        if not directory.is_dir():
            raise StoreError(f"there is no spool at {directory}: LOGBRIDGE_SPOOL names it")

    def status(self) -> SpoolStatus:
        """Counts over all files."""
        waiting = dead = size_bytes = files = 0
        oldest: list[str] = []
        counters = dict.fromkeys(COUNTERS, 0)
        for _, connection in self._readers():
            files += 1
            row = connection.execute(_TOTALS).fetchone()
            waiting, dead = waiting + row[0], dead + row[1]
            size_bytes += row[2] + ROW_BYTES * (row[0] + row[1])
            oldest += [row[3]] if row[3] else []
            for name, count in read_counters(connection).items():
                counters[name] = counters.get(name, 0) + count
        reports = read_reports(self._directory / DAMAGED_NAME)
        named = {name: counters[name] for name in COUNTERS}
        return SpoolStatus(
            waiting, dead, size_bytes, min(oldest, default=""), files=files, damaged=reports, **named
        )

    def entries(self, *, dead: bool) -> Iterator[Kept]:
        """What waits, or the dead letters, oldest first."""
        for folder, connection in self._readers():
            last = 0
            while rows := connection.execute(_PAGE, (dead, last, _PAGE_ROWS)).fetchall():
                for last, since, reason, record in rows:
                    yield Kept(_decoded(folder, record, last), dead, since, reason)

    def retry(self) -> int:
        """Put the dead letters back; gives how many. A running bridge takes them within seconds."""
        return sum(
            self._change(
                folder,
                lambda connection, _: (
                    connection.execute("UPDATE entries SET dead = 0, reason = '' WHERE dead = 1").rowcount
                ),
            )
            for folder in worker_folders(self._directory)
        )

    def purge(self, *, dead: bool) -> int:
        """Delete the dead letters, or what waits; gives how many."""

        def delete(connection: sqlite3.Connection, folder: Path) -> int:
            rows = connection.execute("SELECT seq FROM entries WHERE dead = ?", (dead,)).fetchall()
            tally = Tally(folder / TALLY_NAME)
            try:
                # First, or these entries would count as lost after a crash.
                tally.remove(sequence for (sequence,) in rows)
                connection.execute("DELETE FROM entries WHERE dead = ?", (dead,))
                connection.execute(_SET_COUNTER, (tally.size_bytes, TALLY_BYTES))
            finally:
                tally.close()
            return len(rows)

        return sum(self._change(folder, delete) for folder in worker_folders(self._directory))

    def _change(self, folder: Path, work: Callable[[sqlite3.Connection, Path], int]) -> int:
        if not (folder / DATABASE_NAME).exists():
            return 0
        try:
            with closing(connect(folder)) as connection, connection:
                check_version(connection, folder)
                connection.execute("BEGIN IMMEDIATE")
                return work(connection, folder)
        except (sqlite3.Error, OSError) as error:
            raise _unusable(folder, error) from error

    def _readers(self) -> Iterator[tuple[Path, sqlite3.Connection]]:
        for folder in worker_folders(self._directory):
            try:
                with closing(connect_to_read(folder)) as connection:
                    if check_version(connection, folder):
                        yield folder, connection
            except sqlite3.OperationalError as error:
                if (folder / DATABASE_NAME).exists():
                    raise _unusable(folder, error) from error
                # Its worker has just got it empty and removed it.
            except sqlite3.Error as error:
                raise _unusable(folder, error) from error


def _decoded(folder: Path, record: bytes, sequence: int) -> LogEntry:
    try:
        return decode_record(record, sequence)
    except DamagedRecord as error:
        raise _unusable(folder, error) from None


def _unusable(folder: Path, error: Exception) -> StoreError:
    damaged = is_damage(error) or isinstance(error, DamagedRecord)
    remedy = "a start of the bridge sets it aside and saves what can be read" if damaged else "try again"
    return StoreError(f"the spool file {folder} cannot be used: {error}; {remedy}")
