"""Peer: one log service of several, and what stands in front of it."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Protocol

from logbridge.domain.ports import LogReader, LogSink


class Guard(Protocol):
    """Who knows whether a log service is there: its breaker."""

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
    """A log service. address: host:port. sink: the chain of writes to it. guard: the breaker in there.

    reader: what reads there. cut: answers all that is under way. factor: int, what its place among others
    is counted from for each entry; odd, so that no two ids have the same place.
    """

    def __init__(
        self, address: str, sink: LogSink, guard: Guard, reader: LogReader, cut: Callable[[], None]
    ) -> None:
        self.address = address
        self.sink = sink
        self.guard = guard
        self.reader = reader
        self.cut = cut
        self.factor = int.from_bytes(blake2b(address.encode(), digest_size=8).digest()) | 1
