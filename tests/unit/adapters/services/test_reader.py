"""Reading from several log services as if they were one."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.adapters.memory import MemorySink
from logbridge.adapters.services.sink import LogServices
from logbridge.domain.entry import LogEntry, LogLevel
from logbridge.domain.errors import QueryNotSupported, ReaderUnavailable
from logbridge.domain.export import every_page
from logbridge.domain.ports import Deadline
from logbridge.domain.query import Followed, HistogramQuery, LogFilter, LogQuery
from logbridge.domain.timestamp import rfc3339_utc
from tests.factories import make_entry
from tests.unit.adapters.services.fakes import three

FOREVER = Deadline(1e9)
_START_US = 1_725_013_845_000_000


def entry_at(second: int, **changes: object) -> LogEntry:
    """An entry so many seconds after the first."""
    return make_entry(timestamp=rfc3339_utc(_START_US + second * 1_000_000), **changes)


async def store(service: MemorySink, *entries: LogEntry) -> None:
    """Put entries into one of them."""
    await service.write(entries, deadline=FOREVER)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50)), max_size=60, unique_by=lambda pair: pair[1]),
    st.integers(0, 20),
    st.integers(1, 20),
)
def test_a_page_of_all_is_the_page_of_one_store_with_everything(
    where: list[tuple[int, int]], offset: int, limit: int
) -> None:
    """However logs are spread, each page and the total are those of a single store."""

    async def run() -> None:
        services, _, sink = three()
        single = MemorySink()
        for number, second in where:
            entry = entry_at(second)
            await store(services[number], entry)
            await store(single, entry)
        query = LogQuery(limit=limit, offset=offset)
        assert await sink.query(query, deadline=FOREVER) == await single.query(query, deadline=FOREVER)

    asyncio.run(run())


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5000), st.sampled_from(LogLevel)), max_size=40),
    st.integers(1, 200),
    st.booleans(),
)
def test_a_histogram_of_all_is_that_of_one_store_with_everything(
    where: list[tuple[int, int, LogLevel]], buckets: int, named: bool
) -> None:
    """The same buckets and the same counts, with a range of time or without."""

    async def run() -> None:
        services, _, sink = three()
        single = MemorySink()
        for number, second, level in where:
            entry = entry_at(second, level=level)
            await store(services[number], entry)
            await store(single, entry)
        times = (rfc3339_utc(_START_US), rfc3339_utc(_START_US + 6_000_000_000)) if named else ("", "")
        query = HistogramQuery(start_time=times[0], end_time=times[1], buckets=buckets)
        assert await sink.histogram(query, deadline=FOREVER) == await single.histogram(
            query, deadline=FOREVER
        )

    asyncio.run(run())


async def test_who_is_not_reached_is_named_and_the_rest_is_there() -> None:
    """An answer that is not whole says so; without anybody there is none."""
    services, _, sink = three()
    for service in services:
        await store(service, make_entry(message=service.address))
    services[1].up = False
    page = await sink.query(LogQuery(), deadline=FOREVER)
    assert {entry.message for entry in page.entries} == {"a:1", "c:1"}
    assert page.missing == ("b:1: nothing listens there",)
    histogram = await sink.histogram(HistogramQuery(), deadline=FOREVER)
    assert (histogram.total_count, histogram.missing) == (2, ("b:1: nothing listens there",))
    for service in services:
        service.up = False
    with pytest.raises(ReaderUnavailable, match=r"a:1: nothing listens there; b:1.*; c:1"):
        await sink.query(LogQuery(), deadline=FOREVER)


async def test_who_counts_as_away_is_not_waited_for() -> None:
    """It is named all the same."""
    services, _, sink = three()
    services[2].up = False
    for _ in range(60):
        await sink.write([make_entry()], deadline=FOREVER)
    page = await sink.query(LogQuery(), deadline=FOREVER)
    assert page.missing == ("c:1: counts as away",)


@pytest.mark.parametrize("by", ["query", "histogram", "health", "watch"])
async def test_one_that_is_back_is_found_without_a_write(by: str) -> None:
    """Whatever is asked, of the logs or of their health, asks after it as well, and so does the watch."""
    services, clock, sink = three()
    await store(services[2], make_entry(message="here again"))
    services[2].up = False
    for _ in range(60):
        await sink.write([make_entry()], deadline=FOREVER)
    services[2].up = True
    clock.now_s += 60
    if by == "query":
        assert (await sink.query(LogQuery(), deadline=FOREVER)).missing
    elif by == "histogram":
        await sink.histogram(HistogramQuery(), deadline=FOREVER)
    elif by == "health":
        await sink.check()
    else:
        await sink.watch()
    await asyncio.sleep(0)
    page = await sink.query(LogQuery(limit=100), deadline=FOREVER)
    assert not page.missing
    assert "here again" in {entry.message for entry in page.entries}


async def test_an_export_is_whole_or_fails() -> None:
    """What is kept as all logs must not lack those of one service."""
    services, _, sink = three()
    services[1].up = False

    async def ask(query: LogQuery) -> object:
        return await sink.query(query, deadline=FOREVER)

    with pytest.raises(ReaderUnavailable, match="not all logs can be read now: b:1"):
        async for _ in every_page(LogFilter(), 100, ask):  # type: ignore[arg-type]  # it gives pages
            pass


async def test_a_page_too_deep_to_be_merged_is_refused() -> None:
    """It would take all that comes before it from every service; the reason says what to do."""
    _, _, sink = three()
    with pytest.raises(QueryNotSupported, match="narrow the time, or stay within offset"):
        await sink.query(LogQuery(offset=10_000), deadline=FOREVER)


async def begun(sink: LogServices, after: int | None = None) -> tuple[AsyncGenerator[Followed, None], int]:
    """A follow, and where it starts."""
    stream = sink.follow(LogFilter(), after=after)
    first = await anext(stream)
    assert first.entry is None
    return stream, first.sequence


async def test_new_logs_of_all_are_followed_and_resumed() -> None:
    """Each once, also across a break, whichever service they come to."""
    services, _, sink = three()
    await store(services[0], make_entry(message="before"))
    stream, place = await begun(sink)
    seen = []
    async with contextlib.aclosing(stream):
        for number in range(6):
            await store(services[number % 3], make_entry(message=f"log {number}"))
            followed = await anext(stream)
            assert followed.entry is not None
            seen.append(followed.entry.message)
            place = followed.sequence
    for number in range(6, 12):
        await store(services[number % 3], make_entry(message=f"log {number}"))
    again, _ = await begun(sink, place)
    async with contextlib.aclosing(again):
        for _ in range(6):
            followed = await anext(again)
            assert followed.entry is not None
            seen.append(followed.entry.message)
    assert sorted(seen) == sorted(f"log {number}" for number in range(12))


async def test_who_is_away_is_not_followed_until_it_is_back() -> None:
    """The others are; when it is there again the stream ends, so that whoever reads follows it too."""
    services, clock, sink = three()
    services[2].up = False
    stream, _ = await begun(sink)
    await store(services[0], make_entry(message="here"))
    followed = await anext(stream)
    assert followed.entry is not None
    assert followed.entry.message == "here"
    services[2].up = True
    clock.now_s += 10
    with pytest.raises(ReaderUnavailable, match="c:1: this log service is there now, too"):
        await anext(stream)


async def test_with_nobody_there_is_nothing_to_follow() -> None:
    """The reason names all of them."""
    services, _, sink = three()
    for service in services:
        service.up = False
    with pytest.raises(ReaderUnavailable, match="a:1: nothing listens there; b:1"):
        await anext(sink.follow(LogFilter()))


async def test_a_service_that_is_lost_ends_the_stream() -> None:
    """Whoever reads comes again with the place that it has."""
    services, _, sink = three()
    stream, _ = await begun(sink)
    await services[1].aclose()
    with pytest.raises((ReaderUnavailable, StopAsyncIteration)):
        await anext(stream)
