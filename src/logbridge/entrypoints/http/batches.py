"""The lines of one stream, written in batches, a few of them at once."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from logbridge.domain.entry import EntryDraft
from logbridge.domain.errors import InvalidEntry
from logbridge.domain.outcome import Failed, Outcome, Refused
from logbridge.entrypoints.http.decode import decode_raw
from logbridge.entrypoints.http.lifecycle import cancel
from logbridge.entrypoints.http.lines import Line
from logbridge.entrypoints.http.tally import Tally

BATCH_BYTES_MAX = 1_048_576
BATCHES_MAX = 4
Draft = EntryDraft | InvalidEntry
Write = Callable[[list[Draft]], Awaitable[Sequence[Outcome]]]


class _UnderWay(Struct, frozen=True):
    """A batch that was begun. lines_read: as in Tally, once it is counted."""

    numbers: list[int]
    outcomes: "asyncio.Future[Sequence[Outcome]]"
    lines_read: int

    def is_untouched(self) -> bool:
        """Whether nothing of it was written, for sure, and some of it may be another time."""
        kinds = set(map(type, self.outcomes.result()))
        return Failed in kinds and kinds <= {Failed, Refused}


class Batches:
    """Collects lines, writes them, and counts what became of them in the order in which they came.

    write: writes a batch. entries_max: of one batch, which BATCH_BYTES_MAX limits as well. too_long: what is
    wrong with a line that was not kept.
    """

    def __init__(self, write: Write, entries_max: int, too_long: InvalidEntry) -> None:
        self.tally = Tally()
        self._write = write
        self._entries_max = entries_max
        self._too_long = too_long
        self._waiting: list[Line] = []
        self._waiting_bytes = 0
        self._under_way: deque[_UnderWay] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether no line waits to be written."""
        return not self._waiting

    @property
    def is_full(self) -> bool:
        """Whether ``begin`` is due before another line is added."""
        return len(self._waiting) >= self._entries_max or self._waiting_bytes >= BATCH_BYTES_MAX

    def add(self, line: Line) -> None:
        """A line waits to be written."""
        self._waiting.append(line)
        self._waiting_bytes += len(line.content or b"")

    def drop(self) -> None:
        """The lines that wait are not written."""
        self._waiting, self._waiting_bytes = [], 0

    async def begin(self, lines_read: int) -> None:
        """Begin to write what waits, once fewer than BATCHES_MAX are under way. lines_read: as in Tally."""
        while len(self._under_way) >= BATCHES_MAX:
            await self._settle_first()
        numbers = [line.number for line in self._waiting]
        drafts = [self._draft(line) for line in self._waiting]
        self.drop()
        writing = asyncio.ensure_future(self._write(drafts))
        self._under_way.append(_UnderWay(numbers, writing, lines_read))
        await asyncio.sleep(0)  # it begins, and others have their turn

    def _draft(self, line: Line) -> Draft:
        return self._too_long if line.content is None else decode_raw(line.content)

    async def settle(self) -> None:
        """Wait for all that is under way, and count it."""
        while self._under_way:
            await self._settle_first()

    async def finished(self) -> None:
        """Wait for all that is under way; it is not counted yet."""
        await asyncio.gather(*(batch.outcomes for batch in self._under_way))

    def give_back(self) -> bool:
        """Leave the last of the finished batches uncounted, as far as nothing of them was written.

        Whoever goes on after the lines that are counted sends them again. Whether there were any.
        """
        before = len(self._under_way)
        while self._under_way and self._under_way[-1].is_untouched():
            self._under_way.pop()
        return len(self._under_way) < before

    async def _settle_first(self) -> None:
        batch = self._under_way[0]
        outcomes = await batch.outcomes
        self._under_way.popleft()
        self.tally.add(zip(batch.numbers, outcomes, strict=True), batch.lines_read)

    async def aclose(self) -> None:
        """Give up what is still under way."""
        await cancel(*(batch.outcomes for batch in self._under_way))
