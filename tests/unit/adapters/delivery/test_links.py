import asyncio

from logbridge.adapters.delivery.admission import Admission, InFlight
from logbridge.adapters.delivery.timeout import Timeout
from logbridge.adapters.delivery.turns import Turns
from logbridge.adapters.memory import MemorySink, hang
from logbridge.domain.outcome import Accepted, Cause, Failed, Unknown
from logbridge.domain.policy import AdmissionPolicy
from logbridge.domain.ports import Deadline
from tests.factories import make_entry, soon


class Watched(MemorySink):
    """A real sink that also remembers the deadlines it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: list[Deadline] = []

    async def write(self, entries, *, deadline):
        self.deadlines.append(deadline)
        return await super().write(entries, deadline=deadline)


async def test_an_attempt_ends_before_the_caller_does() -> None:
    """The earlier of the two counts: the attempt's time, or the caller's own deadline."""
    sink = Watched()
    link = Timeout(sink, attempt_s=5, monotonic=lambda: 100.0)
    await link.write([make_entry()], deadline=Deadline(1000.0))
    await link.write([make_entry()], deadline=Deadline(101.0))
    assert sink.deadlines == [Deadline(105.0), Deadline(101.0)]


async def test_admission_is_bounded_by_entries_and_gives_back_its_room() -> None:
    """Beyond the limit an entry fails at once with the setting named; what ends makes room."""
    link = Admission(
        MemorySink(script=[hang]), AdmissionPolicy(entries_max=2, retry_after_s=3), in_flight := InFlight()
    )
    stuck = asyncio.create_task(link.write([make_entry()], deadline=soon(60)))
    await asyncio.sleep(0)  # the task runs up to where it hangs
    assert in_flight.entries == 1
    (failed, _) = await link.write([make_entry(), make_entry()], deadline=soon())
    assert isinstance(failed, Failed)
    assert (failed.cause, failed.retry_after_s) == (Cause.OVERLOADED, 3)
    assert "MAX_CONCURRENT_REQUESTS=2" in failed.reason
    (accepted,) = await link.write([make_entry(id="a")], deadline=soon())
    assert accepted == Accepted("a")
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    assert in_flight.entries == 0


async def test_a_batch_over_the_whole_limit_passes_alone() -> None:
    """A batch larger than the limit is not starved forever."""
    link = Admission(MemorySink(), AdmissionPolicy(entries_max=1), InFlight())
    assert len(await link.write([make_entry(), make_entry()], deadline=soon())) == 2


async def test_links_hand_on_check_and_close() -> None:
    """Health and closing reach the sink through every link."""
    timed = Timeout(MemorySink(script=[hang]), 0.01, lambda: soon(0).at_s)
    chain = Admission(Turns(timed, 1, lambda: soon(0).at_s), AdmissionPolicy(), InFlight())
    assert (await chain.check()).reachable
    (outcome,) = await chain.write([make_entry()], deadline=soon(60))
    assert isinstance(outcome, Unknown)
    assert outcome.cause is Cause.TIMEOUT
    await chain.aclose()


async def test_a_write_waits_for_its_turn_until_its_deadline() -> None:
    """Beyond the limit writes wait, in order; one whose deadline comes first was never sent, and says so."""
    sink = MemorySink(script=[hang])
    link = Turns(sink, 1, lambda: soon(0).at_s)
    stuck = asyncio.create_task(link.write([make_entry()], deadline=soon(60)))
    await asyncio.sleep(0)  # it has the turn, and hangs
    (failed,) = await link.write([make_entry(id="late")], deadline=soon(0.01))
    waiting = asyncio.create_task(link.write([make_entry(id="patient")], deadline=soon(60)))
    await asyncio.sleep(0)
    stuck.cancel()
    assert isinstance(failed, Failed)
    assert failed.cause is Cause.OVERLOADED
    assert await waiting == [Accepted("patient")]
    assert [entry.id for entry in sink.entries] == ["patient"]
    await asyncio.gather(stuck, return_exceptions=True)
