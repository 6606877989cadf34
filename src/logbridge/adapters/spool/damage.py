"""Damage: looking whether a spool file is sound, and saving what can be read of one that is not."""

import mmap
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from logbridge.adapters.spool.file import (
    COUNTERS,
    DATABASE_NAME,
    TALLY_BYTES,
    TALLY_GENERATION,
    Row,
    SpoolFile,
    check_version,
    connect_to_read,
    is_passing,
    read_counters,
)
from logbridge.adapters.spool.record import DamagedRecord, check_record, find_records
from logbridge.adapters.spool.tally import NEVER_SEEN, TALLY_NAME, Seen, Tallied, ids_of, read_tally
from logbridge.domain.kept import DamageReport

REPORT_NAME = "report.json"
_ROWS = "SELECT seq, dead, since, reason, record FROM entries"
_CHUNK_ROWS = 500


class Inspected(NamedTuple):
    """What was seen in a spool file.

    why: what is damaged, empty if it is sound. tallied: what should be there. tally_only: the database is
    sound, and its tally is not. remains: what is settled and has not been removed.
    """

    why: str
    tallied: Tallied
    tally_only: bool = False
    remains: frozenset[int] = frozenset()


def inspect(folder: Path) -> Inspected:
    """Read a spool file from end to end, changing nothing.

    Raises StoreError for one of a newer logbridge, and sqlite3.Error where it cannot be looked into now.
    """
    database = folder / DATABASE_NAME
    if not database.exists() or not database.stat().st_size:
        tallied = read_tally(folder / TALLY_NAME, NEVER_SEEN)
        return Inspected("the database is gone" if tallied.live else "", tallied)
    connection = connect_to_read(folder)
    try:
        if check_version(connection, folder) == 0:
            raise sqlite3.DatabaseError("the schema is gone")
        tallied = read_tally(folder / TALLY_NAME, _seen(connection))
        found = {row.seq for row in _checked(connection.execute(_ROWS + " ORDER BY seq"))}
    except (sqlite3.Error, DamagedRecord) as error:
        if isinstance(error, sqlite3.Error) and is_passing(error):
            raise
        return Inspected(str(error), read_tally(folder / TALLY_NAME, NEVER_SEEN))
    finally:
        connection.close()
    if not tallied.sound:
        # Without its tally nobody can say that an entry is missing; what is in a sound database is all there.
        return Inspected("the tally is damaged; the database is sound", tallied, tally_only=True)
    missing = tallied.live - found
    why = f"{len(missing)} entries are missing" if missing else ""
    return Inspected(why, tallied, remains=frozenset(found & tallied.removed))


def _seen(connection: sqlite3.Connection) -> Seen:
    counters = read_counters(connection)
    return Seen(counters.get(TALLY_GENERATION, 0), counters.get(TALLY_BYTES, 0))


def _checked(rows: Iterable[tuple[int, int, str, str, bytes]]) -> Iterator[Row]:
    for values in rows:
        row = Row(*values)
        check_record(row.record, row.seq)
        if row != _filed(row):
            raise DamagedRecord(f"entry {row.seq} is marked as a dead letter, and has no reason")
        yield row


def _filed(row: Row) -> Row:
    """The row where it belongs: the mark of a dead letter is in no checksum, but each has a reason."""
    return row._replace(dead=int(row.dead == 1 and bool(row.reason)))


def salvage(folder: Path, into: SpoolFile, inspected: Inspected, at: str) -> DamageReport:
    """Copy everything that can be read of a damaged file, and report what cannot."""
    tallied = inspected.tallied
    saved: set[int] = set()
    broken: set[int] = set()
    readable = _readable(folder, tallied.live, saved, broken)
    wanted = (row for row in readable if row.seq not in tallied.removed)
    while rows := list(islice(wanted, _CHUNK_ROWS)):
        into.insert(rows)
    into.count_interrupted(tallied.sent & saved)
    _save_counters(folder, into)
    # A sound tally knows what there was; without one, what can be seen and not read counts.
    expected = tallied.live if tallied.sound else tallied.live | broken
    lost = expected - saved - tallied.removed
    ids = ids_of(folder / TALLY_NAME, lost)
    return DamageReport(
        file=folder.name,
        at=at,
        why=inspected.why,
        found=len(saved - tallied.removed),
        lost=len(lost),
        lost_ids=[ids.get(sequence, f"entry {sequence}, id unknown") for sequence in sorted(lost)],
    )


def _save_counters(folder: Path, into: SpoolFile) -> None:
    """Counters that can be read; those of a file whose table is broken begin anew."""
    if not (folder / DATABASE_NAME).exists():
        return
    connection = connect_to_read(folder)
    try:
        counters = read_counters(connection)
    except (sqlite3.Error, UnicodeDecodeError):
        return
    finally:
        connection.close()
    for name in COUNTERS:
        if isinstance(counters.get(name), int):
            into.count(name, counters[name])


def _readable(folder: Path, live: set[int], saved: set[int], broken: set[int]) -> Iterator[Row]:
    """Every row that can be read, each once; ``saved`` and ``broken`` fill up on the way."""
    for row in _readable_by_sqlite(folder, live, saved, broken):
        saved.add(row.seq)
        yield row
    # A broken page above hides sound ones below, and a broken frame those after it: so look at the bytes.
    for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal"):
        for sequence, record in _in_bytes(folder / name):
            if sequence in (live | broken) - saved:
                saved.add(sequence)
                yield Row(sequence, 0, "", "", record)


def _readable_by_sqlite(folder: Path, live: set[int], saved: set[int], broken: set[int]) -> Iterator[Row]:
    if not (folder / DATABASE_NAME).exists():
        return
    connection = connect_to_read(folder)
    try:
        yield from _until_damage(connection, _ROWS + " ORDER BY seq", (), saved, broken)
        yield from _until_damage(connection, _ROWS + " ORDER BY seq DESC", (), saved, broken)
        for sequence in sorted(live - saved):
            yield from _until_damage(connection, _ROWS + " WHERE seq = ?", (sequence,), saved, broken)
    finally:
        connection.close()


def _until_damage(
    connection: sqlite3.Connection, sql: str, values: tuple[int, ...], saved: set[int], broken: set[int]
) -> Iterator[Row]:
    try:
        for row in map(Row._make, connection.execute(sql, values)):
            if row.seq not in saved and _is_sound(row):
                yield _filed(row)
            elif row.seq not in saved:
                broken.add(row.seq)
    except (sqlite3.Error, UnicodeDecodeError):
        return


def _is_sound(row: Row) -> bool:
    try:
        check_record(row.record, row.seq)
    except DamagedRecord:
        return False
    return True


def _in_bytes(path: Path) -> Iterator[tuple[int, bytes]]:
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        yield from find_records(raw)


def write_report(folder: Path, report: DamageReport) -> None:
    """Put the report beside the damaged file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(report)))


def read_report(folder: Path) -> DamageReport:
    """The report beside a damaged file."""
    return msgspec.json.decode((folder / REPORT_NAME).read_bytes(), type=DamageReport)


def read_reports(damaged: Path) -> list[DamageReport]:
    """The reports of all damaged files, oldest first."""
    reports = [read_report(file.parent) for file in damaged.glob(f"*/{REPORT_NAME}")]
    return sorted(reports, key=lambda report: report.at)
