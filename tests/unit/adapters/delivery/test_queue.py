"""Admission and turns together, as the queue in front of the log service, in simulated time."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from logbridge.adapters.delivery.admission import Admission, InFlight
from logbridge.adapters.delivery.turns import Turns
from logbridge.adapters.memory import MemorySink
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Unknown
from logbridge.domain.policy import AdmissionPolicy
from logbridge.domain.ports import Deadline
from tests.factories import make_entry
from tests.simulated import now_s, run_simulated

ENTRIES_MAX = 6
TURNS = 2


class Slow(MemorySink):
    """Takes so many seconds for each write; sees how many are under way at once, and in which order."""

    def __init__(self, takes_s: float) -> None:
        super().__init__()
        self.takes_s = takes_s
        self.under_way = 0
        self.most_under_way = 0
        self.came: list[str] = []

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        self.came.append(entries[0].id)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.takes_s)
            return await super().write(entries, deadline=deadline)
        finally:
            self.under_way -= 1


_WRITES = st.lists(
    st.tuples(st.integers(1, 4), st.floats(0, 2), st.floats(0.1, 10), st.booleans()), min_size=1, max_size=20
)


class Callers:
    """Callers of one queue; began holds the first ids of the writes that were admitted, in order."""

    def __init__(self, sink: Slow) -> None:
        self.in_flight = InFlight()
        self.most_in_flight = 0
        self.began: list[str] = []
        turns = Turns(sink, TURNS, asyncio.get_running_loop().time)
        self.link = Admission(turns, AdmissionPolicy(entries_max=ENTRIES_MAX), self.in_flight)

    async def call(self, number: int, count: int, wait_s: float, leaves: bool) -> None:
        """Write so many entries; a caller that leaves gives up after half of its time."""
        entries = [make_entry(id=f"{number}.{n}") for n in range(count)]
        began_s = now_s()
        writing = asyncio.ensure_future(self.write(entries, began_s + wait_s))
        if leaves:
            await asyncio.sleep(wait_s / 2)
            writing.cancel()
            await asyncio.wait([writing])
            return
        outcomes = await writing
        assert [outcome.log_id for outcome in outcomes] == [entry.id for entry in entries]
        if not all(isinstance(outcome, Accepted) for outcome in outcomes):
            assert {type(outcome) for outcome in outcomes} == {Failed}
            assert now_s() <= (began_s + wait_s + 0.001 if entries[0].id in self.began else began_s)

    async def write(self, entries: Sequence[LogEntry], deadline_s: float) -> Sequence[Outcome]:
        # Looked at in the very step in which the link decides.
        admitted = not self.in_flight.entries or self.in_flight.entries + len(entries) <= ENTRIES_MAX
        self.began += [entries[0].id] * admitted
        self.most_in_flight = max(self.most_in_flight, self.in_flight.entries + len(entries) * admitted)
        outcomes = await self.link.write(entries, deadline=Deadline(deadline_s))
        assert admitted or all(isinstance(outcome, Failed) for outcome in outcomes)
        return outcomes


@settings(max_examples=200)
@given(writes=_WRITES, takes_s=st.floats(0, 3))
def test_the_queue_agrees_with_a_plain_model(
    writes: list[tuple[int, float, float, bool]], takes_s: float
) -> None:
    """For any arrivals, sizes, deadlines and callers that give up: never more under way or in flight than may
    be, first come first served, an answer by the deadline for every entry, and all room given back."""
    sink = Slow(takes_s)

    async def work() -> Callers:
        callers = Callers(sink)
        tasks = []
        for number, (count, pause_s, wait_s, leaves) in enumerate(writes):
            tasks.append(asyncio.ensure_future(callers.call(number, count, wait_s, leaves)))
            await asyncio.sleep(pause_s)
        await asyncio.gather(*tasks)
        return callers

    callers = run_simulated(work())
    assert sink.most_under_way <= TURNS
    assert callers.most_in_flight <= ENTRIES_MAX
    assert (callers.in_flight.entries, callers.in_flight.bytes) == (0, 0)
    assert sink.came == [log_id for log_id in callers.began if log_id in sink.came]


def test_bytes_are_bounded_too() -> None:
    """Beyond the bytes an entry fails at once, and the setting is named; alone a large one passes."""
    large = make_entry(message="x" * 1000)

    async def work() -> tuple[Outcome, Outcome]:
        link = Admission(Slow(1), AdmissionPolicy(bytes_max=1500), InFlight())
        first = asyncio.ensure_future(link.write([large], deadline=Deadline(now_s() + 5)))
        await asyncio.sleep(0)
        (refused,) = await link.write([make_entry(message="y" * 1000)], deadline=Deadline(now_s() + 5))
        return (await first)[0], refused

    accepted, refused = run_simulated(work())
    assert isinstance(accepted, Accepted)
    assert isinstance(refused, Failed)
    assert (refused.cause, "LOGBRIDGE_IN_FLIGHT_BYTES_MAX=1500" in refused.reason) == (Cause.OVERLOADED, True)


def test_a_stop_admits_nothing_and_cuts_what_hangs() -> None:
    """While it closes, new writes are told that the bridge stops; what is cut may have been written."""

    async def work() -> tuple[Outcome, Outcome, Outcome]:
        turns = Turns(Slow(1e6), 1, now_s)
        link = Admission(turns, AdmissionPolicy(), InFlight())
        hanging = asyncio.ensure_future(link.write([make_entry(id="h")], deadline=Deadline(1e9)))
        await asyncio.sleep(1)
        await link.aclose()
        (late,) = await link.write([make_entry()], deadline=Deadline(1e9))
        turns.cut()
        (later,) = await turns.write([make_entry()], deadline=Deadline(1e9))
        return (await hanging)[0], late, later

    cut, late, later = run_simulated(work())
    assert isinstance(cut, Unknown)
    assert (cut.log_id, cut.cause) == ("h", Cause.STOPPING)
    for failed in (late, later):
        assert isinstance(failed, Failed)
        assert failed.cause is Cause.STOPPING
