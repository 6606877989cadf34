"""The file of the SQLite store: its schema, its connections, and how an entry lies in a row."""

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from logbridge.domain.entry import LogEntry, LogLevel, text_bytes
from logbridge.domain.errors import StoreError
from logbridge.domain.timestamp import epoch_us

# One tuple of statements for each version, which bring a file of the version before it there: step 0 fills an
# empty file. What was published is never edited, only added to: files of every version are out there.
#
# Neither the trigram tokenizer, LIKE nor replace() gets past U+0000: a message that holds one is stored
# unchanged, and once more as searched_text with spaces in its place (NULL for every other message).
# A trigger makes the text index part of the INSERT itself: both happen or neither does.
_VERSION_1 = (
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

# A contentless index forgets a row only when it is told the very text that it was given.
_VERSION_2 = (
    """
    CREATE TRIGGER logs_text_delete AFTER DELETE ON logs BEGIN
        INSERT INTO logs_text (logs_text, rowid, message)
        VALUES ('delete', old.seq, coalesce(old.searched_text, old.message));
    END
    """,
)

# Pieces of the text index are merged when there are more of a size: a log is rewritten less often.
# "crisismerge" merges all of them at once while everybody waits, so it stays beyond "automerge".
_VERSION_3 = (
    "INSERT INTO logs_text (logs_text, rank) VALUES ('automerge', 16)",
    "INSERT INTO logs_text (logs_text, rank) VALUES ('crisismerge', 32)",
)
_STEPS = (_VERSION_1, _VERSION_2, _VERSION_3)
SCHEMA_VERSION = len(_STEPS)
_CREATED = re.compile(r"CREATE (?:VIRTUAL )?(TABLE|INDEX|TRIGGER) (\w+)")

ENTRY_COLUMNS = "id, service_name, level, message, timestamp, metadata, trace_id, span_id, timestamp_assigned"
Row = tuple[Any, ...]

_CACHE_KIB = 32 * 1024  # one transaction changes more pages than the 2 MiB of the default hold
_OPCODES_PER_LOOK_FOR_CTRL_C = 50_000
_FREE_BYTES_NEEDED = 256 * 1024  # a few steps of growth of the write-ahead log and its index

_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode


def open_store_file(path: Path, lock_wait_s: float) -> sqlite3.Connection:
    """A connection that writes, to a file that is made if it is missing and upgraded if it is older.

    lock_wait_s: how long a statement waits for another process's lock. Raises StoreError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = connect(path, lock_wait_s)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot open the store {path}: {error}; choose another LOGBRIDGE_STORE") from error
    return _checked(connection, path, _prepare)


def open_existing(
    path: Path, lock_wait_s: float, *, mode: Literal["rw", "ro"] = "rw", is_a: str = "store"
) -> sqlite3.Connection:
    """A connection to a file that must be there, of any version that we know, and that stays at its version.

    is_a: what the file is to the caller, for the error. Raises StoreError.
    """
    if not path.is_file():
        raise StoreError(f"there is no {is_a} {path}: no such file; name another one")
    try:
        # as_uri() escapes what a URI would take for its own: ? and #.
        connection = connect(f"{path.absolute().as_uri()}?mode={mode}", lock_wait_s)
    except sqlite3.Error as error:
        raise StoreError(f"cannot open the {is_a} {path}: {error}; check its permissions") from error
    return _checked(connection, path, _need_store)


def _checked(
    connection: sqlite3.Connection, path: Path, prepare: Callable[[sqlite3.Connection, Path], object]
) -> sqlite3.Connection:
    try:
        prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        advice = "make room on its disk" if is_full(error, path) else "choose another file"
        raise StoreError(f"cannot use {path} as a store: {error}; {advice}") from error
    except StoreError:
        connection.close()
        raise
    return connection


def connect(path: Path | str, lock_wait_s: float) -> sqlite3.Connection:
    """A connection in autocommit mode that any one thread at a time may use. path: a file, or a URI."""
    return sqlite3.connect(
        path, timeout=lock_wait_s, isolation_level=None, check_same_thread=False, uri=isinstance(path, str)
    )


def connect_reader(path: Path, lock_wait_s: float) -> sqlite3.Connection:
    """A connection that only reads, and knows ``metadata_has(metadata, wanted)``."""
    connection = connect(path, lock_wait_s)
    connection.execute("PRAGMA query_only = ON")
    connection.create_function("metadata_has", 2, _metadata_has, deterministic=True)
    return connection


def heed_ctrl_c(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Let Ctrl-C end a statement that runs for minutes, as the main thread's statements would not; see
    tell_ctrl_c. Gives the connection.
    """
    # Python looks for signals when a function begins. SQLite makes an error of what is raised there.
    connection.set_progress_handler(_nothing, _OPCODES_PER_LOOK_FOR_CTRL_C)
    return connection


def _nothing() -> None:
    pass


def tell_ctrl_c(error: BaseException) -> None:
    """Raises KeyboardInterrupt if that is what ended a statement."""
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
        raise KeyboardInterrupt from None


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction that may write from its first statement on; an exception takes all of it back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Does nothing where SQLite has already rolled back by itself, as after a full disk.
        connection.rollback()
        raise


def is_full(error: sqlite3.Error, path: Path) -> bool:
    """Whether an error means that the disk of the file is full.

    SQLite says so where a write ends short. Where the write-ahead log or its index cannot grow it is a plain
    I/O error, and the disk itself must be asked.
    """
    # Extended codes carry the primary one in their low byte.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return bool(code == sqlite3.SQLITE_FULL)
    try:
        return shutil.disk_usage(path.parent).free < _FREE_BYTES_NEEDED
    except OSError:
        return False


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # Before anything is changed: a database of another program is left as it is.
    _known_version(connection, path)
    # Only a file without a first page takes it; an older one waits for `logbridge store vacuum`.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    while _upgraded(connection, path):
        pass


def _upgraded(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether there was a step to take; it is taken as a whole or not at all."""
    # The lock makes one of two processes that open an old file the one that upgrades it.
    with transaction(connection):
        version = _known_version(connection, path)
        if version == SCHEMA_VERSION:
            return False
        for statement in _STEPS[version]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version + 1}")
    return True


def _known_version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the store {path} has schema version {version}, this logbridge knows up to {SCHEMA_VERSION}: "
            "use a newer logbridge, or choose another file"
        )
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and (version < 1 or not {"logs", "logs_text"} <= tables):
        raise StoreError(f"{path} is a database of another program: choose another file")
    return version


def _need_store(connection: sqlite3.Connection, path: Path) -> None:
    if _known_version(connection, path) == 0:
        raise StoreError(f"{path} is empty, not a store: name another file")


def missing_parts(connection: sqlite3.Connection) -> list[str]:
    """Tables, indexes and triggers of its version that a file lacks, each as "index logs_time"."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    statements = (statement for step in _STEPS[:version] for statement in step)
    made = [match.groups() for statement in statements if (match := _CREATED.search(statement))]
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    return [f"{kind.lower()} {name}" for kind, name in made if name not in found]


def to_row(entry: LogEntry) -> Row:
    """The values of an entry, in the order of the columns, without seq.

    Raises ValueError or InvalidEntry for text or a time that cannot be stored.
    """
    texts = (entry.id, entry.service_name, entry.message, entry.timestamp, entry.trace_id, entry.span_id)
    try:
        "".join((*texts, *entry.metadata, *entry.metadata.values())).encode()
    except UnicodeEncodeError:
        text_bytes(entry)  # says in which field
        raise
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
        int(entry.timestamp_assigned),
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
