"""StoreFile: backup, restore, check and vacuum of the store's file, while a log service serves it."""

import contextlib
import errno
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from logbridge.adapters.sqlite.check import Damaged, StoreCheck, Tick, check, entry_of, stored_rows
from logbridge.adapters.sqlite.file import (
    Row,
    connect,
    heed_ctrl_c,
    is_full,
    open_existing,
    open_store_file,
    tell_ctrl_c,
    transaction,
)
from logbridge.adapters.sqlite.space import free_pages, give_back, gives_back, merge_text
from logbridge.adapters.sqlite.write import insert_new
from logbridge.adapters.taken_id import answer_again
from logbridge.domain.errors import StoreError
from logbridge.domain.outcome import Accepted

# The log service holds the lock for milliseconds; another command may hold it for longer.
LOCK_WAIT_S = 30.0
_BACKUP_PAGES = 512
_NAMED_MAX = 20
_TRANSACTION_TEXT_MAX = 128 * 1024  # characters
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.002, 0.2

T = TypeVar("T")


class Backup(Struct, frozen=True):
    """A backup that was made and checked. size_bytes: of its file."""

    file: str
    entries: int
    size_bytes: int


class Restored(Struct):
    """What came of the logs of a backup.

    present: the store has them already. conflicts: their id is taken by other content. conflicting and damage
    name the first ones.
    """

    added: int = 0
    present: int = 0
    conflicts: int = 0
    damaged: int = 0
    conflicting: list[str] = []
    damage: list[str] = []


class Vacuumed(Struct, frozen=True):
    """Bytes of the store's files before and after."""

    before_bytes: int
    after_bytes: int


class StoreFile:
    """The file of a store. Every method raises StoreError with what is wrong, where, and what to do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, tick: Tick) -> StoreCheck:
        """Look whether the file, the text index and every log are sound; nothing is changed."""
        with closing(heed_ctrl_c(open_existing(self.path, LOCK_WAIT_S))) as connection:
            return check(connection, tick)

    def backup(self, file: Path, tick: Tick) -> Backup:
        """Copy the logs of one moment into a new file, which has its name only once it is checked."""
        if file.exists():
            raise _exists(file)
        if not file.absolute().parent.is_dir():
            raise StoreError(
                f"there is no directory {file.parent} for the backup: make it, or choose another"
            )
        with closing(open_existing(self.path, LOCK_WAIT_S)) as connection, _beside(file) as partial:
            with _told(f"cannot back up {self.path} to {file}", partial):
                _copy(connection, partial, tick)
                shutil.copymode(self.path, partial)
            with closing(heed_ctrl_c(open_existing(partial, LOCK_WAIT_S, mode="ro"))) as copy:
                found = check(copy, tick)
            if found.problems:
                raise StoreError(
                    f"no backup was made, {self.path} is damaged: {found.problems[0]}; "
                    f"`logbridge store restore {self.path} --store sqlite:///NEW` saves what can be read"
                )
            _publish(partial, file)
            return Backup(str(file), found.entries, file.stat().st_size)

    def restore(self, file: Path, tick: Tick) -> Restored:
        """Add the logs of a backup that the store does not have; what it has stays as it is.

        It can be run again: what an interrupted run added is found present.
        """
        with closing(open_existing(file, LOCK_WAIT_S, mode="ro", is_a="backup")) as source:
            served = self.path.exists()  # perhaps; a store that is made here has no log service yet
            if served and file.samefile(self.path):
                raise StoreError(f"{file} is the store itself: name a backup, or another store")
            restored = Restored()
            told = _told(f"restoring into {self.path} stopped, what was added stays", self.path)
            with closing(open_store_file(self.path, LOCK_WAIT_S)) as target, told:
                pieces = _transactions(stored_rows(source, tick, "logs"))
                for rows in _paced(pieces) if served else pieces:
                    with transaction(target):
                        _restore(target, rows, restored)
            return restored

    def vacuum(self, tick: Tick) -> Vacuumed:
        """Give the space that removed logs left back to the disk."""
        open_existing(self.path, LOCK_WAIT_S).close()
        told = _told(f"vacuuming {self.path} stopped", self.path)
        with closing(heed_ctrl_c(open_store_file(self.path, LOCK_WAIT_S))) as connection, told:
            before_bytes = self._size_bytes()
            for number, _ in enumerate(_paced(merge_text(connection))):
                tick("text index", number, 0)
            if gives_back(connection):
                total = free_pages(connection)
                for _ in _paced(give_back(connection)):
                    tick("free pages", total - free_pages(connection), total)
            else:
                tick("rewriting the file once, writes wait", 0, 0)
                # open_store_file() has asked for auto_vacuum: a full VACUUM is what turns it on.
                connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return Vacuumed(before_bytes, self._size_bytes())

    def _size_bytes(self) -> int:
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())


def _copy(connection: sqlite3.Connection, file: Path, tick: Tick) -> None:
    with closing(connect(file, LOCK_WAIT_S)) as target:
        # A transaction that reads holds the moment fast. Without it, each write of the log service would make
        # the backup begin anew (sqlite.org/c3ref/backup_finish.html).
        connection.execute("BEGIN")
        connection.execute("SELECT seq FROM logs LIMIT 1").fetchone()
        try:
            connection.backup(
                target, pages=_BACKUP_PAGES, progress=lambda _, left, total: tick("copy", total - left, total)
            )
        finally:
            connection.rollback()
        # One file with nothing beside it, which can be read from any medium.
        target.execute("PRAGMA journal_mode = DELETE")


@contextlib.contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """A new file in the same directory, gone in the end if it is not the backup by then."""
    try:
        handle, name = tempfile.mkstemp(".partial", f"{file.name}.", file.absolute().parent)
    except OSError as error:
        raise StoreError(f"cannot write a backup to {file}: {error.strerror}; choose another file") from error
    os.close(handle)
    try:
        yield Path(name)
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{name}{suffix}").unlink(missing_ok=True)


def _publish(partial: Path, file: Path) -> None:
    # Unlike a rename, a link never takes the place of a file that came meanwhile.
    with _told(f"cannot name the backup {file}", file):
        try:
            os.link(partial, file)
        except FileExistsError:
            raise _exists(file) from None
        except OSError:  # a file system without links
            if file.exists():
                raise _exists(file) from None
            partial.rename(file)
        directory = os.open(file.absolute().parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _exists(file: Path) -> StoreError:
    return StoreError(f"{file} exists, and a backup replaces nothing: choose another name, or move it away")


@contextlib.contextmanager
def _told(what: str, path: Path) -> Iterator[None]:
    """What SQLite and the disk say, as one line about what was to be done and what to do now."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        tell_ctrl_c(error)
        full = is_full(error, path) if isinstance(error, sqlite3.Error) else error.errno == errno.ENOSPC
        advice = (
            "make room on the disk and run it again"
            if full
            else "see `logbridge store check`, or run it again"
        )
        raise StoreError(f"{what}: {error}; {advice}") from error


def _paced(steps: Iterable[T]) -> Iterator[T]:
    """The steps, with a pause after each that is as long as the step was.

    SQLite gives a lock to whoever asks at the right moment: without a pause the log service would hardly
    get it. A pause as long as the work lets it have half of the time.
    """
    begun_s = time.monotonic()
    for step in steps:
        yield step
        time.sleep(min(max(time.monotonic() - begun_s, _PAUSE_MIN_S), _PAUSE_MAX_S))
        begun_s = time.monotonic()


def _transactions(chunks: Iterable[Sequence[Row | Damaged]]) -> Iterator[list[Row | Damaged]]:
    """The rows in pieces that are stored within milliseconds."""
    for chunk in chunks:
        piece: list[Row | Damaged] = []
        characters = 0
        for row in chunk:
            piece.append(row)
            characters += 0 if isinstance(row, Damaged) else len(row[3]) + len(row[6])  # message, metadata
            if characters > _TRANSACTION_TEXT_MAX:
                yield piece
                piece, characters = [], 0
        if piece:
            yield piece


def _restore(target: sqlite3.Connection, found: Sequence[Row | Damaged], restored: Restored) -> None:
    for damaged in found:
        if isinstance(damaged, Damaged):
            restored.damaged += 1
            _name(restored.damage, damaged.reason)
    rows = [row for row in found if not isinstance(row, Damaged)]
    present = insert_new(target, rows)
    restored.added += len(rows) - len(present)
    for index, stored in present.items():
        answer = answer_again(stored, entry_of(rows[index]))
        if isinstance(answer, Accepted):
            restored.present += 1
        else:
            restored.conflicts += 1
            _name(restored.conflicting, answer.reason)


def _name(named: list[str], reason: str) -> None:
    if len(named) < _NAMED_MAX:
        named.append(reason)
