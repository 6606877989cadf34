"""The folders of a spool directory: one for each worker, and ``damaged`` for what was set aside.

Everything that must not be half done is one rename of a folder.
"""

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from logbridge.adapters.spool.damage import (
    REPORT_NAME,
    Inspected,
    inspect,
    read_report,
    salvage,
    write_report,
)
from logbridge.adapters.spool.file import SpoolFile, unusable
from logbridge.adapters.spool.lock import LOCK_NAME, lock_folder
from logbridge.adapters.spool.tally import TALLY_NAME
from logbridge.domain.errors import StoreError
from logbridge.domain.kept import DamageReport

logger = logging.getLogger(__name__)

DAMAGED_NAME = "damaged"
_HALF_DONE = ".half-done"


def worker_folders(directory: Path) -> list[Path]:
    """The folders with spool files, oldest first."""
    if not directory.is_dir():
        return []
    folders = [
        folder
        for folder in directory.iterdir()
        if folder.is_dir() and folder.name != DAMAGED_NAME and not folder.name.endswith(_HALF_DONE)
    ]
    return sorted(folders, key=lambda folder: folder.name)


class OwnedFile:
    """A spool file that this process owns, with its lock."""

    def __init__(self, file: SpoolFile, lock: int) -> None:
        self.file = file
        self.lock = lock

    def close(self) -> None:
        self.file.close()
        self.let_go()

    def let_go(self) -> None:
        """Give up the lock of a file that is closed."""
        os.close(self.lock)

    def close_and_delete(self) -> None:
        """For a file with nothing in it."""
        self.file.close()
        shutil.rmtree(self.file.folder, ignore_errors=True)
        self.let_go()


class Folders:
    """Opens, adopts and sets aside. now: the time as RFC 3339. new_id: gives names that sort by time."""

    def __init__(self, directory: Path, now: Callable[[], str], new_id: Callable[[], str]) -> None:
        self._directory = directory
        self._now = now
        self._new_id = new_id

    def make(self) -> OwnedFile:
        """A new spool file, owned. Raises StoreError."""
        folder = self._directory / self._new_id()
        half = _half_done(folder)
        try:
            half.mkdir(mode=0o700, parents=True)
            lock = _shown_locked(half, folder)
        except OSError as error:
            shutil.rmtree(half, ignore_errors=True)
            raise unusable(folder, error) from error
        try:
            return _owned(folder, lock)
        except StoreError:
            # Whoever starts the bridge again and again on a full disk finds no pile of folders later.
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def adopt(self, owned: set[str]) -> Iterator[OwnedFile]:
        """Spool files that nobody owns: left by a worker that is gone. Raises StoreError for a newer one."""
        self._finish_salvages()
        for folder in worker_folders(self._directory):
            lock = lock_folder(folder) if folder.name not in owned else None
            if lock is None:
                continue
            try:
                opened = self._opened(folder, lock)
            except (sqlite3.Error, OSError) as error:
                logger.error("the spool file %s cannot be opened now, it is tried again: %s", folder, error)
                os.close(lock)
            except BaseException:
                os.close(lock)
                raise
            else:
                yield opened

    def _opened(self, folder: Path, lock: int) -> OwnedFile:
        inspected = inspect(folder)
        if inspected.why and not inspected.tally_only:
            saved = self.set_aside(folder, inspected)
            os.close(lock)
            return saved
        file = SpoolFile(folder, inspected.tallied.last)
        file.pass_over(inspected.remains)
        if inspected.tally_only:
            self._report_tally(file, inspected)
        file.count_interrupted(inspected.tallied.sent)
        return OwnedFile(file, lock)

    def _report_tally(self, file: SpoolFile, inspected: Inspected) -> None:
        aside = self._aside(file.folder)
        aside.mkdir(parents=True)
        if (file.folder / TALLY_NAME).exists():
            shutil.copy(file.folder / TALLY_NAME, aside)
        file.renew_tally()
        contents = file.contents()
        found = contents.waiting + contents.dead
        report = DamageReport(file.folder.name, self._now(), inspected.why, found, 0, [])
        write_report(aside, report)
        _tell(report, aside)

    def set_aside(self, folder: Path, inspected: Inspected) -> OwnedFile:
        """Move a damaged file to ``damaged``, and open a new one with everything that can be read of it.

        The caller holds the folder's lock, and lets go of it afterwards.
        """
        aside = self._aside(folder)
        aside.parent.mkdir(exist_ok=True)
        folder.rename(aside)
        return _owned(self._saved(aside), self._salvage(aside, inspected), inspected.tallied.last)

    def _aside(self, folder: Path) -> Path:
        return self._directory / DAMAGED_NAME / f"{folder.name}-{self._new_id()}"

    def _saved(self, aside: Path) -> Path:
        # Named after what it came from: whoever goes on after a crash sees how far it had come.
        return self._directory / f"{aside.name}-saved"

    def _salvage(self, aside: Path, inspected: Inspected) -> int:
        """Save what is in it; gives the lock of the new folder."""
        half = _half_done(self._saved(aside))
        shutil.rmtree(half, ignore_errors=True)
        file = SpoolFile(half, inspected.tallied.last)
        write_report(half, salvage(aside, file, inspected, self._now()))
        file.close()
        lock = _shown_locked(half, self._saved(aside))
        self._hand_over_report(aside)
        return lock

    def _hand_over_report(self, aside: Path) -> None:
        os.replace(self._saved(aside) / REPORT_NAME, aside / REPORT_NAME)
        _tell(read_report(aside), aside)

    def _finish_salvages(self) -> None:
        """Go on where a process ended between setting a file aside and saving what is in it."""
        for aside in (self._directory / DAMAGED_NAME).glob("*"):
            if not (aside / LOCK_NAME).exists() or (aside / REPORT_NAME).exists():
                continue
            lock = lock_folder(aside)
            if lock is None:
                continue
            try:
                self._finish_salvage(aside)
            except (sqlite3.Error, OSError) as error:
                logger.error("what is in %s cannot be saved now, it is tried again: %s", aside, error)
            finally:
                os.close(lock)

    def _finish_salvage(self, aside: Path) -> None:
        if self._saved(aside).exists():
            self._hand_over_report(aside)
        else:
            os.close(self._salvage(aside, inspect(aside)))


def _half_done(folder: Path) -> Path:
    return folder.with_name(folder.name + _HALF_DONE)


def _shown_locked(half: Path, folder: Path) -> int:
    """Give a folder the name under which others find it, locked before they do: else one might adopt it."""
    lock = lock_folder(half)
    assert lock is not None  # noqa: S101 (nobody looks at what is half done)
    half.rename(folder)
    return lock


def _owned(folder: Path, lock: int, last_sequence: int = 0) -> OwnedFile:
    try:
        return OwnedFile(SpoolFile(folder, last_sequence), lock)
    except BaseException:
        os.close(lock)
        raise


def _tell(report: DamageReport, aside: Path) -> None:
    logger.error(
        "the spool file %s is damaged (%s): %d entries saved, %d lost; it was set aside as %s",
        report.file,
        report.why,
        report.found,
        report.lost,
        aside,
    )
