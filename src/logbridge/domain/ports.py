"""The ports: LogSink takes entries, LogReader gives them back, Spool keeps them until they are delivered.

Adapters and links implement them.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from msgspec import Struct

from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Outcome, Refused
from logbridge.domain.query import Followed, HistogramQuery, LogFilter, LogHistogram, LogPage, LogQuery


class Deadline(Struct, frozen=True):
    """A point in time, in seconds of the monotonic clock, after which nobody waits for the answer."""

    at_s: float

    def remaining_s(self, now_s: float) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at_s - now_s)


class SinkHealth(Struct, frozen=True):
    """Whether entries can be written now, and a line for people: which peer, and what is wrong."""

    reachable: bool
    detail: str = ""


class LogSink(Protocol):
    """Where entries go.

    Promised: one outcome for every entry, in order; never an exception for what a peer or a network does;
    an answer soon after the deadline at the latest. Cancelling the caller leaves the outcome unknown.
    Not promised: that an accepted entry can be read back at once (a peer may only have queued it), that
    entries of two concurrent writes keep an order, that a sink may be used after aclose.
    """

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        """Write entries; one write is a batch of one. An empty sequence writes and answers nothing."""
        ...

    async def check(self) -> SinkHealth:
        """Ask whether entries could be written now. Never writes one, never raises."""
        ...

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:
        """Whether whoever would be written to now stores an id only once; None if nobody answers.

        Only then may an Unknown entry go again without the risk that it is stored twice. Writes nothing.
        """
        ...

    async def aclose(self) -> None:
        """Finish what was begun, then let go of connections and files. A second call does nothing."""
        ...


class LogReader(Protocol):
    """Where stored logs are read. A sink that only writes does not have it."""

    async def query(self, query: LogQuery, *, deadline: Deadline) -> LogPage:
        """One page, newest first, in a stable order (time, then the order of storing).

        Raises QueryNotSupported, QueryRefused or ReaderUnavailable.
        """
        ...

    async def histogram(self, query: HistogramQuery, *, deadline: Deadline) -> LogHistogram:
        """How many logs there are over time, by level, all of the same moment.

        Raises QueryNotSupported, QueryRefused or ReaderUnavailable.
        """
        ...

    def follow(self, which: LogFilter, *, after: int | None = None) -> AsyncGenerator[Followed, None]:
        """New logs as they are stored, without end; in that order, of several stores in that of each.

        after: a sequence to go on from; None starts with what is stored from now on. The first item comes at
        once and has no entry: its sequence is where the following starts. Not promised: that it survives a
        lost connection; then it raises ReaderUnavailable, and a new follow goes on after the last sequence.
        Raises QueryNotSupported where the log service has no such method.
        """
        ...


class LogStore(LogSink, LogReader, Protocol):
    """Both ports over the same logs: what a log service stands in front of."""


class Spooled(Struct, frozen=True):
    """An entry that waits in a spool. key: where it lies there, of no meaning to anybody else."""

    key: tuple[str, int]
    entry: LogEntry


class Spool(Protocol):
    """Entries that are acknowledged and not yet delivered, kept where a crash of this process does not reach.

    Promised: an accepted entry is given by ``take`` until it is settled, also after a restart. Not promised:
    that it is given only once (a crash between delivery and settling gives it again).
    """

    async def append(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        """Keep entries: Accepted (spooled) once they would survive a crash, or Failed with the reason."""
        ...

    async def take(self, entries_max: int, bytes_max: int) -> Sequence[Spooled]:
        """The oldest waiting entries, each given once to this process; at least one if any waits."""
        ...

    async def settle(self, delivered: Sequence[Spooled], dead: Sequence[tuple[Spooled, Refused]]) -> None:
        """Forget what was delivered; keep what was refused for good as dead letters, with the reason."""
        ...

    async def sending(self, batch: Sequence[Spooled]) -> None:
        """Note that these are handed on now: if this process dies before it settles them or says answered,
        they count as sent again."""
        ...

    async def answered(self, batch: Sequence[Spooled]) -> None:
        """Note that these stay, and that what became of them is known, or counted by count_resent."""
        ...

    async def count_resent(self, count: int) -> None:
        """Count entries that are sent again though they may have been written: possible duplicates."""
        ...

    async def check(self) -> SinkHealth:
        """Whether entries could be kept now, and why not. Never raises."""
        ...

    async def aclose(self) -> None:
        """Let go of files and locks; what waits stays kept. A second call does nothing."""
        ...
