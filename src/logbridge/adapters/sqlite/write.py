"""Writing to the SQLite store: many batches in one transaction, and an answer for every entry."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path

from logbridge.adapters.sqlite.file import ENTRY_COLUMNS, Row, is_full, to_entry, to_row, transaction
from logbridge.adapters.taken_id import answer_again
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import InvalidEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused

Batch = Sequence[LogEntry]

RETRY_AFTER_FULL_S = 5.0

# A power of two; with 11 columns it stays below the 32,766 values that SQLite binds to one statement.
STATEMENT_ROWS_MAX = 2_048
_ABSENT: Row = (None,) * 11

_INSERT = """
INSERT INTO logs (id, service_name, level, message, timestamp, time_us, metadata, trace_id, span_id,
                  timestamp_assigned, searched_text)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL
ON CONFLICT (service_name, id) DO NOTHING
"""
_SELECT_NEWEST = "SELECT coalesce(max(seq), 0) FROM logs"
_SELECT_BY_ID = f"SELECT seq, {ENTRY_COLUMNS} FROM logs WHERE service_name = ? AND id = ?"  # noqa: S608 (constant)


def store_batches(connection: sqlite3.Connection, batches: Sequence[Batch]) -> list[list[Outcome]]:
    """Store batches in one transaction, and answer for every entry once it is on the disk.

    A disk without room for all of them may have room for some: then each batch gets a transaction of its own.
    """
    # Before the transaction: the lock of the file is for writing only.
    made = [[_row_or_refused(entry) for entry in batch] for batch in batches]
    rows = [row for batch in made for row in batch if not isinstance(row, Refused)]
    try:
        with transaction(connection):
            present = insert_new(connection, rows)
    except sqlite3.Error as error:
        full = is_full(error, _path_of(connection))
        if len(batches) > 1 and full:
            return [store_batches(connection, [batch])[0] for batch in batches]
        return [[_failed(entry, error, full=full) for entry in batch] for batch in batches]
    number = iter(range(len(rows)))
    return [list(_answers(batch, of, number, present)) for batch, of in zip(batches, made, strict=True)]


def _path_of(connection: sqlite3.Connection) -> Path:
    return Path(connection.execute("PRAGMA database_list").fetchone()[2])


def _row_or_refused(entry: LogEntry) -> Row | Refused:
    try:
        return to_row(entry)
    except (ValueError, InvalidEntry) as error:
        return Refused(entry.id, str(error), Cause.INVALID)


def _answers(
    batch: Batch, made: Sequence[Row | Refused], number: Iterator[int], present: Mapping[int, LogEntry]
) -> Iterator[Outcome]:
    """number: counts the rows of all batches."""
    for entry, row in zip(batch, made, strict=True):
        if isinstance(row, Refused):
            yield row
        elif (stored := present.get(next(number))) is None:
            yield Accepted(entry.id)
        else:
            yield answer_again(stored, entry)


def insert_new(connection: sqlite3.Connection, rows: Sequence[Row]) -> dict[int, LogEntry]:
    """Store those rows of to_row() that are new; what has the service and id of the others, by their index.

    Of two in ``rows`` with the same service and id the first is new.
    """
    present: dict[int, LogEntry] = {}
    for start in range(0, len(rows), STATEMENT_ROWS_MAX):
        some = rows[start : start + STATEMENT_ROWS_MAX]
        (newest,) = connection.execute(_SELECT_NEWEST).fetchone()
        if _insert(connection, some) < len(some):
            found = _not_new(connection, some, newest)
            present |= {start + index: entry for index, entry in found}
    return present


def _insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> int:
    """Store rows; how many are new.

    One statement for all of them: at the start of each statement that has a trigger fts5 writes out what it
    has gathered, and with a statement for each log that is most of the work. In the middle of one, other
    threads of this process run.
    """
    # Sizes are powers of two, so that few statements are prepared; empty rows are passed over.
    size = 1 << (len(rows) - 1).bit_length()
    values = list(chain(chain.from_iterable(rows), _ABSENT * (size - len(rows))))
    return connection.execute(_insert_sql(size), values).rowcount


@cache
def _insert_sql(size: int) -> str:
    row = f"({', '.join('?' * len(_ABSENT))})"
    return _INSERT.format(rows=", ".join([row] * size))


def _not_new(
    connection: sqlite3.Connection, rows: Sequence[Row], newest: int
) -> Iterator[tuple[int, LogEntry]]:
    """newest: the last sequence before these rows."""
    seen: set[Row] = set()
    for index, row in enumerate(rows):
        id_, service_name = key = row[:2]
        sequence, *stored = connection.execute(_SELECT_BY_ID, (service_name, id_)).fetchone()
        if sequence <= newest or key in seen:
            yield index, to_entry(tuple(stored))
        seen.add(key)


def _failed(entry: LogEntry, error: sqlite3.Error, *, full: bool) -> Failed:
    if full:
        reason = "the log service's disk is full: the log was not stored"
        return Failed(entry.id, reason, Cause.OVERLOADED, RETRY_AFTER_FULL_S)
    return Failed(entry.id, f"the log service's store could not be written: {error}")
