"""One spool file: a SQLite database in a folder of its own, with its tally. One process owns it (lock.py)."""

import errno
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from logbridge.adapters.spool.record import DamagedRecord, decode_record, encode_record
from logbridge.adapters.spool.tally import TALLY_NAME, Tally
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import StoreError
from logbridge.domain.outcome import Refused

DATABASE_NAME = "spool.db"
SCHEMA_VERSION = 1
COUNTERS = ("delivered", "resent", "buried")
LOCK_WAIT_S = 5.0
# Bytes of a row besides its record: row id, lengths, its share of the pages above.
ROW_BYTES = 64
# A tally is rewritten when it has grown to several times what is needed.
TALLY_BYTES_MIN = 1024 * 1024
TALLY_GROWTH = 4

_SCHEMA = (
    """
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        dead INTEGER NOT NULL DEFAULT 0,
        since TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        record BLOB NOT NULL
    )
    """,
    "CREATE INDEX dead_entries ON entries (seq) WHERE dead = 1",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
)
_TAKE = "SELECT seq, record FROM entries WHERE dead = 0 AND seq > ? ORDER BY seq LIMIT ?"
_COUNT = "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
_SET = "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
# The counters that hold which tally was last seen whole, and its size.
TALLY_GENERATION = "tally_generation"
TALLY_BYTES = "tally_bytes"


class DamagedFile(Exception):
    """The spool file holds what nobody wrote; the message says what was seen."""


class Row(NamedTuple):
    """A row of a spool file. since: RFC 3339, when it was kept, or when it died. reason: of its death."""

    seq: int
    dead: int
    since: str
    reason: str
    record: bytes


class Contents(NamedTuple):
    """What is in a spool file: entries that wait, dead letters, and bytes of both."""

    waiting: int
    dead: int
    bytes: int


class SpoolFile:
    """An open spool file; made with its folder if it is missing.

    last_sequence: the highest that its tally knows; a sequence is never used for two entries.
    Raises StoreError when it cannot be used. Any method raises DamagedFile, or sqlite3.Error for a disk that
    is full or a lock that another process holds.
    """

    def __init__(self, folder: Path, last_sequence: int = 0) -> None:
        self.folder = folder
        self._connection = _open(folder)
        self._tally = Tally(folder / TALLY_NAME)
        self._cursor = 0
        self._taken: set[int] = set()
        self._unremoved: set[int] = set()
        self._sent: set[int] = set()
        self._seen_generation = 0
        self._changes = self._data_version()
        self._tally_bytes_max = max(TALLY_BYTES_MIN, TALLY_GROWTH * self._tally.size_bytes)
        self._next = max(self._highest(), last_sequence) + 1

    def _highest(self) -> int:
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
        return int(row[0]) if row else 0

    def contents(self) -> Contents:
        """Counts, by reading the whole file."""
        with _damage_told():
            waiting, dead, size_bytes = self._connection.execute(
                "SELECT count(*) FILTER (WHERE dead = 0), count(*) FILTER (WHERE dead = 1), "
                "coalesce(sum(length(record)), 0) FROM entries"
            ).fetchone()
        return Contents(waiting, dead, size_bytes + ROW_BYTES * (waiting + dead))

    def append(self, entries: Sequence[LogEntry], now: str) -> int:
        """Keep entries in one transaction, on the disk when it returns; gives their bytes."""
        first = self._next
        rows = [(first + n, now, encode_record(first + n, entry)) for n, entry in enumerate(entries)]
        with _damage_told(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT INTO entries (seq, since, record) VALUES (?, ?, ?)", rows)
            self._note_tally()
        self._next += len(rows)
        self._tally.add((first + n, entry.id) for n, entry in enumerate(entries))
        return sum(len(record) + ROW_BYTES for _, _, record in rows)

    def take(self, entries_max: int, bytes_max: int) -> list[tuple[int, LogEntry]]:
        """The oldest waiting entries that were not given yet, at least one if there is any."""
        taken: list[tuple[int, LogEntry]] = []
        size_bytes = 0
        with _damage_told():
            # After a change from outside the cursor starts anew, and passes those that were given already.
            rows = self._connection.execute(_TAKE, (self._cursor, entries_max + len(self._taken)))
            for sequence, record in rows:
                given = sequence in self._taken
                size_bytes += 0 if given else len(record)
                if len(taken) == entries_max or (taken and size_bytes > bytes_max):
                    break
                self._cursor = sequence
                if not given:
                    taken.append((sequence, decode_record(record, sequence)))
        self._taken.update(sequence for sequence, _ in taken)
        return taken

    def notice_changes(self) -> bool:
        """Whether an operator changed something from another process; ``take`` then looks from the start."""
        version = self._data_version()
        changed = version != self._changes
        if changed:
            self._changes, self._cursor = version, 0
        return changed

    def _data_version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def send(self, sequences: Sequence[int]) -> None:
        """Note entries that are about to be handed on: a crash now leaves open what became of them."""
        self._sent.update(sequences)
        self._tally.send(sequences)

    def answered(self, sequences: Sequence[int]) -> None:
        """Note that entries handed on stay here, and that what became of them is known or counted."""
        self._sent.difference_update(sequences)
        self._tally.answered(sequences)

    def count_interrupted(self, sent: Iterable[int]) -> None:
        """Count entries that go again because a process died between handing them on and the answer."""
        if again := sorted(sent):
            self.count("resent", len(again))
            self._tally.answered(again)

    def settle(self, delivered: Iterable[int], dead: Sequence[tuple[int, Refused]], now: str) -> int:
        """Remove what was delivered, mark what is dead; gives the bytes that became free.

        What cannot be removed now (a full disk) is removed with the next call, and not given again meanwhile.
        """
        self._unremoved.update(delivered)
        gone = sorted(self._unremoved)
        with _damage_told(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            freed_bytes = self._remove(gone)
            self._connection.executemany(
                "UPDATE entries SET dead = 1, since = ?, reason = ? WHERE seq = ?",
                # A dead letter without a reason would be taken for damage.
                [(now, refused.reason or "no reason given", sequence) for sequence, refused in dead],
            )
            self._connection.execute(_COUNT, ("delivered", len(gone)))
            self._connection.execute(_COUNT, ("buried", len(dead)))
        self._unremoved.clear()
        buried = [sequence for sequence, _ in dead]
        self._taken.difference_update(gone, buried)
        self._sent.difference_update(gone)
        if buried:
            self.answered(buried)
        if self._tally.size_bytes > self._tally_bytes_max:
            self.renew_tally()
        return freed_bytes

    def _remove(self, gone: Sequence[int]) -> int:
        if not gone:
            return 0
        self._tally.remove(gone)
        sizes = [
            self._connection.execute(
                "DELETE FROM entries WHERE seq = ? RETURNING length(record)", (sequence,)
            ).fetchone()
            for sequence in gone
        ]
        self._note_tally()
        return sum(size[0] + ROW_BYTES for size in sizes if size is not None)

    def _note_tally(self) -> None:
        if not self._seen_generation:
            self._seen_generation = self._tally.seen.generation
            self._connection.execute(_SET, (TALLY_GENERATION, self._seen_generation))
        self._connection.execute(_SET, (TALLY_BYTES, self._tally.size_bytes))

    def count(self, name: str, count: int) -> None:
        """Add to a counter."""
        with _damage_told(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(_COUNT, (name, count))

    def counters(self) -> dict[str, int]:
        """The counters by name."""
        return read_counters(self._connection)

    @property
    def idle(self) -> bool:
        """Whether nothing was taken that is not settled."""
        return not self._taken and not self._unremoved

    def insert(self, rows: Sequence[Row]) -> None:
        """Rows of another file, with their sequences, in one transaction."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?)", rows)
        self._tally.add((row.seq, decode_record(row.record, row.seq).id) for row in rows)
        self._next = max(self._next, self._highest() + 1)

    def pass_over(self, settled: Iterable[int]) -> None:
        """Never give these: the tally knows them as settled, and a crash came before they were removed."""
        self._unremoved.update(settled)
        self._taken.update(self._unremoved)

    @property
    def has_remains(self) -> bool:
        """Whether something is settled and still there; ``settle`` removes it."""
        return bool(self._unremoved)

    def renew_tally(self) -> None:
        """Write the tally anew from what is in the file."""
        with _damage_told(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            kept = self._connection.execute("SELECT seq, record FROM entries ORDER BY seq")
            self._tally.rewrite((sequence, decode_record(raw, sequence).id) for sequence, raw in kept)
            if self._sent:
                self._tally.send(sorted(self._sent))
            self._seen_generation = 0
            self._note_tally()
        self._tally_bytes_max = max(TALLY_BYTES_MIN, TALLY_GROWTH * self._tally.size_bytes)

    def close(self) -> None:
        """Let go of the files; the write-ahead log is folded into the database."""
        self._tally.close()
        self._connection.close()

    def close_as_it_is(self) -> None:
        """Let go of damaged files as they are: SQLite folds the log only when its last connection closes."""
        self._tally.close()
        keeper = connect_to_read(self.folder)
        try:
            keeper.execute("PRAGMA schema_version").fetchone()
        except sqlite3.Error:
            pass
        finally:
            self._connection.close()
            keeper.close()


class _damage_told:  # noqa: N801 (a context manager that reads as a phrase)
    """Raises DamagedFile where SQLite or a checksum says that the file is damaged."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DamagedRecord) or is_damage(error):
            raise DamagedFile(str(error)) from error


def is_damage(error: BaseException | None) -> bool:
    """Whether SQLite says that a file is damaged."""
    codes = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    # Extended codes carry the primary one in their low byte. A schema that is gone is damage as well.
    if isinstance(error, sqlite3.OperationalError) and "no such table" in str(error):
        return True
    return isinstance(error, sqlite3.Error) and (getattr(error, "sqlite_errorcode", 0) & 0xFF) in codes


# A full disk, a lock or missing rights. A reader, too, needs room beside a write-ahead log: its shared index.
_NOT_OF_THE_FILE = frozenset(
    (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
    )
)
_NO_INDEX = frozenset(
    (
        sqlite3.SQLITE_IOERR_SHMOPEN,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_IOERR_SHMLOCK,
        sqlite3.SQLITE_IOERR_WRITE,
    )
)


def is_passing(error: sqlite3.Error) -> bool:
    """Whether an error says nothing about the file: it could not be looked into now."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _NOT_OF_THE_FILE or code in _NO_INDEX


def connect_to_read(folder: Path) -> sqlite3.Connection:
    """A connection that reads the database and its write-ahead log, and changes neither."""
    uri = f"{(folder / DATABASE_NAME).resolve().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=LOCK_WAIT_S, check_same_thread=False)


def read_counters(connection: sqlite3.Connection) -> dict[str, int]:
    """The counters of a spool file, by name."""
    return dict(connection.execute("SELECT name, value FROM counters").fetchall())


def check_version(connection: sqlite3.Connection, folder: Path) -> int:
    """The schema version, 0 for an empty database. Raises StoreError for one of a newer logbridge."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the spool {folder} has schema version {version}, this logbridge knows up to {SCHEMA_VERSION}: "
            "use a newer logbridge or another LOGBRIDGE_SPOOL"
        )
    return version


def connect(folder: Path) -> sqlite3.Connection:
    """A connection that writes, of any one thread at a time."""
    connection = sqlite3.connect(
        folder / DATABASE_NAME, isolation_level=None, timeout=LOCK_WAIT_S, check_same_thread=False
    )
    connection.execute("PRAGMA synchronous = FULL")
    # Some builds overwrite what is deleted: twice the writing, and no room for it on a disk that is full.
    connection.execute("PRAGMA secure_delete = OFF")
    return connection


def _open(folder: Path) -> sqlite3.Connection:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # logs are nobody else's business
        connection = connect(folder)
    except (OSError, sqlite3.Error) as error:
        raise unusable(folder, error) from error
    try:
        connection.execute("PRAGMA page_size = 8192")  # a log and its head in one page
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        if check_version(connection, folder) == 0:
            _create(connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise unusable(folder, error) from error
        raise
    return connection


def unusable(folder: Path, error: Exception) -> StoreError:
    """What is told of a folder that no spool file can be made in or read from."""
    code = getattr(error, "sqlite_errorcode", 0)
    full = code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
    full = full or getattr(error, "errno", 0) == errno.ENOSPC
    advice = "make room on its disk or choose" if full else "choose"
    return StoreError(f"cannot use the spool {folder}: {error}; {advice} another LOGBRIDGE_SPOOL")


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
