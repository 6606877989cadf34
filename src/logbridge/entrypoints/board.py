"""The board: what each worker of a bridge counts, where the others can read it.

Whichever worker is asked answers for all of them, and no total ever goes down: a worker shows the others
what it is about to tell, and what one that has ended had counted stays. A bridge of one process has no board
but its own memory.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from logbridge.domain.measures import Counts, Failure
from logbridge.entrypoints.pulse import Second

logger = logging.getLogger(__name__)

_GONE = "gone"
# Of those that were buried last; whoever reads is not behind by more.
_BURIED_MAX = 100
_Content = TypeVar("_Content")
_encode = msgspec.msgpack.Encoder().encode


class Report(Struct, kw_only=True):
    """What one process has counted, and how it is now. started_s: seconds since 1970.

    services, services_away: log services that it delivers to, and those that count as away. tails: that are
    followed now.
    """

    pid: int
    started_s: float
    counts: Counts
    history: list[Second] = []
    failures: list[Failure] = []
    in_flight_entries: int = 0
    in_flight_bytes: int = 0
    connections: int = 0
    tails: int = 0
    services: int = 1
    services_away: int = 0

    @property
    def away(self) -> bool:
        """Whether nobody is there to deliver to: writes fail at once."""
        return 0 < self.services == self.services_away

    @property
    def told_until_s(self) -> int:
        """The end of the last second in its history. What it counts before its first beat comes with it."""
        return self.history[-1].at_s + 1 if self.history else int(self.started_s)


class Gone(Struct, kw_only=True):
    """What all workers that have ended had counted. buried: the names of the last ones.

    started_s: when the first of them had started.
    """

    started_s: float
    counts: Counts
    buried: list[str] = []


class Seen(Struct, frozen=True):
    """What is on the board. running: the reports of all that run, this process first. gone: of the others."""

    running: list[Report]
    gone: Gone | None = None

    @property
    def counts(self) -> Counts:
        """All that was ever counted."""
        together = Counts()
        for part in (*self.running, self.gone):
            if part is not None:
                together.add(part.counts)
        return together

    @property
    def started_s(self) -> float:
        """When the first of all of them had started, in seconds since 1970."""
        return min(part.started_s for part in (*self.running, self.gone) if part is not None)


_report_decoder = msgspec.msgpack.Decoder(Report)
_gone_decoder = msgspec.msgpack.Decoder(Gone)


class Board:
    """The reports of all workers. folder: where they are, None for a bridge of one process.

    own: makes the report of this process, as it is now.
    """

    def __init__(self, folder: Path | None, own: Callable[[], Report]) -> None:
        self._folder = folder
        self._own = own

    def pin(self) -> Report:
        """Show the others what is counted here; gives the report."""
        report = self._own()
        if self._folder is not None:
            try:
                _write(self._folder, _name_of(report), report)
            except OSError as error:
                logger.warning("what this worker counts cannot be shown to the others: %s", error)
        return report

    def seen(self) -> Seen:
        """Everything that is on the board, and what is counted here up to now."""
        # Pinned first: another worker that is asked after this one must not tell less.
        own = self.pin()
        if self._folder is None:
            return Seen([own])
        reports = {
            path.name: _read(path, _report_decoder)
            for path in sorted(self._folder.glob("[0-9]*"))
            if path.name != _name_of(own)
        }
        # Read last, and believed: whom it names may have been read just before it was taken down.
        gone = _read(self._folder / _GONE, _gone_decoder)
        buried = gone.buried if gone else ()
        others = [report for name, report in reports.items() if report is not None and name not in buried]
        return Seen([own, *others], gone)


def bury(folder: Path, pid: int) -> None:
    """A worker has ended: what it had counted counts on, how it was does not. For its supervisor only."""
    for path in sorted(folder.glob(f"{pid}-*")):
        last = _read(path, _report_decoder)
        if last is not None:
            gone = _read(folder / _GONE, _gone_decoder) or Gone(started_s=last.started_s, counts=Counts())
            gone.counts.add(last.counts)
            gone.started_s = min(gone.started_s, last.started_s)
            gone.buried = [*gone.buried, path.name][-_BURIED_MAX:]
            _write(folder, _GONE, gone)
        path.unlink()
    (folder / f".{pid}").unlink(missing_ok=True)


def _name_of(report: Report) -> str:
    # A process id alone may come again.
    return f"{report.pid}-{report.started_s:.6f}"


def _write(folder: Path, name: str, content: Report | Gone) -> None:
    fresh = folder / f".{name.partition('-')[0]}"
    fresh.write_bytes(_encode(content))
    os.replace(fresh, folder / name)


def _read(path: Path, decoder: msgspec.msgpack.Decoder[_Content]) -> _Content | None:
    """None for what is no report, or no longer there: a worker may end at any time."""
    try:
        return decoder.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
