"""Retention in the SQLite store: what the policy no longer keeps is removed, a little at a time.

Each step of Retention.run is one short transaction of the store's one writer thread; writes get in between.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial

from logbridge.adapters.group_commit import GroupCommit
from logbridge.adapters.sqlite.file import transaction
from logbridge.adapters.sqlite.space import give_back, merge_text, used_bytes
from logbridge.domain.policy import RetentionPolicy

RETAIN_EVERY_S = 60.0

_STEP_ENTRIES_MAX = 200
_STEP_TEXT_BYTES_MAX = 128 * 1024  # the text index takes about a tenth of a second for it
# What a log takes in the file at most: for each byte of its text, most of it in the text index, and beyond.
_BYTES_PER_TEXT_BYTE = 10
_BYTES_PER_ENTRY = 500
# Merging rewrites the whole text index: not for less than this part of the logs.
_MERGED_PART = 10

_SIZE = "length(CAST(message AS BLOB)) + length(CAST(metadata AS BLOB))"
_SELECT_AGED = f"SELECT seq, {_SIZE} FROM logs WHERE time_us < ? ORDER BY time_us LIMIT ?"  # noqa: S608 (constant)
_SELECT_OLDEST = f"SELECT seq, {_SIZE} FROM logs ORDER BY seq LIMIT ?"  # noqa: S608 (constant)
_SELECT_SPAN = "SELECT coalesce((SELECT max(seq) FROM logs) - (SELECT min(seq) FROM logs), 0)"

_logger = logging.getLogger(__name__)


class Retention:
    """Removes logs as the policy says. removed_by_age and removed_by_bytes: how many, since it was made.

    now_s: gives the time, in seconds since 1970.
    """

    def __init__(self, policy: RetentionPolicy, now_s: Callable[[], float]) -> None:
        self.policy = policy
        self.removed_by_age = 0
        self.removed_by_bytes = 0
        self._now_s = now_s
        self._unmerged = 0

    def is_over(self, connection: sqlite3.Connection) -> bool:
        """Whether logs take more bytes than they may, right now."""
        return self.policy.excess_bytes(used_bytes(connection)) > 0

    def run(self, connection: sqlite3.Connection) -> Generator[None, None, None]:
        """Remove what is too old or too much, and give back its space. Raises sqlite3.Error."""
        yield from self._remove_aged(connection)
        yield from self._remove_excess(connection)
        if self._unmerged * _MERGED_PART > connection.execute(_SELECT_SPAN).fetchone()[0]:
            yield from self._merge(connection)
        yield from give_back(connection)

    def _remove_aged(self, connection: sqlite3.Connection) -> Iterator[None]:
        oldest_us = self.policy.oldest_us(int(self._now_s() * 1_000_000))
        if oldest_us is None:
            return
        before = self.removed_by_age
        try:
            while removed := _remove(connection, _SELECT_AGED, (oldest_us, _STEP_ENTRIES_MAX))[0]:
                self.removed_by_age += removed
                self._unmerged += removed
                yield
        finally:
            _tell(self.removed_by_age - before, f"logs older than {self.policy.age_days_max} days")

    def _remove_excess(self, connection: sqlite3.Connection) -> Iterator[None]:
        before = self.removed_by_bytes
        try:
            while excess_bytes := self.policy.excess_bytes(used_bytes(connection)):
                round_before = self.removed_by_bytes
                yield from self._remove_oldest(connection, excess_bytes)
                # Only now is it known what came free.
                yield from self._merge(connection)
                if self.removed_by_bytes == round_before:  # empty, and still over: nothing more can be done
                    return
        finally:
            _tell(self.removed_by_bytes - before, f"the oldest logs, over {self.policy.bytes_max} bytes")

    def _remove_oldest(self, connection: sqlite3.Connection, excess_bytes: int) -> Iterator[None]:
        """Remove what may be too little for the excess, and so never a log that may stay."""
        while excess_bytes > 0:
            removed, freed_bytes_max = _remove(connection, _SELECT_OLDEST, (_STEP_ENTRIES_MAX,))
            if not removed:
                return
            excess_bytes -= freed_bytes_max
            self.removed_by_bytes += removed
            self._unmerged += removed
            yield

    def _merge(self, connection: sqlite3.Connection) -> Iterator[None]:
        yield from merge_text(connection)
        self._unmerged = 0


def _remove(connection: sqlite3.Connection, select: str, values: tuple[int, ...]) -> tuple[int, int]:
    """Remove a few of the logs that a question finds; how many, and the most bytes that this can free."""
    with transaction(connection):
        chosen = list(_until_large(connection.execute(select, values).fetchall()))
        connection.executemany("DELETE FROM logs WHERE seq = ?", [(seq,) for seq, _ in chosen])
    text_bytes = sum(size_bytes for _, size_bytes in chosen)
    return len(chosen), text_bytes * _BYTES_PER_TEXT_BYTE + len(chosen) * _BYTES_PER_ENTRY


def _until_large(rows: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    total_bytes = 0
    for seq, size_bytes in rows:
        yield seq, size_bytes
        total_bytes += size_bytes
        if total_bytes > _STEP_TEXT_BYTES_MAX:
            return


def _tell(removed: int, which: str) -> None:
    if removed:
        _logger.info("retention removed %s: %d", which, removed)


class Keeper:
    """Runs retention at once, every minute, and soon after the logs take more bytes than they may.

    commits: has the one thread that uses ``connection``; every step is a job of its own there.
    """

    def __init__(self, retention: Retention, connection: sqlite3.Connection, commits: GroupCommit) -> None:
        self._retention = retention
        self._connection = connection
        self._commits = commits
        self._wake = threading.Event()
        self._stopping = False
        self._failing = False
        self._thread = threading.Thread(target=self._keep, name="logbridge-store-retain", daemon=True)
        self._thread.start()

    def after_commit(self) -> None:
        """To be called in the writer thread: it looks whether the logs have become too many bytes."""
        if not self._failing and self._retention.is_over(self._connection):
            self._wake.set()

    def stop(self) -> None:
        """End after the step that runs; the rest is for the next start."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._stopping:
            self._run()
            self._wake.wait(RETAIN_EVERY_S)
            self._wake.clear()

    def _run(self) -> None:
        try:
            with closing(self._retention.run(self._connection)) as steps:
                while not self._stopping and self._commits.submit(partial(_go_on, steps)).result():
                    pass
        except sqlite3.Error as error:
            # Another process may hold the lock, or the disk be full: the next minute tries again.
            if not self._failing:
                _logger.warning("retention could not remove logs, and goes on trying: %s", error)
            self._failing = True
        else:
            self._failing = False


def _go_on(steps: Iterator[None]) -> bool:
    """Take one step; whether there may be another."""
    return next(steps, _DONE) is not _DONE


_DONE = object()
