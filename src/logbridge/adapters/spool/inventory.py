"""The spool seen from outside, by an operator's command, while the bridge uses it or while none runs."""

import functools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from logbridge.adapters.spool.damage import read_reports
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
from logbridge.domain.kept import Kept, SpoolStatus, Tick, untold

_PAGE_ROWS = 500
_PAGE = "SELECT seq, since, reason, record FROM entries WHERE dead = ? AND seq > ? ORDER BY seq LIMIT ?"
_TOTALS = (
    "SELECT count(*) FILTER (WHERE dead = 0), count(*) FILTER (WHERE dead = 1), "
    "coalesce(sum(length(record)), 0), min(since) FILTER (WHERE dead = 0 AND since <> '') FROM entries"
)
_STEP = "SELECT seq FROM entries WHERE dead = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
# Works on the entries from one sequence to another, both included.
_Work = Callable[[sqlite3.Connection, Path, int, int], None]
T = TypeVar("T")
_SET_COUNTER = "UPDATE counters SET value = ? WHERE name = ?"


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

    def retry(self, tick: Tick = untold) -> int:
        """Put the dead letters back; gives how many. A running bridge takes them within seconds."""

        def revive(connection: sqlite3.Connection, _: Path, first: int, last: int) -> None:
            connection.execute(
                "UPDATE entries SET dead = 0, reason = '' WHERE dead = 1 AND seq BETWEEN ? AND ?",
                (first, last),
            )

        return self._in_steps(revive, tick, dead=True)

    def purge(self, tick: Tick = untold, *, dead: bool) -> int:
        """Delete the dead letters, or what waits; gives how many."""

        def delete(connection: sqlite3.Connection, folder: Path, first: int, last: int) -> None:
            which = (dead, first, last)
            rows = connection.execute(
                "SELECT seq FROM entries WHERE dead = ? AND seq BETWEEN ? AND ?", which
            ).fetchall()
            tally = Tally(folder / TALLY_NAME)
            try:
                # First, or these entries would count as lost after a crash.
                tally.remove(sequence for (sequence,) in rows)
                connection.execute("DELETE FROM entries WHERE dead = ? AND seq BETWEEN ? AND ?", which)
                connection.execute(_SET_COUNTER, (tally.size_bytes, TALLY_BYTES))
            finally:
                tally.close()

        return self._in_steps(delete, tick, dead=dead)

    def _in_steps(self, work: _Work, tick: Tick, *, dead: bool) -> int:
        """Work on all such entries that there are now, some in each transaction: whoever interrupts it, or a
        bridge that writes meanwhile, waits for one of them only. Gives how many.
        """
        found = self.status()
        total = found.dead if dead else found.waiting
        done = 0
        for folder in worker_folders(self._directory):
            after, top = 0, self._change(folder, lambda connection, _: _last(connection), 0)
            while after < top:
                step = functools.partial(_step, work, dead, after, top)
                count, after = self._change(folder, step, (0, top))
                done += count
                tick(done, max(total, done))
        return done

    def _change(self, folder: Path, work: Callable[[sqlite3.Connection, Path], T], nothing: T) -> T:
        if not (folder / DATABASE_NAME).exists():
            return nothing
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


def _last(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM entries").fetchone()[0])


def _step(
    work: _Work, dead: bool, after: int, top: int, connection: sqlite3.Connection, folder: Path
) -> tuple[int, int]:
    """How many entries it worked on, and the sequence of the last one; the top where none is left."""
    rows = connection.execute(_STEP, (dead, after, top, _PAGE_ROWS)).fetchall()
    if not rows:
        return 0, top
    work(connection, folder, rows[0][0], rows[-1][0])
    return len(rows), rows[-1][0]


def _decoded(folder: Path, record: bytes, sequence: int) -> LogEntry:
    try:
        return decode_record(record, sequence)
    except DamagedRecord as error:
        raise _unusable(folder, error) from None


def _unusable(folder: Path, error: Exception) -> StoreError:
    damaged = is_damage(error) or isinstance(error, DamagedRecord)
    remedy = "a start of the bridge sets it aside and saves what can be read" if damaged else "try again"
    return StoreError(f"the spool file {folder} cannot be used: {error}; {remedy}")
