"""The file of the SQLite store: its schema, its connections, and how an entry lies in a row."""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from logbridge.domain.entry import LogEntry, LogLevel, text_bytes
from logbridge.domain.errors import StoreError
from logbridge.domain.timestamp import epoch_us

SCHEMA_VERSION = 1

# Neither the trigram tokenizer, LIKE nor replace() gets past U+0000: a message that holds one is stored
# unchanged, and once more as searched_text with spaces in its place (NULL for every other message).
# A trigger makes the text index part of the INSERT itself: both happen or neither does.
_SCHEMA = (
    """
    CREATE TABLE logs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        service_name TEXT NOT NULL,
        level INTEGER NOT NULL,
        message TEXT NOT NULL,
        timestamp TEXT NOT NULL,
        time_us INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        trace_id TEXT NOT NULL,
        span_id TEXT NOT NULL,
        timestamp_assigned INTEGER NOT NULL,
        searched_text TEXT,
        UNIQUE (service_name, id)
    )
    """,
    "CREATE INDEX logs_time ON logs (time_us)",
    "CREATE INDEX logs_service_time ON logs (service_name, time_us)",
    "CREATE INDEX logs_level_time ON logs (level, time_us)",
    "CREATE INDEX logs_trace_time ON logs (trace_id, time_us)",
    "CREATE VIRTUAL TABLE logs_text USING fts5(message, content='', columnsize=0, tokenize='trigram')",
    """
    CREATE TRIGGER logs_text_insert AFTER INSERT ON logs BEGIN
        INSERT INTO logs_text (rowid, message) VALUES (new.seq, coalesce(new.searched_text, new.message));
    END
    """,
)

ENTRY_COLUMNS = "id, service_name, level, message, timestamp, metadata, trace_id, span_id, timestamp_assigned"
Row = tuple[Any, ...]

_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode


def open_store_file(path: Path, lock_wait_s: float) -> sqlite3.Connection:
    """A connection that writes; the file and its directory are made if they are missing.

    lock_wait_s: how long a statement waits for another process's lock. Raises StoreError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = connect(path, lock_wait_s)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot open the store {path}: {error}; choose another LOGBRIDGE_STORE") from error
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"cannot use {path} as a store: {error}; choose another LOGBRIDGE_STORE") from error
    except StoreError:
        connection.close()
        raise
    return connection


def connect(path: Path, lock_wait_s: float) -> sqlite3.Connection:
    """A connection in autocommit mode that any one thread at a time may use."""
    return sqlite3.connect(path, timeout=lock_wait_s, isolation_level=None, check_same_thread=False)


def connect_reader(path: Path, lock_wait_s: float) -> sqlite3.Connection:
    """A connection that only reads, and knows ``metadata_has(metadata, wanted)``."""
    connection = connect(path, lock_wait_s)
    connection.execute("PRAGMA query_only = ON")
    connection.create_function("metadata_has", 2, _metadata_has, deterministic=True)
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # The lock makes the first of two processes that open a new file the one that fills it.
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the store {path} has schema version {version}, this logbridge knows up to {SCHEMA_VERSION}: "
            "use a newer logbridge or another LOGBRIDGE_STORE"
        )
    if version == 0:
        _create(connection, path)
    connection.execute("COMMIT")


def _create(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(f"{path} is a database of another program: choose another file in LOGBRIDGE_STORE")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def to_row(entry: LogEntry) -> Row:
    """The values of an entry, in the order of the columns, without seq.

    Raises ValueError or InvalidEntry for text or a time that cannot be stored.
    """
    text_bytes(entry)
    return (
        entry.id,
        entry.service_name,
        int(entry.level),
        entry.message,
        entry.timestamp,
        epoch_us(entry.timestamp),
        metadata_json(entry.metadata),
        entry.trace_id,
        entry.span_id,
        entry.timestamp_assigned,
        searchable(entry.message) if "\0" in entry.message else None,
    )


def to_entry(row: Row) -> LogEntry:
    """The entry of a row of ENTRY_COLUMNS."""
    id_, service_name, level, message, timestamp, metadata, trace_id, span_id, assigned = row
    return LogEntry(
        id=id_,
        service_name=service_name,
        level=LogLevel(level),
        message=message,
        timestamp=timestamp,
        metadata=_decode_metadata(metadata),
        trace_id=trace_id,
        span_id=span_id,
        timestamp_assigned=bool(assigned),
    )


def searchable(text: str) -> str:
    """A text as full-text search sees it, in messages and in questions."""
    return text.replace("\0", " ")


def metadata_json(metadata: dict[str, str]) -> str:
    """Metadata as it is stored: compact JSON with sorted keys, so that equal metadata is equal text."""
    return _encode_sorted(metadata).decode()


def _metadata_has(metadata: str, wanted: str) -> bool:
    return _decode_metadata(wanted).items() <= _decode_metadata(metadata).items()
