"""Writing to the SQLite store: many batches in one transaction, and an answer for every entry."""

import sqlite3
from collections.abc import Sequence

from logbridge.adapters.sqlite_file import ENTRY_COLUMNS, to_entry, to_row
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
        return _in_transaction(connection, batches)
    except sqlite3.Error as error:
        if len(batches) > 1 and _is_full(error):
            return [store_batches(connection, [batch])[0] for batch in batches]
        return [[_failed(entry, error) for entry in batch] for batch in batches]


def _in_transaction(connection: sqlite3.Connection, batches: Sequence[Batch]) -> list[list[Outcome]]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        outcomes = [[_store(connection, entry) for entry in batch] for batch in batches]
        connection.execute("COMMIT")
    except BaseException:
        # Does nothing where SQLite has already rolled back by itself, as after a full disk.
        connection.rollback()
        raise
    return outcomes


def _store(connection: sqlite3.Connection, entry: LogEntry) -> Outcome:
    try:
        row = to_row(entry)
    except (ValueError, InvalidEntry) as error:
        return Refused(entry.id, str(error), Cause.INVALID)
    if connection.execute(_INSERT, row).rowcount:
        return Accepted(entry.id)
    found = connection.execute(_SELECT_BY_ID, (entry.service_name, entry.id)).fetchone()
    return answer_again(to_entry(found), entry)


def _failed(entry: LogEntry, error: sqlite3.Error) -> Failed:
    if _is_full(error):
        reason = "the log service's disk is full: the log was not stored"
        return Failed(entry.id, reason, Cause.OVERLOADED, RETRY_AFTER_FULL_S)
    return Failed(entry.id, f"the log service's store could not be written: {error}")


def _is_full(error: sqlite3.Error) -> bool:
    # Extended codes carry the primary one in their low byte.
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) == sqlite3.SQLITE_FULL
