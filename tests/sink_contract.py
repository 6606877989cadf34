"""What every sink and every chain of links promises: subclass SinkContract and override its fixture ``sink``.

    class TestMyChain(SinkContract):
        honours_ids = False

        @pytest.fixture
        async def sink(self): ...

A sink that cannot be read back, or whose reading is not what the test is about, sets ``reads_back = False``.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

import pytest

from logbridge.domain.entry import LogEntry, LogLevel
from logbridge.domain.histogram import LEVELS, count_logs
from logbridge.domain.outcome import Accepted, Cause, Failed, Refused, Unknown
from logbridge.domain.query import HistogramQuery, LogFilter, LogQuery
from tests.factories import make_entry, soon

UNUSUAL_MESSAGES = {
    "NUL": "before\x00after",
    "Chinese": "日志服务已启动",
    "emoji": "rocket 🚀 family 👩‍👩‍👧",
    "200 KiB": "x" * 200 * 1024,
    "quotes": "\"'%_\\;--",
    "lines": "one\r\ntwo\ttab",
}


async def read_back(sink: Any, **which: Any) -> list[LogEntry]:
    """All entries that a filter finds, in the order of the reader."""
    found: list[LogEntry] = []
    while True:
        page = await sink.query(LogQuery(**which, limit=1000, offset=len(found)), deadline=soon())
        found += page.entries
        if len(found) >= page.total_count:
            return found


class SinkContract:
    """The promises of LogSink and LogReader as tests.

    reads_back: the sink is a LogReader too, and sees at once what was accepted. follows: it has follow.
    honours_ids: an id is stored once for its service. one_store: all logs are in one, so that a follow has
    them in one order.
    """

    one_store = True
    reads_back = True
    follows = True
    honours_ids = True

    @pytest.fixture
    async def sink(self) -> Any:
        """The sink under test, open and empty; whoever overrides this closes it after the test."""
        raise NotImplementedError("override the fixture `sink`")

    async def test_outcomes_are_in_order(self, sink: Any) -> None:
        """There is one outcome for every entry, in the order of the entries."""
        entries = [make_entry(message=f"log {number}") for number in range(20)]
        outcomes = await sink.write(entries, deadline=soon())
        assert len(outcomes) == 20
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        if self.honours_ids:
            assert [outcome.log_id for outcome in outcomes] == [entry.id for entry in entries]

    async def test_nothing_is_written_for_no_entries(self, sink: Any) -> None:
        """An empty sequence is answered by an empty one."""
        assert list(await sink.write([], deadline=soon())) == []

    @pytest.mark.parametrize("message", UNUSUAL_MESSAGES.values(), ids=UNUSUAL_MESSAGES.keys())
    async def test_text_survives(self, sink: Any, message: str) -> None:
        """Any text is accepted, and read back as it was."""
        entry = make_entry(message=message, metadata={"key\x00": message[:1000], "中": "😀"})
        outcomes = await sink.write([entry], deadline=soon())
        assert isinstance(outcomes[0], Accepted)
        if self.reads_back:
            (found,) = await read_back(sink)
            assert found.message == message
            assert found.metadata == entry.metadata

    async def test_accepted_reads_back_equal(self, sink: Any) -> None:
        """Every field of an accepted entry is read back as it was written."""
        self._need_reader()
        entries = [make_entry(level=level, message=f"at {level.name}") for level in LogLevel]
        entries.append(make_entry(metadata={}, trace_id="", span_id="", timestamp_assigned=True))
        await sink.write(entries, deadline=soon())
        found = await read_back(sink)
        assert sorted(found, key=_by_id) == sorted(entries, key=_by_id)

    async def test_newest_come_first(self, sink: Any) -> None:
        """Entries come newest first by their time; of equal times the one stored last comes first."""
        self._need_reader()
        hours = (11, 9, 10, 9)
        entries = [make_entry(timestamp=f"2024-08-30T{hour:02}:00:00Z") for hour in hours]
        for entry in entries:
            await sink.write([entry], deadline=soon())
        first, second, *equal = await read_back(sink)
        assert [first, second] == [entries[0], entries[2]]
        # Of several stores each has an order of its own: which of equal times was stored last nobody knows.
        assert equal == [entries[3], entries[1]] or (not self.one_store and equal == [entries[1], entries[3]])

    async def test_pages_cover_everything_once(self, sink: Any) -> None:
        """Pages put together are all entries, each once, and every page knows how many there are."""
        self._need_reader()
        await sink.write([make_entry(message=f"log {number}") for number in range(25)], deadline=soon())
        pages = [
            await sink.query(LogQuery(limit=10, offset=offset), deadline=soon()) for offset in (0, 10, 20, 30)
        ]
        assert [len(page.entries) for page in pages] == [10, 10, 5, 0]
        assert {page.total_count for page in pages} == {25}
        assert len({entry.id for page in pages for entry in page.entries}) == 25

    async def test_a_page_stops_at_its_bytes(self, sink: Any) -> None:
        """A page ends early rather than grow past 3 MiB, and never comes empty while something matches."""
        self._need_reader()
        entries = [make_entry(message=f"{number:02}" + "x" * 200_000) for number in range(20)]
        for entry in entries:
            await sink.write([entry], deadline=soon())
        page = await sink.query(LogQuery(), deadline=soon())
        assert 1 <= len(page.entries) < 20
        assert page.total_count == 20
        assert len(await read_back(sink)) == 20

    @pytest.mark.parametrize(
        "which",
        [
            {"service_name": "wanted"},
            {"level": LogLevel.DEBUG},
            {"trace_id": "wanted"},
            {"metadata": {"wanted": "yes", "user_id": "user123"}},
            {"text": "WANTED text"},
            {"text": "文"},
            {"start_time": "2025-01-01T00:00:00+08:00", "end_time": "2025-01-01T00:00:00+08:00"},
        ],
        ids="+".join,
    )
    async def test_filters_find(self, sink: Any, which: dict[str, Any]) -> None:
        """Each filter finds the one entry that it describes, and no other."""
        self._need_reader()
        wanted = make_entry(
            service_name="wanted",
            level=LogLevel.DEBUG,
            trace_id="wanted",
            metadata={"wanted": "yes", "user_id": "user123"},
            message="the wanted text, 中文",
            timestamp="2024-12-31T16:00:00Z",
        )
        await sink.write([make_entry(), wanted, make_entry(metadata={"wanted": "no"})], deadline=soon())
        assert await read_back(sink, **which) == [wanted]

    async def test_a_narrowed_question_shows_nothing_else(self, sink: Any) -> None:
        """Whose logs a caller may not see are neither found nor counted nor followed."""
        self._need_follow()
        logs = [make_entry(service_name=name) for name in ("shop", "pay", "other", "shop")]
        narrowed = LogFilter().within(frozenset({"shop", "pay"}))
        async with contextlib.aclosing(sink.follow(narrowed)) as follow:
            await asyncio.wait_for(anext(follow), 30)
            await sink.write(logs, deadline=soon())
            followed = [await asyncio.wait_for(anext(follow), 30) for _ in range(3)]
        found = self._in_order(item.entry for item in followed)
        assert found == self._in_order([logs[0], logs[1], logs[3]])
        page = await sink.query(LogQuery().within(frozenset({"shop", "pay"})), deadline=soon())
        assert sorted(entry.service_name for entry in page.entries) == ["pay", "shop", "shop"]
        assert page.total_count == 3

    @pytest.mark.parametrize(
        "which",
        [
            {},
            {"buckets": 1},
            {"buckets": 200},
            {"service_name": "shop"},
            {"level": LogLevel.ERROR},
            {"text": "log 1"},
            {"metadata": {"user_id": "user123"}},
            {"start_time": "2024-08-30T10:00:05Z", "end_time": "2024-08-30T10:00:31+00:00"},
            {"start_time": "2024-08-30T09:00:00Z"},
            {"end_time": "2024-08-30T09:00:00Z"},
            {"end_time": "2024-08-30T10:00:10Z", "start_time": "2024-08-30T10:00:20Z"},
            {"services": frozenset({"pay", "shop"})},
        ],
        ids="+".join,
    )
    async def test_a_histogram_counts_what_a_query_finds(self, sink: Any, which: dict[str, Any]) -> None:
        """Its buckets hold each log that the filter finds once, at its level, and it knows the range."""
        self._need_reader()
        levels = (LogLevel.DEBUG, LogLevel.ERROR, LogLevel.INFO)
        entries = [
            make_entry(
                message=f"log {number}",
                level=levels[number % 3],
                service_name=("shop", "pay", "other")[number // 5 % 3],
                timestamp=f"2024-08-30T10:00:{number:02}.5Z",
            )
            for number in range(40)
        ]
        await sink.write(entries, deadline=soon())
        query = HistogramQuery(**which)
        found = await sink.histogram(query, deadline=soon())
        assert found == count_logs(query, entries)
        assert found.total_count == sum(query.matches(entry) for entry in entries)
        for place, level in enumerate(LEVELS):
            wanted = sum(query.matches(entry) for entry in entries if entry.level is level)
            assert sum(counts[place] for counts in found.counts) == wanted

    async def test_a_histogram_of_nothing(self, sink: Any) -> None:
        """Where nothing matches there is no range, but one that was asked for has its empty buckets."""
        self._need_reader()
        nothing = await sink.histogram(HistogramQuery(), deadline=soon())
        assert (nothing.start_us, nothing.end_us, nothing.counts) == (None, None, [])
        asked = HistogramQuery(start_time="2024-08-30T10:00:00Z", end_time="2024-08-30T10:00:09Z", buckets=10)
        empty = await sink.histogram(asked, deadline=soon())
        assert (empty.bucket_us, empty.counts) == (1_000_000, [(0, 0, 0, 0, 0)] * 10)

    async def test_same_id_is_stored_once(self, sink: Any) -> None:
        """The same log sent again, in another write or in the same batch, is accepted and stored once."""
        self._need_ids()
        entry = make_entry()
        first = await sink.write([entry], deadline=soon())
        again = await sink.write([entry, make_entry(), entry], deadline=soon())
        assert first[0] == again[0] == again[2] == Accepted(entry.id)
        if self.reads_back:
            assert len(await read_back(sink)) == 2

    async def test_same_id_with_a_later_arrival_is_the_same_log(self, sink: Any) -> None:
        """A time that the bridge assigned on arrival does not make a repeated log another one."""
        self._need_ids()
        first = make_entry(timestamp_assigned=True)
        later = make_entry(id=first.id, timestamp="2024-08-30T10:31:00Z", timestamp_assigned=True)
        outcomes = [(await sink.write([entry], deadline=soon()))[0] for entry in (first, later)]
        assert outcomes == [Accepted(first.id)] * 2

    async def test_a_taken_id_is_refused(self, sink: Any) -> None:
        """An id stored with other content is refused, naming id and service; its neighbours are stored."""
        self._need_ids()
        stored = make_entry()
        await sink.write([stored], deadline=soon())
        neighbour = make_entry()
        conflict, accepted = await sink.write(
            [make_entry(id=stored.id, message="other"), neighbour], deadline=soon()
        )
        assert isinstance(conflict, Refused)
        assert conflict.cause is Cause.CONFLICT
        assert stored.id in conflict.reason
        assert stored.service_name in conflict.reason
        assert accepted == Accepted(neighbour.id)

    async def test_an_id_belongs_to_its_service(self, sink: Any) -> None:
        """Two services may use the same id."""
        self._need_ids()
        one = make_entry(service_name="one")
        two = make_entry(service_name="two", id=one.id, message="other")
        assert list(await sink.write([one, two], deadline=soon())) == [Accepted(one.id)] * 2

    async def test_concurrent_writers(self, sink: Any) -> None:
        """Many writers at once all get their answers, and nothing is lost or doubled."""
        batches = [[make_entry() for _ in range(5)] for _ in range(40)]
        answers = await asyncio.gather(*(sink.write(batch, deadline=soon(20)) for batch in batches))
        assert all(isinstance(outcome, Accepted) for answer in answers for outcome in answer)
        if self.reads_back:
            found = await read_back(sink)
            assert len(found) == 200
            if self.honours_ids:
                assert {e.id for e in found} == {e.id for batch in batches for e in batch}

    async def test_an_expired_deadline_is_answered(self, sink: Any) -> None:
        """A write whose deadline has passed is answered, by outcomes and not by an exception."""
        outcomes = await sink.write([make_entry(), make_entry()], deadline=soon(-1))
        assert len(outcomes) == 2
        assert all(isinstance(outcome, Accepted | Failed | Unknown) for outcome in outcomes)

    async def test_check_writes_nothing(self, sink: Any) -> None:
        """An open sink says that it is reachable, and asking stores no log."""
        assert (await sink.check()).reachable
        if self.reads_back:
            assert await read_back(sink) == []

    async def test_closing_twice(self, sink: Any) -> None:
        """A second aclose does nothing, and neither raises."""
        await sink.write([make_entry()], deadline=soon())
        await sink.aclose()
        await sink.aclose()

    async def test_follow_gives_what_is_stored_from_now_on(self, sink: Any) -> None:
        """A follow starts with its place, then gives the matching new entries in the order of storing."""
        self._need_follow()
        await sink.write([make_entry(message="before")], deadline=soon())
        new = [make_entry(message=f"new {number}") for number in range(3)]
        async with contextlib.aclosing(sink.follow(LogFilter(text="new"))) as follow:
            start = await asyncio.wait_for(anext(follow), 30)
            assert start.entry is None
            for entry in new:
                await sink.write([make_entry(message="skipped"), entry], deadline=soon())
            followed = [await asyncio.wait_for(anext(follow), 30) for _ in new]
        assert self._in_order(item.entry for item in followed) == new
        sequences = [item.sequence for item in followed]
        assert sequences == sorted(set(sequences))

    async def test_follow_resumes(self, sink: Any) -> None:
        """A follow after a sequence gives all that was stored after it, while nobody followed too."""
        self._need_follow()
        async with contextlib.aclosing(sink.follow(LogFilter())) as follow:
            start = await asyncio.wait_for(anext(follow), 30)
        missed = [make_entry(message=f"missed {number}") for number in range(3)]
        await sink.write(missed, deadline=soon())
        async with contextlib.aclosing(sink.follow(LogFilter(), after=start.sequence)) as follow:
            assert (await asyncio.wait_for(anext(follow), 30)).sequence == start.sequence
            found = [(await asyncio.wait_for(anext(follow), 30)).entry for _ in missed]
        assert self._in_order(found) == missed

    async def test_follow_wakes_up(self, sink: Any) -> None:
        """A follow that already waits gets an entry when it is stored."""
        self._need_follow()
        entry = make_entry()
        async with contextlib.aclosing(sink.follow(LogFilter())) as follow:
            await asyncio.wait_for(anext(follow), 30)
            waiting = asyncio.ensure_future(anext(follow))
            await sink.write([entry], deadline=soon())
            assert (await asyncio.wait_for(waiting, 30)).entry == entry

    def _in_order(self, entries: Iterable[Any]) -> list[Any]:
        """As they came from one store; from several, whose order is open, by their messages."""
        return [*entries] if self.one_store else sorted(entries, key=lambda each: (each.message, each.id))

    def _need_reader(self) -> None:
        if not self.reads_back:
            pytest.skip("this sink only writes")

    def _need_follow(self) -> None:
        if not self.follows:
            pytest.skip("this sink does not follow")

    def _need_ids(self) -> None:
        if not self.honours_ids:
            pytest.skip("this sink does not honour ids")


def _by_id(entry: LogEntry) -> str:
    return entry.id
