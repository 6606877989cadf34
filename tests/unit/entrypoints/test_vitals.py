"""The beat of a bridge, and what a look at it costs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from logbridge.domain.measures import Measures, Waiting
from logbridge.domain.outcome import Accepted
from logbridge.entrypoints.vitals import Gauges, Vitals

WAITING = Waiting(1, 2, "", 3, 4, 5)
FASTER = 1000


class Spool:
    """Counts how often it is asked, and answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.was_asked = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> Waiting | None:
        self.asked += 1
        self.was_asked.set()
        await self.open.wait()
        return WAITING


class Clock:
    """A clock of the wall that goes so much faster that a second is over soon."""

    def __init__(self) -> None:
        self._began_s = asyncio.get_running_loop().time()

    def __call__(self) -> float:
        return 100 + FASTER * (asyncio.get_running_loop().time() - self._began_s)


@asynccontextmanager
async def beating(measures: Measures, spool: Spool, folder: Path | None = None) -> AsyncIterator[Vitals]:
    vitals = Vitals(
        measures,
        lambda: Gauges(1, 2, False),
        spool,
        writes=["/write"],
        folder=folder,
        now_s=Clock(),
        sleep=lambda seconds: asyncio.sleep(seconds / FASTER),
    )
    vitals.start()
    try:
        yield vitals
    finally:
        await vitals.stop()


async def test_each_beat_is_a_second_of_its_own() -> None:
    """Seconds come in order, none twice, whatever the timers do; together they are all that came."""
    measures = Measures()
    async with beating(measures, Spool()) as vitals:
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
        assert look.until_s <= look.now_s
        assert look.until_s == look.seen.running[0].history[-1].at_s + 1


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


async def test_the_last_counts_are_shown_at_the_end(tmp_path: Path) -> None:
    """What came after the last beat is pinned when the bridge stops."""
    measures = Measures()
    async with beating(measures, Spool(), tmp_path):
        measures.outcome(Accepted("a"), "")
    other = Vitals(
        Measures(), lambda: Gauges(0, 0, False), Spool(), writes=[], folder=tmp_path, now_s=lambda: 1.0
    )
    assert (await other.look()).seen.counts.entries["accepted"] == 1
