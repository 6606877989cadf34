"""The coalescing link in simulated time: what goes together, what a caller is told, who waits for nobody."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.adapters.delivery.coalesce import SWEEP_S, Coalesce
from logbridge.adapters.memory import MemorySink
from logbridge.domain.entry import LogEntry, text_bytes
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.policy import CoalescePolicy
from logbridge.domain.ports import Deadline
from logbridge.domain.trace import TRACES, Trace
from tests.factories import make_entry
from tests.simulated import busy_for, now_s, run_simulated

POLICY = CoalescePolicy(batch_entries_max=10, batch_bytes_max=2000, batches_max=3, linger_s=0.005)


class Peer(MemorySink):
    """Answers each batch after ``took_s`` of its number, or at the deadline; refuses a message "bad".

    batches: the ids of each batch. deadlines, sizes_bytes: of each. most: batches under way at once, at most.
    """

    def __init__(self, took_s: Callable[[int], float] = lambda _: 0.001) -> None:
        super().__init__()
        self.took_s = took_s
        self.batches: list[list[str]] = []
        self.deadlines: list[float] = []
        self.sizes_bytes: list[int] = []
        self.under_way = self.most = 0

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        self.batches.append([entry.id for entry in entries])
        self.deadlines.append(deadline.at_s)
        self.sizes_bytes.append(sum(map(text_bytes, entries)))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        left_s = deadline.remaining_s(now_s())
        took_s = self.took_s(len(self.batches))
        try:
            await asyncio.sleep(min(took_s, left_s))
        finally:
            self.under_way -= 1
        if took_s > left_s:
            return [Unknown(entry.id, "no answer", Cause.TIMEOUT) for entry in entries]
        return [
            Refused(entry.id, "bad") if entry.message == "bad" else Accepted(entry.id) for entry in entries
        ]

    @property
    def ids(self) -> list[str]:
        return [log_id for batch in self.batches for log_id in batch]


def link_to(peer: Peer, policy: CoalescePolicy = POLICY) -> Coalesce:
    return Coalesce(peer, policy, asyncio.get_running_loop().time)


def begin(
    link: Coalesce, *ids: str, wait_s: float = 60, message: str = "m"
) -> "asyncio.Task[Sequence[Outcome]]":
    """A write of entries with these ids, begun."""
    entries = [make_entry(id=log_id, message=message) for log_id in ids]
    return asyncio.ensure_future(link.write(entries, deadline=Deadline(now_s() + wait_s)))


def simulated(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return run_simulated(work())


def test_a_lone_write_goes_at_once() -> None:
    """Nothing waits for a timer: the batch of one is there before any time has passed."""

    async def work() -> None:
        peer = Peer()
        began_s = now_s()
        assert await begin(link_to(peer), "a") == [Accepted("a")]
        assert now_s() == began_s + 0.001
        assert peer.batches == [["a"]]

    simulated(work)


def test_what_comes_together_goes_together() -> None:
    """Writes of one turn of the loop are one batch, and so are those that wait for its answer."""

    async def work() -> None:
        peer = Peer()
        link = link_to(peer)
        first = [begin(link, str(number)) for number in range(3)]
        await asyncio.sleep(0.0005)
        second = [begin(link, "x", "y"), begin(link, "z")]
        assert await asyncio.gather(*first, *second) == [
            [Accepted("0")],
            [Accepted("1")],
            [Accepted("2")],
            [Accepted("x"), Accepted("y")],
            [Accepted("z")],
        ]
        assert peer.batches == [["0", "1", "2"], ["x", "y", "z"]]

    simulated(work)


def test_a_slow_batch_holds_others_back_for_the_linger_only() -> None:
    """Behind a batch that is not answered a write waits 5 ms, then goes in a batch of its own."""

    async def work() -> None:
        peer = Peer(lambda number: 10.0 if number == 1 else 0.001)
        link = link_to(peer)
        stuck = begin(link, "stuck")
        await asyncio.sleep(0.1)
        began_s = now_s()
        await begin(link, "next")
        assert now_s() - began_s == pytest.approx(POLICY.linger_s + 0.001)
        assert await stuck == [Accepted("stuck")]

    simulated(work)


def test_a_busy_loop_is_no_slow_log_service() -> None:
    """A linger that ends late, because the bridge itself was busy, gives the answer its turn first."""

    async def work() -> None:
        peer = Peer(lambda _: 0.006)
        link = link_to(peer)
        first = begin(link, "a")
        await asyncio.sleep(0.0005)
        second = begin(link, "b")
        await asyncio.sleep(0.0005)
        busy_for(0.02)
        third = begin(link, "c")
        await asyncio.gather(first, second, third)
        assert (peer.batches, peer.most) == ([["a"], ["b", "c"]], 1)

    simulated(work)


def test_batches_are_bounded() -> None:
    """Neither more entries, nor more bytes, nor more batches under way than the policy allows."""

    async def work() -> None:
        peer = Peer(lambda _: 0.1)
        link = link_to(peer)
        writes = [begin(link, f"{number}") for number in range(95)]
        writes += [begin(link, f"large{number}", message="x" * 900) for number in range(5)]
        await asyncio.gather(*writes)
        assert len(peer.ids) == len(set(peer.ids)) == 100
        assert max(map(len, peer.batches)) == POLICY.batch_entries_max
        assert max(peer.sizes_bytes) <= POLICY.batch_bytes_max < sum(sorted(peer.sizes_bytes)[-2:])
        assert peer.most == POLICY.batches_max

    simulated(work)


def test_a_batch_of_its_own_goes_by_itself() -> None:
    """A write as large as a batch neither waits for others nor makes them wait."""

    async def work() -> None:
        peer = Peer(lambda number: 1.0 if number == 1 else 0.001)
        link = link_to(peer)
        slow = begin(link, "slow")
        await asyncio.sleep(0.001)
        began_s = now_s()
        assert len(await begin(link, *(f"{number}" for number in range(10)))) == 10
        assert now_s() - began_s == pytest.approx(0.001)
        await slow

    simulated(work)


def test_a_bad_entry_fails_alone() -> None:
    """Each caller gets the outcome of its own entry, whatever became of its neighbours."""

    async def work() -> None:
        link = link_to(Peer())
        writes = [begin(link, "a"), begin(link, "b", message="bad"), begin(link, "c")]
        assert await asyncio.gather(*writes) == [[Accepted("a")], [Refused("b", "bad")], [Accepted("c")]]

    simulated(work)


def test_a_cancelled_write_that_waits_is_taken_back() -> None:
    """It is never sent; one that is under way goes on, and its neighbours notice neither."""

    async def work() -> None:
        peer = Peer()
        link = link_to(peer)
        gone, stays = begin(link, "gone"), begin(link, "stays")
        await asyncio.sleep(0.0005)
        back, waits = begin(link, "back"), begin(link, "waits")
        await asyncio.sleep(0)
        for write in (gone, back):
            write.cancel()
        assert await asyncio.gather(stays, waits) == [[Accepted("stays")], [Accepted("waits")]]
        assert peer.batches == [["gone", "stays"], ["waits"]]

    simulated(work)


def test_each_caller_has_its_own_deadline() -> None:
    """In a batch under way it is unknown, before that it was not sent; the batch has the latest of all."""

    async def work() -> None:
        peer = Peer(lambda _: 1.0)
        link = link_to(peer, CoalescePolicy(batches_max=1))
        began_s = now_s()
        patient, hasty = begin(link, "patient"), begin(link, "hasty", wait_s=0.1)
        await asyncio.sleep(0.01)
        (waiting,) = await begin(link, "waiting", wait_s=0.2)
        assert isinstance(waiting, Failed)
        assert waiting.cause is Cause.OVERLOADED
        assert now_s() - began_s == pytest.approx(0.21, abs=SWEEP_S)
        (late,) = await hasty
        assert isinstance(late, Unknown)
        assert late.cause is Cause.TIMEOUT
        assert await patient == [Accepted("patient")]
        assert peer.batches == [["patient", "hasty"]]
        assert peer.deadlines == [began_s + 60]

    simulated(work)


def test_a_fault_reaches_every_caller() -> None:
    """What the next link raises is raised where each write was awaited, and the next batch goes on."""

    async def work() -> None:
        class Faulty(Peer):
            async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
                await super().write(entries, deadline=deadline)
                if len(self.batches) == 1:
                    raise ZeroDivisionError
                return [Accepted(entry.id) for entry in entries]

        link = link_to(Faulty())
        writes = [begin(link, "a"), begin(link, "b")]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(result) for result in results] == [ZeroDivisionError] * 2
        assert await begin(link, "c") == [Accepted("c")]

    simulated(work)


def test_the_end_of_the_loop_ends_every_caller() -> None:
    """A program that ends in the middle of a batch leaves nobody waiting."""

    async def work() -> None:
        link = link_to(Peer(lambda _: 30.0))
        writes = [begin(link, "a"), begin(link, "b")]
        await asyncio.sleep(1)
        for task in asyncio.all_tasks() - {asyncio.current_task(), *writes}:
            task.cancel()
        ended = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(each) for each in ended] == [asyncio.CancelledError] * 2

    simulated(work)


def test_closing_waits_for_everything() -> None:
    """What waits and what is under way is answered before the next link is closed."""

    async def work() -> None:
        peer = Peer()
        link = link_to(peer)
        first = begin(link, "a")
        await asyncio.sleep(0.0005)
        second = begin(link, "b")
        await asyncio.sleep(0)
        await link.aclose()
        assert (await first, await second) == ([Accepted("a")], [Accepted("b")])
        assert peer.closed

    simulated(work)


@dataclass
class Caller:
    """One caller of the model: when it comes, with how many entries, how long it waits, when it gives up."""

    at_ms: int
    entries: int
    wait_ms: int
    gives_up_ms: int | None
    ids: list[str] = field(default_factory=list)


CALLERS = st.lists(
    st.builds(
        Caller,
        at_ms=st.integers(0, 60),
        entries=st.integers(1, 9),
        wait_ms=st.integers(1, 120),
        gives_up_ms=st.none() | st.integers(0, 40),
    ),
    max_size=40,
)


@given(CALLERS, st.lists(st.integers(0, 80), min_size=1, max_size=8), st.integers(1, 4))
def test_the_link_behaves_like_the_model(callers: list[Caller], took_ms: list[int], batches_max: int) -> None:
    """Whoever comes when: nobody is forgotten or mixed up, nothing is sent twice, every bound holds."""

    async def work() -> None:
        peer = Peer(lambda number: took_ms[number % len(took_ms)] / 1000)
        link = link_to(peer, CoalescePolicy(10, 2**20, batches_max, 0.005))
        await asyncio.gather(*(call(peer, link, number, caller) for number, caller in enumerate(callers)))
        await link.aclose()
        assert len(peer.ids) == len(set(peer.ids))
        assert all(len(batch) <= 10 for batch in peer.batches)
        assert peer.most <= batches_max

    async def call(peer: Peer, link: Coalesce, number: int, caller: Caller) -> None:
        caller.ids = [f"{number}-{index}" for index in range(caller.entries)]
        await asyncio.sleep(caller.at_ms / 1000)
        began_s = now_s()
        write = begin(link, *caller.ids, wait_s=caller.wait_ms / 1000)
        if caller.gives_up_ms is not None:
            asyncio.get_running_loop().call_later(caller.gives_up_ms / 1000, write.cancel)
        try:
            outcomes = await write
        except asyncio.CancelledError:
            assert caller.gives_up_ms is not None
            return
        assert [outcome.log_id for outcome in outcomes] == caller.ids
        assert now_s() - began_s <= caller.wait_ms / 1000 + 2 * SWEEP_S
        sent = set(caller.ids) <= set(peer.ids)
        for outcome in outcomes:
            assert not isinstance(outcome, Failed) or not sent
            assert not isinstance(outcome, Accepted | Unknown) or sent

    simulated(work)


@pytest.mark.parametrize(
    ("spans", "told"), [("-", [""]), ("1-", ["1"]), ("11", ["1"]), ("12", ["12"]), ("1-21", ["12"])]
)
def test_a_batch_has_the_traces_of_its_writes(spans: str, told: list[str]) -> None:
    """Each once, in the order of coming; and nothing else of the task that happened to begin the batch."""
    own: ContextVar[str] = ContextVar("own", default="")
    seen: list[str] = []

    class Telling(Peer):
        async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
            assert own.get() == ""
            seen.append("".join(trace.span_id for trace in TRACES.get()))
            return await super().write(entries, deadline=deadline)

    async def write(link: Coalesce, span: str) -> None:
        own.set("of this task")
        TRACES.set(() if span == "-" else (Trace("a", span),))
        await begin(link, f"id-{span}")

    async def work() -> None:
        link = link_to(Telling())
        await asyncio.gather(*(write(link, span) for span in spans))

    simulated(work)
    assert seen == told
