"""The beat of a bridge, and what a look at it costs."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.domain.measures import Measures, Waiting
from logbridge.domain.outcome import Accepted
from logbridge.entrypoints import vitals as module
from logbridge.entrypoints.vitals import Gauges, Vitals

WAITING = Waiting(1, 2, "", 3, 4, 5)


class Spool:
    """Counts how often it is asked, and answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Waiting | None = WAITING
        self.was_asked = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> Waiting | None:
        self.asked += 1
        self.was_asked.set()
        await self.open.wait()
        return self.answer


class Watch:
    """Counts how often it was begun, and ends, or fails, when it is let."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.open = asyncio.Event()
        self.open.set()
        self._error = error

    async def __call__(self) -> None:
        self.begun += 1
        await self.open.wait()
        if self._error is not None:
            raise self._error


class Clock:
    """A clock that goes as fast as somebody sleeps. late_s: how much later than asked each sleep ends."""

    def __init__(self, late_s: Sequence[float] = (0.0,)) -> None:
        self.now_s = 100.25
        self._late_s = itertools.cycle(late_s)

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        assert 0.5 <= seconds <= 1.5
        self.now_s += seconds + next(self._late_s)
        await asyncio.sleep(0)


@asynccontextmanager
async def beating(
    measures: Measures,
    spool: Spool,
    folder: Path | None = None,
    clock: Clock | None = None,
    watch: Watch | None = None,
) -> AsyncIterator[Vitals]:
    clock = clock or Clock()
    vitals = Vitals(
        measures,
        lambda: Gauges(1, 2, 3, 1),
        watch or Watch(),
        spool,
        writes=["/write"],
        folder=folder,
        now_s=clock,
        sleep=clock.sleep,
    )
    vitals.start()
    try:
        yield vitals
    finally:
        await vitals.stop()


@given(st.lists(st.floats(-0.01, 2), min_size=1))
async def test_each_beat_is_a_second_of_its_own(late_s: list[float]) -> None:
    """Whether timers are early or late, no second comes twice, and together they are all that came."""
    measures = Measures()
    async with beating(measures, Spool(), clock=Clock(late_s)) as vitals:
        for _ in range(20):
            measures.outcome(Accepted("a"), "")
            await vitals.next_beat()
        [report] = (await vitals.look()).seen.running
    times = [second.at_s for second in report.history]
    assert times == sorted(set(times))
    assert sum(second.entries[0] for second in report.history) == 20


async def test_a_look_is_of_whole_seconds() -> None:
    """What is told ends with the last beat, not in the second that has begun."""
    async with beating(Measures(), Spool()) as vitals:
        await vitals.next_beat()
        look = await vitals.look()
    assert look.now_s - 1 <= look.until_s <= look.now_s
    assert look.until_s == look.seen.running[0].history[-1].at_s + 1


async def test_log_services_are_watched_at_each_beat() -> None:
    """A watch that takes longer is not begun beside itself, holds up no beat, and ends with the bridge."""
    watch = Watch()
    watch.open.clear()
    async with beating(Measures(), Spool(), watch=watch) as vitals:
        for _ in range(3):
            await vitals.next_beat()
        assert watch.begun == 1
        watch.open.set()
        for _ in range(3):
            await vitals.next_beat()
        assert watch.begun > 2
        watch.open.clear()
        await vitals.next_beat()


async def test_a_watch_that_fails_is_told_and_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours in there does not end the beat."""
    watch = Watch(RuntimeError("a fault"))
    async with beating(Measures(), Spool(), watch=watch) as vitals:
        for _ in range(3):
            await vitals.next_beat()
    assert watch.begun > 1
    assert "whether it is back" in caplog.text


async def test_the_spool_is_asked_once_for_many() -> None:
    """Who looks while it is asked has the same answer; nobody is told that there is none."""
    spool = Spool()
    spool.open.clear()
    async with beating(Measures(), spool) as vitals:
        looks = [asyncio.ensure_future(vitals.look()) for _ in range(5)]
        await spool.was_asked.wait()
        spool.open.set()
        assert [look.waiting for look in await asyncio.gather(*looks)] == [WAITING] * 5
        assert (await vitals.look()).waiting == WAITING
    assert spool.asked == 1


async def test_who_hangs_up_leaves_the_others_their_answer() -> None:
    """A look that is cancelled does not cancel the question for all."""
    spool = Spool()
    spool.open.clear()
    async with beating(Measures(), spool) as vitals:
        first = asyncio.ensure_future(vitals.look())
        second = asyncio.ensure_future(vitals.look())
        await spool.was_asked.wait()
        first.cancel()
        spool.open.set()
        assert (await second).waiting == WAITING
    assert spool.asked == 1


async def test_nobody_waits_for_a_slow_spool_that_has_answered_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a new answer takes its time, the old one is told; the new one as soon as it is there."""
    monkeypatch.setattr(module, "SPOOL_EVERY_S", 0.0)
    monkeypatch.setattr(module, "SPOOL_PAUSE_TO_TIME", 0)
    spool = Spool()
    async with beating(Measures(), spool) as vitals:
        assert (await vitals.look()).waiting == WAITING
        spool.open.clear()
        spool.answer = None
        assert (await vitals.look()).waiting == WAITING
        spool.open.set()
        assert (await vitals.look()).waiting is None
    assert spool.asked == 2


async def test_a_spool_that_could_not_be_read_is_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the question took: it had only waited. Once it is read, that sets the pause."""
    monkeypatch.setattr(module, "SPOOL_EVERY_S", 0.0)
    monkeypatch.setattr(module, "SPOOL_AGAIN_S", 0.0)
    monkeypatch.setattr(module, "SPOOL_PAUSE_TO_TIME", 1e9)
    spool = Spool()
    spool.answer = None
    async with beating(Measures(), spool) as vitals:
        assert (await vitals.look()).waiting is None
        spool.answer = WAITING
        assert [(await vitals.look()).waiting for _ in range(3)] == [WAITING] * 3
    assert spool.asked == 2


async def test_the_last_counts_are_shown_at_the_end(tmp_path: Path) -> None:
    """What came after the last beat is pinned when the bridge stops."""
    measures = Measures()
    async with beating(measures, Spool(), tmp_path):
        measures.outcome(Accepted("a"), "")
    other = Vitals(
        Measures(),
        lambda: Gauges(0, 0, 1, 0),
        Watch(),
        Spool(),
        writes=[],
        folder=tmp_path,
        now_s=lambda: 1.0,
    )
    assert (await other.look()).seen.counts.entries["accepted"] == 1
