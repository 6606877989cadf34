"""Retention of the store: what is too old or too much goes, everything else stays and is found."""

import asyncio
import contextlib
import logging
import random
import sqlite3
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logbridge.adapters.sqlite import retention
from logbridge.adapters.sqlite.check import check
from logbridge.adapters.sqlite.file import connect, connect_reader, open_store_file
from logbridge.adapters.sqlite.query import find_page
from logbridge.adapters.sqlite.retention import Retention
from logbridge.adapters.sqlite.space import free_pages, give_back, merge_text, used_bytes
from logbridge.adapters.sqlite.store import SqliteStore
from logbridge.adapters.sqlite.write import store_batches
from logbridge.domain.entry import LogEntry, LogLevel
from logbridge.domain.outcome import Accepted
from logbridge.domain.policy import RetentionPolicy
from logbridge.domain.query import LogFilter, LogQuery
from logbridge.domain.timestamp import rfc3339
from tests.factories import make_entry, soon
from tests.sink_contract import read_back

START = datetime(2024, 8, 30, tzinfo=UTC)
DAY_S = 86_400
BYTES_MAX = 400_000
DEADLINE_S = 30.0


def at(days: float = 0, seconds: int = 0) -> str:
    """The time so long after START."""
    return rfc3339(START + timedelta(days=days, seconds=seconds))


class Store:
    """A store's file with its writer, its retention, and a clock that the test sets."""

    def __init__(self, path: Path, policy: RetentionPolicy) -> None:
        self.path = path
        self.now_s = 0
        self.writer = open_store_file(path, 1)
        self.reader = connect_reader(path, 1)
        self.retention = Retention(policy, lambda: START.timestamp() + self.now_s)

    def write(self, *entries: LogEntry) -> None:
        assert store_batches(self.writer, [entries]) == [[Accepted(entry.id) for entry in entries]]

    def retain(self) -> None:
        for _ in self.retention.run(self.writer):
            assert not self.writer.in_transaction

    def found(self, **which: Any) -> list[LogEntry]:
        found: list[LogEntry] = []
        while True:
            page = find_page(self.reader, LogQuery(**which, limit=1000, offset=len(found)))
            found += page.entries
            if len(found) == page.total_count:
                return found

    def problems(self) -> list[str]:
        with contextlib.closing(connect(self.path, 1)) as connection:
            return check(connection, lambda *_: None).problems

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


@contextlib.contextmanager
def opened(**policy: int) -> Iterator[Store]:
    """A new store under a policy."""
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory, "logs.db"), RetentionPolicy(**policy))
        try:
            yield store
        finally:
            store.close()


def texts_of(entries: list[LogEntry]) -> list[str]:
    return sorted(entry.message for entry in entries)


_WORDS = ("paid", "订单已支付", "lost\x00found", "🚀 go", 'say "hi"', "ab")
_WRITE = st.tuples(
    st.just("write"),
    st.integers(-6 * DAY_S, 2 * DAY_S) | st.just(-3 * DAY_S),  # seconds from now
    st.sampled_from(_WORDS),
    st.integers(1, 120),  # logs
)
_PASS = st.tuples(st.just("pass"), st.integers(0, 3 * DAY_S), st.just(""), st.just(0))
_RETAIN = st.tuples(st.just("retain"), st.just(0), st.just(""), st.just(0))
_EVENTS = st.lists(st.one_of(_WRITE, _PASS, _RETAIN), min_size=1, max_size=14)


class Model:
    """What a store under a policy must hold, in the order of storing. times_s: of all that was written."""

    def __init__(self) -> None:
        self.kept: list[LogEntry] = []
        self.times_s: dict[str, int] = {}

    def write(self, word: str, count: int, time_s: int) -> list[LogEntry]:
        entries = []
        for number in range(len(self.times_s), len(self.times_s) + count):
            message = f"{word} {number:06}"
            entries.append(
                make_entry(message=message, level=LogLevel(number % 5), timestamp=at(seconds=time_s))
            )
            self.times_s[entries[-1].id] = time_s
        self.kept += entries
        return entries

    def retain(self, store: Store) -> None:
        policy = store.retention.policy
        if policy.age_days_max:
            oldest_s = store.now_s - policy.age_days_max * DAY_S
            self.kept = [entry for entry in self.kept if self.times_s[entry.id] >= oldest_s]
        if policy.bytes_max:
            assert used_bytes(store.writer) <= policy.bytes_max
            # How many the bytes leave is the store's to say; that it is the last ones is not.
            self.kept = self.kept[len(self.kept) - len(store.found()) :]


def play(store: Store, model: Model, events: list[tuple[str, int, str, int]]) -> None:
    """The events at the store and at the model; at the end retention runs once more."""
    for kind, seconds, word, count in [*events, ("retain", 0, "", 0)]:
        if kind == "pass":
            store.now_s += seconds
        elif kind == "write":
            store.write(*model.write(word, count, store.now_s + seconds))
        else:
            store.retain()
            model.retain(store)


def assert_agrees(store: Store, kept: list[LogEntry]) -> None:
    """Every way to ask finds exactly what is kept, and the file is sound."""
    assert texts_of(store.found()) == texts_of(kept)
    for word in _WORDS:
        wanted = [entry for entry in kept if word in entry.message]
        assert texts_of(store.found(text=word)) == texts_of(wanted)
    for level in LogLevel:
        assert texts_of(store.found(level=level)) == texts_of([e for e in kept if e.level == level])
    middle = at(seconds=store.now_s - DAY_S)
    assert texts_of(store.found(start_time=middle)) == texts_of([e for e in kept if e.timestamp >= middle])
    assert store.problems() == []


@settings(max_examples=30)
@given(events=_EVENTS)
def test_age_keeps_what_a_plain_model_keeps(events: list[tuple[str, int, str, int]]) -> None:
    """After any writes, days and runs, exactly the logs that are not too old are there, in every answer."""
    with opened(age_days_max=3) as store:
        model = Model()
        play(store, model, events)
        assert_agrees(store, model.kept)
        assert store.retention.removed_by_age == len(model.times_s) - len(model.kept)


@settings(max_examples=30)
@given(events=_EVENTS, age_days_max=st.sampled_from([0, 3]))
def test_bytes_stay_below_their_bound(events: list[tuple[str, int, str, int]], age_days_max: int) -> None:
    """After any writes and runs logs take at most the bytes allowed, and the last ones stay."""
    with opened(age_days_max=age_days_max, bytes_max=BYTES_MAX) as store:
        model = Model()
        play(store, model, events)
        assert_agrees(store, model.kept)
        removed = store.retention.removed_by_age + store.retention.removed_by_bytes
        assert removed == len(model.times_s) - len(model.kept)


def test_bytes_remove_no_more_than_they_must() -> None:
    """A store over its bytes keeps at least half of what fits, the newest."""
    with opened(bytes_max=4_000_000) as store:
        words = random.Random(1)
        for number in range(30):
            store.write(*(make_entry(message=f"{number} {words.getrandbits(900):x}") for _ in range(100)))
        assert used_bytes(store.writer) > 4_000_000
        store.retain()
        assert 2_000_000 < used_bytes(store.writer) <= 4_000_000
        assert store.found(text="29 ")
        assert store.problems() == []


def test_a_bound_below_an_empty_file_ends() -> None:
    """A bound that no store can meet removes everything, and the run still ends."""
    with opened(bytes_max=1) as store:
        store.write(*(make_entry() for _ in range(1000)))
        store.retain()
        assert store.found() == []
        store.retain()


def test_steps_are_short() -> None:
    """However much there is to remove, one step takes only so many logs, and fewer when they are large."""
    with opened(age_days_max=1) as store:
        store.now_s = 10 * DAY_S
        store.write(*(make_entry(timestamp=at(0)) for _ in range(1000)))
        store.write(*(make_entry(timestamp=at(0), message="x" * 100_000) for _ in range(20)))
        before, removed = 0, []
        for _ in store.retention.run(store.writer):
            removed.append(store.retention.removed_by_age - before)
            before = store.retention.removed_by_age
        assert max(removed) == 200
        assert sum(removed) == 1020
        assert len([count for count in removed if count]) >= 5 + 3


def test_space_is_given_back() -> None:
    """What the removed logs took is free for the file system, not only for the next logs."""
    with opened(age_days_max=1) as store:
        store.write(*(make_entry(timestamp=at(0), message=f"{n} " * 200) for n in range(2000)))
        pages = store.writer.execute("PRAGMA page_count").fetchone()[0]
        store.now_s = 10 * DAY_S
        store.retain()
        assert free_pages(store.writer) == 0
        assert store.writer.execute("PRAGMA page_count").fetchone()[0] < pages / 10


def test_giving_back_goes_on_while_others_remove() -> None:
    """All that was free at first is given back, although each step finds more free pages than before."""
    with opened() as store:
        store.write(*(make_entry(message=f"{n} " * 200) for n in range(4000)))
        store.writer.execute("DELETE FROM logs WHERE seq <= 2000")
        for _ in merge_text(store.writer):
            pass
        free = free_pages(store.writer)
        pages = store.writer.execute("PRAGMA page_count").fetchone()[0]
        for step, _ in enumerate(give_back(store.writer)):
            store.writer.execute(
                "DELETE FROM logs WHERE seq BETWEEN ? AND ?", (2000 + 500 * step, 2500 + 500 * step)
            )
            store.writer.execute("INSERT INTO logs_text (logs_text) VALUES ('optimize')")
        assert store.writer.execute("PRAGMA page_count").fetchone()[0] <= pages - free


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[Callable[..., SqliteStore]]:
    """Opens stores on one file, whose clock stands at START; they are closed in the end."""
    stores: list[SqliteStore] = []

    def open_one(**policy: int) -> SqliteStore:
        retention = RetentionPolicy(**policy)
        store = SqliteStore(
            tmp_path / "logs.db", lock_wait_s=0.05, retention=retention, now_s=START.timestamp
        )
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.aclose()


async def until(holds: Callable[[], Any]) -> None:
    """Wait until it holds; it is asked again and again up to a deadline."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not await holds():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.01)


async def test_opening_removes_what_is_too_old(
    open_store: Callable[..., SqliteStore], caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is opened removes what became too old while it was closed, and says how much and why."""
    first = open_store()
    young = make_entry(timestamp=at(-1))
    await first.write([make_entry(timestamp=at(-9)), young], deadline=soon())
    await first.aclose()
    caplog.set_level(logging.INFO)
    store = open_store(age_days_max=2)

    async def only_the_young_one() -> bool:
        return await read_back(store) == [young]

    await until(only_the_young_one)
    await store.aclose()
    assert "retention removed logs older than 2 days: 1" in caplog.messages


async def test_writes_beyond_the_bytes_are_followed_by_a_run(
    open_store: Callable[..., SqliteStore], tmp_path: Path
) -> None:
    """A store that is written to without end stays near its bytes, without waiting for the minute."""
    store = open_store(bytes_max=1_000_000)
    for _ in range(20):
        await store.write([make_entry() for _ in range(200)], deadline=soon(30))
    with contextlib.closing(connect(tmp_path / "logs.db", 1)) as connection:

        async def fits() -> bool:
            return used_bytes(connection) <= 1_000_000

        await until(fits)
    last = make_entry()
    assert await store.write([last], deadline=soon()) == [Accepted(last.id)]
    assert last in await read_back(store)


async def fill_with_old(open_store: Callable[..., SqliteStore]) -> None:
    store = open_store()
    await store.write([make_entry(timestamp=at(-9)) for _ in range(4000)], deadline=soon())
    await store.aclose()


async def test_writing_and_reading_go_on_while_it_removes(
    open_store: Callable[..., SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes and questions are answered in the middle of a run that removes thousands of logs."""
    await fill_with_old(open_store)
    asked, remove = threading.Event(), retention._remove
    # Its first step waits for a question before the second.
    monkeypatch.setattr(retention, "_remove", lambda *given: (remove(*given), asked.wait(DEADLINE_S))[0])
    store = open_store(age_days_max=2)
    seen = set()
    entry = make_entry(timestamp=at(0))
    while 1 not in seen:
        seen.add((await store.query(LogQuery(limit=1), deadline=soon(30))).total_count)
        asked.set()
        assert await store.write([entry], deadline=soon(30)) == [Accepted(entry.id)]
    assert len(seen) > 1
    assert await read_back(store) == [entry]


async def test_closing_ends_a_run(open_store: Callable[..., SqliteStore]) -> None:
    """A store that is closed in the middle of a run ends it after its step; the next one goes on."""
    await fill_with_old(open_store)
    await open_store(age_days_max=2).aclose()
    last = open_store(age_days_max=2)

    async def empty() -> bool:
        return not await read_back(last)

    await until(empty)


async def test_a_locked_file_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process holds the lock one line says so, and a later run removes what is too old."""
    monkeypatch.setattr("logbridge.adapters.sqlite.retention.RETAIN_EVERY_S", 0.01)  # not a minute
    days = [0]
    store = SqliteStore(
        tmp_path / "logs.db",
        lock_wait_s=0.01,
        retention=RetentionPolicy(age_days_max=2),
        now_s=lambda: START.timestamp() + days[0] * DAY_S,
    )
    await store.write([make_entry(timestamp=at(0))], deadline=soon())

    def warnings() -> int:
        return len([line for line in caplog.messages if "could not remove logs" in line])

    async def warned() -> bool:
        return warnings() > 0

    async def empty() -> bool:
        return not await read_back(store)

    with contextlib.closing(sqlite3.connect(tmp_path / "logs.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        days[0] = 10
        await until(warned)
        other.execute("ROLLBACK")
    await until(empty)
    await store.aclose()
    assert warnings() == 1


async def test_a_follow_goes_on_where_logs_were_removed(open_store: Callable[..., SqliteStore]) -> None:
    """Who follows from a place whose logs are gone gets everything that was stored after it."""
    first = open_store()
    await first.write([make_entry(timestamp=at(-9)) for _ in range(3)], deadline=soon())
    async with contextlib.aclosing(first.follow(LogFilter())) as follow:
        place = (await anext(follow)).sequence
    entry = make_entry(timestamp=at(0))
    await first.write([make_entry(timestamp=at(-9)), entry], deadline=soon())
    await first.aclose()
    store = open_store(age_days_max=2)

    async def only_one() -> bool:
        return await read_back(store) == [entry]

    await until(only_one)
    async with contextlib.aclosing(store.follow(LogFilter(), after=place)) as follow:
        await anext(follow)
        assert (await asyncio.wait_for(anext(follow), 30)).entry == entry
