"""Writing to the SQLite store: many batches in one transaction, and an answer for every entry."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from logbridge.adapters.sqlite.file import ENTRY_COLUMNS, Row, is_full, to_entry, to_row, transaction
from logbridge.adapters.taken_id import answer_again
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import InvalidEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused

Batch = Sequence[LogEntry]

RETRY_AFTER_FULL_S = 5.0

_INSERT = """
INSERT INTO logs (id, service_name, level, message, timestamp, time_us, metadata, trace_id, span_id,
                  timestamp_assigned, searched_text)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (service_name, id) DO NOTHING
"""
_SELECT_BY_ID = f"SELECT {ENTRY_COLUMNS} FROM logs WHERE service_name = ? AND id = ?"  # noqa: S608 (constant)


def store_batches(connection: sqlite3.Connection, batches: Sequence[Batch]) -> list[list[Outcome]]:
    """Store batches in one transaction, and answer for every entry once it is on the disk.

    A disk without room for all of them may have room for some: then each batch gets a transaction of its own.
    """
    try:
        with transaction(connection):
            return [[_store(connection, entry) for entry in batch] for batch in batches]
    except sqlite3.Error as error:
        full = is_full(error, _path_of(connection))
        if len(batches) > 1 and full:
            return [store_batches(connection, [batch])[0] for batch in batches]
        return [[_failed(entry, error, full=full) for entry in batch] for batch in batches]


def _path_of(connection: sqlite3.Connection) -> Path:
    return Path(connection.execute("PRAGMA database_list").fetchone()[2])


def _store(connection: sqlite3.Connection, entry: LogEntry) -> Outcome:
    try:
        row = to_row(entry)
    except (ValueError, InvalidEntry) as error:
        return Refused(entry.id, str(error), Cause.INVALID)
    stored = insert_or_find(connection, row)
    return answer_again(stored, entry) if stored else Accepted(entry.id)


def insert_or_find(connection: sqlite3.Connection, row: Row) -> LogEntry | None:
    """Store a row of to_row(); None if it is new, else the entry that already has its service and id."""
    if connection.execute(_INSERT, row).rowcount:
        return None
    id_, service_name = row[:2]
    return to_entry(connection.execute(_SELECT_BY_ID, (service_name, id_)).fetchone())


def _failed(entry: LogEntry, error: sqlite3.Error, *, full: bool) -> Failed:
    if full:
        reason = "the log service's disk is full: the log was not stored"
        return Failed(entry.id, reason, Cause.OVERLOADED, RETRY_AFTER_FULL_S)
    return Failed(entry.id, f"the log service's store could not be written: {error}")
