"""Entries that cannot go together: in halves, or one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Outcome
from logbridge.domain.ports import Deadline

WriteAll = Callable[[Sequence[LogEntry], Deadline], Awaitable[list[Outcome]]]
WriteOne = Callable[[LogEntry, Deadline], Awaitable[Outcome]]


async def write_halves(write: WriteAll, entries: Sequence[LogEntry], deadline: Deadline) -> list[Outcome]:
    """The outcomes of two writes, one after the other."""
    middle = len(entries) // 2
    first = await write(entries[:middle], deadline)
    return first + await write(entries[middle:], deadline)


class Singles:
    """One by one, a few at once. due: for a while after an answer that did not say which entries got in.

    at_once_max: writes under way. monotonic: the clock of the deadlines, in seconds.
    """

    def __init__(self, at_once_max: int, monotonic: Callable[[], float]) -> None:
        self._room = asyncio.Semaphore(at_once_max)
        self._monotonic = monotonic
        self._until_s = monotonic()

    @property
    def due(self) -> bool:
        """Whether that was just now."""
        return self._monotonic() < self._until_s

    def begin(self, for_s: float) -> None:
        """They are due for so many seconds."""
        self._until_s = self._monotonic() + for_s

    async def write(
        self, write_one: WriteOne, entries: Sequence[LogEntry], deadline: Deadline
    ) -> list[Outcome]:
        """The outcomes of all, in order."""
        return await asyncio.gather(*(self._write_in_turn(write_one, entry, deadline) for entry in entries))

    async def _write_in_turn(self, write_one: WriteOne, entry: LogEntry, deadline: Deadline) -> Outcome:
        # No timeout around the wait: each write ahead ends with its own deadline.
        async with self._room:
            return await write_one(entry, deadline)
