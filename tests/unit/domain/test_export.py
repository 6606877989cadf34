"""All logs of a filter, page by page, while others are written and removed."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.adapters.memory import MemorySink
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import ReaderUnavailable
from logbridge.domain.export import every_page
from logbridge.domain.query import LogFilter, LogPage, LogQuery
from logbridge.domain.timestamp import epoch_us
from tests.factories import make_entry, soon

# Few different times, so that many logs share one.
SECONDS = st.integers(0, 3)
LOGS = st.lists(SECONDS, max_size=30)


class Changing:
    """A reader whose logs change between its pages. changes: for each page, what is written before it, and
    which of those that are there are removed (as a place from 0 to 99 percent).
    """

    def __init__(self, seconds: list[int], page_max: int, changes: list[tuple[list[int], list[int]]]) -> None:
        self.sink = MemorySink()
        self.sink.entries += [log(second) for second in seconds]
        self.removed: set[str] = set()
        self._page_max = page_max
        self._changes = iter(changes)
        self._asked = 0

    async def ask(self, query: LogQuery) -> LogPage:
        self._asked += 1
        written, removed = next(self._changes, ([], [])) if self._asked > 1 else ([], [])
        for place in removed:
            if self.sink.entries:
                gone = self.sink.entries.pop(place * len(self.sink.entries) // 100)
                self.removed.add(gone.id)
        self.sink.entries += [log(second) for second in written]
        shorter = msgspec.structs.replace(query, limit=min(query.limit, self._page_max))
        return await self.sink.query(shorter, deadline=soon())


def log(second: int) -> LogEntry:
    # Both times are the same moment, to the microsecond that the store knows.
    finer = "" if second % 2 else ".0000001"
    return make_entry(timestamp=f"2024-08-30T10:00:0{second}{finer}Z")


async def all_of(which: LogFilter, limit: int, ask: Any) -> list[LogEntry]:
    return [entry async for page in every_page(which, limit, ask) for entry in page.entries]


@given(
    seconds=LOGS,
    page_max=st.integers(2, 6),
    changes=st.lists(st.tuples(st.lists(SECONDS, max_size=4), st.lists(st.integers(0, 99), max_size=3))),
    limit=st.integers(1, 60),
)
def test_each_at_most_once_and_none_missing(
    seconds: list[int], page_max: int, changes: list[tuple[list[int], list[int]]], limit: int
) -> None:
    """Whatever is written and removed meanwhile: each log comes once, newest first, and all that stayed."""
    reader = Changing(seconds, page_max, changes)
    before = {entry.id for entry in reader.sink.entries}
    found = asyncio.run(all_of(LogFilter(), limit, reader.ask))
    ids = [entry.id for entry in found]
    assert len(ids) == len(set(ids)) <= limit
    moments = [epoch_us(entry.timestamp) for entry in found]
    assert moments == sorted(moments, reverse=True)
    if len(ids) < limit:
        assert before - reader.removed <= set(ids)


@pytest.mark.parametrize("page_max", [1, 3, 1000])
async def test_without_changes_it_is_the_query(page_max: int) -> None:
    """It gives what all pages of a query give, within the filter's own time, and says how many there are."""
    reader = Changing([0, 1, 1, 1, 1, 2, 2, 3, 3, 3], page_max, [])
    which = LogFilter(end_time="2024-08-30T10:00:02Z", start_time="2024-08-30T10:00:01Z")
    wanted = await reader.sink.query(LogQuery(**msgspec.structs.asdict(which)), deadline=soon())
    pages = [page async for page in every_page(which, 100, reader.ask)]
    assert [entry for page in pages for entry in page.entries] == wanted.entries
    assert pages[0].total_count == wanted.total_count == 6


async def test_nothing_is_a_page_too() -> None:
    """Where nothing matches there is one page, and it is empty."""
    pages = [page async for page in every_page(LogFilter(), 5, Changing([], 2, []).ask)]
    assert pages == [LogPage([], 0)]


async def test_a_time_that_is_none_ends_it_with_a_reason() -> None:
    """A log service of another make may have stored anything as a time; it is no fault of ours."""
    logs = [make_entry(timestamp="yesterday") for _ in range(3)]

    async def ask(query: LogQuery) -> LogPage:
        return LogPage(logs[query.offset : query.offset + 2], len(logs))

    with pytest.raises(ReaderUnavailable, match="time is none"):
        await all_of(LogFilter(), 10, ask)
