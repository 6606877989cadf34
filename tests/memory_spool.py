"""A Spool in memory: what the spooler is tested over, in simulated time."""

from collections.abc import Sequence

from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused
from logbridge.domain.ports import Deadline, SinkHealth, Spooled


class MemorySpool:
    """Keeps entries in a dict. entries_max: beyond it nothing is kept. dead: what was buried, and why.

    restart() gives everything that is not settled once more, and counts what was in flight, as a spool on a
    disk does.
    """

    def __init__(self, entries_max: int = 1_000_000) -> None:
        self.entries_max = entries_max
        self.waiting: dict[int, LogEntry] = {}
        self.dead: dict[str, Refused] = {}
        self.resent = 0
        self.closed = False
        self._taken: set[int] = set()
        self._in_flight: set[int] = set()
        self._last = 0

    async def append(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        if len(self.waiting) + len(entries) > self.entries_max:
            return [Failed(entry.id, "the spool is full", Cause.OVERLOADED) for entry in entries]
        for entry in entries:
            self._last += 1
            self.waiting[self._last] = entry
        return [Accepted(entry.id, spooled=True) for entry in entries]

    async def take(self, entries_max: int, bytes_max: int) -> Sequence[Spooled]:
        free = [sequence for sequence in self.waiting if sequence not in self._taken][:entries_max]
        self._taken.update(free)
        return [Spooled(("memory", sequence), self.waiting[sequence]) for sequence in free]

    async def settle(self, delivered: Sequence[Spooled], dead: Sequence[tuple[Spooled, Refused]]) -> None:
        for spooled in [*delivered, *(spooled for spooled, _ in dead)]:
            del self.waiting[spooled.key[1]]
            self._taken.discard(spooled.key[1])
            self._in_flight.discard(spooled.key[1])
        self.dead |= {spooled.entry.id: refused for spooled, refused in dead}

    async def sending(self, batch: Sequence[Spooled]) -> None:
        self._in_flight.update(spooled.key[1] for spooled in batch)

    async def answered(self, batch: Sequence[Spooled]) -> None:
        self._in_flight.difference_update(spooled.key[1] for spooled in batch)

    async def count_resent(self, count: int) -> None:
        self.resent += count

    async def check(self) -> SinkHealth:
        return SinkHealth(len(self.waiting) < self.entries_max, "memory spool")

    async def aclose(self) -> None:
        self.closed = True

    def restart(self) -> None:
        self.resent += len(self._in_flight)
        self._in_flight.clear()
        self._taken.clear()
        self.closed = False
