"""The board: what each worker of a bridge counts, where the others can read it.

Whichever worker is asked answers for all of them. A worker pins a report once a second; what one that has
ended had counted stays, or totals would go down. A bridge of one process has no board but its own memory.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from logbridge.domain.measures import Counts, Failure
from logbridge.entrypoints.pulse import Second

logger = logging.getLogger(__name__)

_GONE = "gone"
_encode = msgspec.msgpack.Encoder().encode


class Report(Struct, kw_only=True):
    """What one process has counted, and how it is now. started_s, at_s: seconds since 1970.

    away: whether the log service counts as away. tails: that are followed now.
    """

    pid: int
    started_s: float
    at_s: float
    counts: Counts
    history: list[Second] = []
    failures: list[Failure] = []
    in_flight_entries: int = 0
    in_flight_bytes: int = 0
    connections: int = 0
    tails: int = 0
    away: bool = False


_decode = msgspec.msgpack.Decoder(Report).decode


class Board:
    """The reports of all workers. folder: where they are, None for a bridge of one process.

    own: makes the report of this process, as it is now.
    """

    def __init__(self, folder: Path | None, own: Callable[[], Report]) -> None:
        self._folder = folder
        self._own = own

    def pin(self) -> None:
        """Show the others what is counted here."""
        if self._folder is None:
            return
        report = self._own()
        try:
            _write(self._folder, str(report.pid), report)
        except OSError as error:
            logger.warning("what this worker counts cannot be shown to the others: %s", error)

    def reports(self) -> list[Report]:
        """Of this process first, of the others, and of all together that have ended."""
        own = self._own()
        if self._folder is None:
            return [own]
        others = [_read(path) for path in sorted(self._folder.iterdir()) if path.name != str(own.pid)]
        return [own, *(report for report in others if report is not None)]


def bury(folder: Path, pid: int) -> None:
    """A worker has ended: what it had counted counts on, how it was does not. For its supervisor only."""
    last = _read(folder / str(pid))
    if last is None:
        return
    gone = _read(folder / _GONE) or Report(pid=0, started_s=last.started_s, at_s=last.at_s, counts=Counts())
    gone.counts.add(last.counts)
    gone.started_s = min(gone.started_s, last.started_s)
    _write(folder, _GONE, gone)
    (folder / str(pid)).unlink()


def _write(folder: Path, name: str, report: Report) -> None:
    fresh = folder / f".{name}"
    fresh.write_bytes(_encode(report))
    os.replace(fresh, folder / name)


def _read(path: Path) -> Report | None:
    """None for what is none, or no longer there: a worker may end at any time."""
    if path.name.startswith("."):
        return None
    try:
        return _decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
