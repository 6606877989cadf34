"""Peer: one log service of several, and what is known of it."""

from typing import Protocol

from logbridge.domain.ports import LogReader, LogSink


class Guarded(LogSink, Protocol):
    """A sink behind a breaker."""

    @property
    def away(self) -> bool:
        """Whether it counts as away."""
        ...

    @property
    def trial_in_s(self) -> float:
        """Seconds until an away one may be tried, 0 for now, and while it is not away."""
        ...

    async def look(self) -> None:
        """Ask one that is away, and due for a trial, whether it is back."""
        ...


class Peer:
    """A log service. address: host:port. sink: what writes to it. reader: what reads there.

    calls: int, writes under way. rests_until_s: when it asked to be spared until, by the clock of the
    deadlines.
    """

    def __init__(self, address: str, sink: Guarded, reader: LogReader) -> None:
        self.address = address
        self.sink = sink
        self.reader = reader
        self.calls = 0
        self.rests_until_s = 0.0
