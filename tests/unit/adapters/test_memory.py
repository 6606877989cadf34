"""The fake keeps the contract of every sink, and does what its script says."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from logbridge.adapters.memory import MemorySink, accept, fail, hang, lose, refuse
from logbridge.domain.errors import ReaderUnavailable
from logbridge.domain.outcome import Accepted, Cause, Failed, Refused, Unknown
from logbridge.domain.query import LogFilter
from tests.factories import make_entry, soon
from tests.sink_contract import SinkContract


class TestMemorySink(SinkContract):
    """The contract suite over the fake."""

    @pytest.fixture
    async def sink(self) -> AsyncIterator[MemorySink]:
        """An empty fake without a script."""
        sink = MemorySink()
        yield sink
        await sink.aclose()


async def test_script_is_followed_then_everything_is_accepted() -> None:
    """Each entry takes the next step of the script; after the last step entries are accepted."""
    sink = MemorySink([accept, refuse("no"), fail("later"), lose("gone")])
    entries = [make_entry() for _ in range(5)]
    first = await sink.write(entries[:2], deadline=soon())
    rest = await sink.write(entries[2:], deadline=soon())
    assert [*first, *rest] == [
        Accepted(entries[0].id),
        Refused(entries[1].id, "no"),
        Failed(entries[2].id, "later", Cause.OVERLOADED, may_go_again=False),
        Unknown(entries[3].id, "gone"),
        Accepted(entries[4].id),
    ]
    assert sink.entries == [entries[0], entries[4]]


async def test_hang_answers_at_the_deadline() -> None:
    """A hanging entry is unknown once the deadline has passed; its neighbour in the batch is stored."""
    sink = MemorySink([hang])
    entries = [make_entry(), make_entry()]
    outcomes = await sink.write(entries, deadline=soon(0.01))
    assert isinstance(outcomes[0], Unknown)
    assert outcomes[0].cause is Cause.TIMEOUT
    assert outcomes[1] == Accepted(entries[1].id)
    assert sink.entries == entries[1:]


async def test_full_fails_and_names_the_limit() -> None:
    """Beyond entries_max a write fails as overloaded, naming the limit; a repeated log is still accepted."""
    sink = MemorySink(entries_max=1)
    stored = make_entry()
    await sink.write([stored], deadline=soon())
    over, again = await sink.write([make_entry(), stored], deadline=soon())
    assert isinstance(over, Failed)
    assert over.cause is Cause.OVERLOADED
    assert "at most 1 entries" in over.reason
    assert again == Accepted(stored.id)


async def test_closed_sink_fails_writes_and_keeps_entries() -> None:
    """After aclose writes fail, check says why, and what was stored can still be looked at."""
    sink = MemorySink()
    entry = make_entry()
    await sink.write([entry], deadline=soon())
    await sink.aclose()
    (outcome,) = await sink.write([make_entry()], deadline=soon())
    assert isinstance(outcome, Failed)
    assert not (await sink.check()).reachable
    assert sink.entries == [entry]


async def test_closing_ends_a_follow() -> None:
    """Who follows is told that the sink was closed."""
    sink = MemorySink()
    follow = sink.follow(LogFilter())
    await anext(follow)
    waiting = asyncio.ensure_future(anext(follow))
    await asyncio.sleep(0)
    await sink.aclose()
    with pytest.raises(ReaderUnavailable, match="closed"):
        await asyncio.wait_for(waiting, 30)


def test_a_follower_of_a_closed_loop_does_not_disturb() -> None:
    """A write wakes the followers of living loops, whatever became of the others."""
    sink = MemorySink()
    loop = asyncio.new_event_loop()
    follow = sink.follow(LogFilter())
    loop.run_until_complete(anext(follow))
    other = asyncio.new_event_loop()
    loop.close()
    entry = make_entry()
    outcomes = other.run_until_complete(sink.write([entry], deadline=soon()))
    other.run_until_complete(follow.aclose())
    other.close()
    assert outcomes == [Accepted(entry.id)]
