"""The spooler in simulated time, over a spool in memory."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from logbridge.adapters.delivery.breaker import Breaker
from logbridge.adapters.delivery.spooler import Spooler
from logbridge.adapters.memory import MemorySink
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.policy import BreakerPolicy, RetryPolicy, SpoolPolicy
from logbridge.domain.ports import Deadline
from tests.factories import make_entry
from tests.memory_spool import MemorySpool
from tests.simulated import now_s, run_simulated

POLICY = SpoolPolicy(batch_entries_max=4, parked_batches_max=8)


class Peer(MemorySink):
    """A log service: ``answer`` decides for the ids of a batch; received counts what it got, by id.

    batches: the ids of each write that reached it, in order.
    """

    def __init__(self, answer: Callable[[list[str]], Outcome | None] = lambda ids: None) -> None:
        super().__init__()
        self.answer = answer
        self.batches: list[list[str]] = []
        self.received: dict[str, int] = {}

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        ids = [entry.id for entry in entries]
        self.batches.append(ids)
        await asyncio.sleep(0.01)
        outcome = self.answer(ids)
        if outcome is None or isinstance(outcome, Unknown):
            for log_id in ids:
                self.received[log_id] = self.received.get(log_id, 0) + 1
        return [outcome or Accepted(log_id) for log_id in ids]


def spooler(peer: MemorySink, spool: MemorySpool, jitter: float = 1.0) -> Spooler:
    clock = asyncio.get_running_loop().time
    guarded = Breaker(peer, BreakerPolicy(), clock)
    return Spooler(guarded, spool, POLICY, RetryPolicy(), clock, lambda: jitter)


async def write(link: Spooler, *ids: str) -> Sequence[Outcome]:
    return await link.write([make_entry(id=log_id) for log_id in ids], deadline=Deadline(now_s() + 5))


async def empty(spool: MemorySpool, within_s: float = 3600) -> None:
    async with asyncio.timeout(within_s):
        while spool.waiting:  # noqa: ASYNC110 (simulated time: looking costs nothing)
            await asyncio.sleep(0.1)


async def delivered(peer: Peer, spool: MemorySpool, ids: Sequence[str]) -> None:
    link = spooler(peer, spool)
    await write(link, *ids)
    link.start()
    await empty(spool)
    await link.aclose()


def test_a_write_is_acknowledged_by_the_spool_and_delivered_in_order() -> None:
    """The answer is Accepted (spooled) before anything is sent; then all goes in order, in batches."""
    peer, spool = Peer(), MemorySpool()

    async def work() -> None:
        link = spooler(peer, spool)
        assert await write(link, *"abcdefghij") == [Accepted(log_id, spooled=True) for log_id in "abcdefghij"]
        assert peer.batches == []
        link.start()
        await empty(spool)
        await link.aclose()

    run_simulated(work())
    assert peer.batches == [[*"abcd"], [*"efgh"], [*"ij"]]
    assert peer.closed
    assert spool.closed


def test_what_arrives_while_it_is_idle_goes_at_once() -> None:
    """Nobody waits for the next look into the spool."""
    peer, spool = Peer(), MemorySpool()

    async def work() -> float:
        link = spooler(peer, spool)
        link.start()
        await asyncio.sleep(100)
        began_s = now_s()
        await write(link, "a")
        while not peer.received:  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.001)
        await link.aclose()
        return now_s() - began_s

    assert run_simulated(work()) < 0.05


def test_a_full_spool_accepts_nothing() -> None:
    """What cannot be kept has Failed, and nothing of it is delivered."""
    peer, spool = Peer(), MemorySpool(entries_max=2)

    async def work() -> Sequence[Outcome]:
        link = spooler(peer, spool)
        await write(link, "a", "b")
        full = await write(link, "c")
        assert not (await link.check()).reachable
        link.start()
        await empty(spool)
        await link.aclose()
        return full

    (failed,) = run_simulated(work())
    assert isinstance(failed, Failed)
    assert peer.received == {"a": 1, "b": 1}


def test_what_is_refused_becomes_a_dead_letter() -> None:
    """A refusal is kept with its reason and never sent again; the others are delivered."""
    peer = Peer(lambda ids: Refused("x", "no, thanks") if "bad" in ids else None)
    spool = MemorySpool()
    run_simulated(delivered(peer, spool, ["bad"]))
    run_simulated(delivered(peer, MemorySpool(), ["good"]))
    assert {log_id: refused.reason for log_id, refused in spool.dead.items()} == {"bad": "no, thanks"}
    assert peer.received == {"good": 1}


def test_a_batch_that_backs_off_holds_nobody_up() -> None:
    """While one batch fails again and again, the next ones are delivered; the guilty entry ends up alone."""
    peer = Peer(lambda ids: Unknown("x", "INTERNAL") if "b" in ids else None)
    spool = MemorySpool()

    async def work() -> None:
        link = spooler(peer, spool)
        await write(link, *"abcdefghijkl")
        link.start()
        await asyncio.sleep(60)
        assert [entry.id for entry in spool.waiting.values()] == ["b"]
        peer.answer = lambda ids: None
        await empty(spool)
        await link.aclose()

    run_simulated(work())
    assert set(peer.received) == set("abcdefghijkl")
    assert peer.batches.index([*"efgh"]) < 4
    assert spool.resent >= 4


def test_an_outage_costs_trials_not_passes_over_the_spool() -> None:
    """While nobody is there, one batch is tried now and then; afterwards everything goes, in order."""
    away = Failed("x", "nothing listens there")
    peer = Peer(lambda ids: away)
    spool = MemorySpool()
    ids = [f"{number:04}" for number in range(400)]

    async def work() -> int:
        link = spooler(peer, spool)
        await write(link, *ids)
        link.start()
        await asyncio.sleep(600)
        tried = len(peer.batches)
        peer.answer = lambda ids: None
        await empty(spool, within_s=60)
        await link.aclose()
        return tried

    tried = run_simulated(work())
    assert tried < 40
    assert [log_id for batch in peer.batches[tried:] for log_id in batch] == ids
    assert set(peer.received.values()) == {1}


def test_closing_waits_for_the_batch_under_way_and_keeps_the_rest() -> None:
    """What was sent is settled; what was not stays kept, and goes after the next start."""
    peer, spool = Peer(), MemorySpool()

    async def work() -> None:
        link = spooler(peer, spool)
        await write(link, *"abcdefgh")
        link.start()
        await asyncio.sleep(0.005)
        await link.aclose()
        assert [entry.id for entry in spool.waiting.values()] == [*"efgh"]
        spool.restart()
        again = spooler(peer, spool)
        again.start()
        await empty(spool)
        await again.aclose()

    run_simulated(work())
    assert set(peer.received.values()) == {1}


def test_cutting_leaves_the_batch_under_way_in_the_spool() -> None:
    """A log service that hangs does not keep the bridge from ending; what it may have is counted."""
    spool = MemorySpool()

    class Hung(Peer):
        async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
            await asyncio.Event().wait()
            return []

    async def work() -> None:
        link = spooler(Hung(), spool)
        await write(link, "a")
        link.start()
        await asyncio.sleep(1)
        closing = asyncio.ensure_future(link.aclose())
        await asyncio.sleep(1)
        assert not closing.done()
        link.cut()
        await closing

    run_simulated(work())
    assert [entry.id for entry in spool.waiting.values()] == ["a"]
    spool.restart()
    assert spool.resent == 1


def test_a_fault_does_not_end_the_drain() -> None:
    """Whatever goes wrong in between, everything is delivered in the end."""

    class Faulty(Peer):
        faults = 3

        async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
            if self.faults:
                self.faults -= 1
                raise ZeroDivisionError
            return await super().write(entries, deadline=deadline)

    peer, spool = Faulty(), MemorySpool()
    run_simulated(delivered(peer, spool, "abcdefgh"))
    assert peer.received == dict.fromkeys("abcdefgh", 1)


_ANSWERS = st.sampled_from(
    [
        None,
        Failed("x", "away"),
        Failed("x", "full", Cause.OVERLOADED, 3.0),
        Unknown("x", "lost"),
        Unknown("x", "slow", Cause.TIMEOUT),
        Refused("x", "no"),
    ]
)


@settings(max_examples=100)
@given(
    answers=st.lists(_ANSWERS, max_size=30),
    writes=st.lists(st.tuples(st.integers(1, 9), st.floats(0, 50)), min_size=1, max_size=8),
    stop_after_s=st.none() | st.floats(0, 100),
    jitter=st.floats(0.01, 1),
)
def test_every_obligation_is_delivered_or_a_dead_letter(
    answers: list[Outcome | None],
    writes: list[tuple[int, float]],
    stop_after_s: float | None,
    jitter: float,
) -> None:
    """For any faults, any arrivals and a restart: in the end each acknowledged entry was received or is dead,
    and was received twice only if an outcome was unknown, which is counted."""
    script = iter(answers)
    peer, spool = Peer(lambda ids: next(script, None)), MemorySpool()
    obligations: list[str] = []

    async def work() -> None:
        link = spooler(peer, spool, jitter)
        link.start()
        ending = asyncio.ensure_future(asyncio.sleep(stop_after_s or 1e6))
        for count, pause_s in writes:
            ids = [f"{len(obligations) + number}" for number in range(count)]
            await write(link, *ids)
            obligations.extend(ids)
            await asyncio.sleep(pause_s)
            if ending.done() and not spool.closed:
                await link.aclose()
                spool.restart()
                link = spooler(peer, spool, jitter)
                link.start()
                ending = asyncio.ensure_future(asyncio.sleep(1e6))
        await empty(spool)
        await link.aclose()
        ending.cancel()

    work_: Callable[[], Coroutine[Any, Any, None]] = work
    run_simulated(work_())
    assert set(peer.received) | set(spool.dead) == set(obligations)
    doubled = sum(count - 1 for count in peer.received.values())
    assert doubled <= spool.resent


def test_what_waits_for_one_of_several_holds_nobody_up() -> None:
    """It was not sent, so that it is not counted as sent again, and stays one batch; the others pass it."""
    spool = MemorySpool()
    back = asyncio.Event()
    waits = Unknown("x", "b:1 may have it, and is away", Cause.NO_ANSWER, 5.0, may_go_again=True, sent=False)
    peer = Peer(lambda ids: waits if "a" in ids and not back.is_set() else None)

    async def work() -> None:
        link = spooler(peer, spool)
        await write(link, *"abcdefghij")
        link.start()
        await asyncio.sleep(60)
        assert peer.received.keys() >= {*"efghij"}
        assert all(batch == [*"abcd"] for batch in peer.batches if "a" in batch)
        back.set()
        await empty(spool)
        await link.aclose()

    run_simulated(work())
    assert spool.resent == 0
    assert peer.received["e"] == 1
