"""Writes to several log services."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.policy import BreakerPolicy
from logbridge.domain.ports import Deadline
from tests.factories import make_entry
from tests.unit.adapters.services.fakes import Service, three, together

FOREVER = Deadline(1e9)


def owner(services: Sequence[Service], entry: LogEntry) -> Service:
    """The one that has it."""
    (found,) = (service for service in services if entry in service.entries)
    return found


async def test_writes_are_spread_evenly() -> None:
    """By their ids, of whatever kind, each log service has about a third."""
    for name in ("{:032x}", "order-{}", "0192{:08d}-aaaa"):
        services, _, sink = three()
        entries = [make_entry(id=name.format(number)) for number in range(3000)]
        await sink.write(entries, deadline=FOREVER)
        assert all(850 < len(service.entries) < 1150 for service in services), name


async def test_an_id_comes_to_the_same_one_whoever_sends_it() -> None:
    """Another bridge, which knows the log services in another order, stores nothing twice."""
    services, clock, sink = three()
    other = together(services[::-1], clock)
    entries = [make_entry() for _ in range(50)]
    assert await sink.write(entries, deadline=FOREVER) == [Accepted(entry.id) for entry in entries]
    for entry in entries:
        assert await other.write([entry], deadline=FOREVER) == [Accepted(entry.id)]
    assert sum(len(service.entries) for service in services) == 50


async def test_what_was_not_written_goes_to_another_at_once() -> None:
    """While one is not reached, every write is accepted by the others in the same call."""
    services, _, sink = three()
    services[1].up = False
    for _ in range(60):
        (outcome,) = await sink.write([make_entry()], deadline=FOREVER)
        assert isinstance(outcome, Accepted)
    assert (sink.services, sink.services_away, sink.away) == (3, 1, False)
    # After as many failures as a breaker allows it was left alone.
    assert services[1].writes == 5
    assert all(len(service.entries) > 15 for service in (services[0], services[2]))


async def test_only_what_is_of_the_one_that_is_away_moves() -> None:
    """The others keep their own, and get it again when it is back."""
    services, clock, sink = three()
    entries = [make_entry() for _ in range(60)]
    await sink.write(entries, deadline=FOREVER)
    before = {entry.id: owner(services, entry) for entry in entries}
    rest = together([services[0], services[2]], clock)
    await rest.write([entry for entry in entries if before[entry.id] is not services[1]], deadline=FOREVER)
    assert sum(len(service.entries) for service in services) == 60


async def test_with_all_away_a_write_fails_and_says_when() -> None:
    """Each was tried once in one write, and then nobody waits."""
    services, _, sink = three()
    for service in services:
        service.up = False
    for _ in range(6):
        (outcome,) = await sink.write([make_entry()], deadline=FOREVER)
    assert sink.away
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.may_go_again) == (Cause.UNAVAILABLE, False)
    assert outcome.retry_after_s


async def test_one_that_was_away_is_found_again() -> None:
    """It is asked how it is, beside the writes of others, and has writes again once it is there."""
    services, clock, sink = three()
    services[2].up = False
    for _ in range(60):
        await sink.write([make_entry()], deadline=FOREVER)
    assert sink.services_away == 1
    clock.now_s += 60
    await sink.write([make_entry()], deadline=FOREVER)
    assert sink.services_away == 1
    services[2].up = True
    clock.now_s += 60
    for _ in range(30):
        await sink.write([make_entry()], deadline=FOREVER)
    assert sink.services_away == 0
    assert services[2].entries


async def test_an_unknown_outcome_goes_back_to_the_same_one() -> None:
    """Sent again, by whoever, it goes where it may be stored already, and is stored once in all."""
    services, _, sink = three()
    services[0].loses = services[1].loses = services[2].loses = True
    # Fewer than make one of them count as away, however their ids fall.
    entries = [make_entry() for _ in range(BreakerPolicy().failures_max - 1)]
    for entry in entries:
        (outcome,) = await sink.write([entry], deadline=FOREVER)
        assert isinstance(outcome, Unknown)
    for service in services:
        service.loses = False
    outcomes = await sink.write(entries, deadline=FOREVER)
    assert outcomes == [Accepted(entry.id) for entry in entries]
    assert Counter(entry.id for service in services for entry in service.entries) == Counter(
        entry.id for entry in entries
    )


async def test_an_unknown_outcome_waits_for_the_one_that_is_away() -> None:
    """The rest of the batch is written; this one stays unknown, and is not sent to another."""
    services, _, sink = three()
    services[0].loses = True
    while not services[0].entries:
        await sink.write([make_entry()], deadline=FOREVER)
    (lost,) = services[0].entries
    services[0].up = False
    fresh = [make_entry() for _ in range(3)]
    outcomes = await sink.write([fresh[0], lost, *fresh[1:]], deadline=FOREVER)
    assert [type(outcome) for outcome in outcomes] == [Accepted, Unknown, Accepted, Accepted]
    waits = outcomes[1]
    assert isinstance(waits, Unknown)
    assert (waits.sent, waits.cause, waits.may_go_again) == (False, Cause.NO_ANSWER, True)
    assert "a:1" in waits.reason
    assert not any(entry.id == lost.id for service in services[1:] for entry in service.entries)


async def test_a_cancelled_write_may_have_been_written() -> None:
    """Sent again it goes to the same one."""
    services, _, sink = three()
    gate = asyncio.Event()
    real = services[0].write

    async def held(entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        outcomes = await real(entries, deadline=deadline)
        await gate.wait()
        return outcomes

    services[0].write = held  # type: ignore[method-assign]  # it stores, and then hangs
    entries = [make_entry() for _ in range(20)]
    writing = asyncio.ensure_future(sink.write(entries, deadline=FOREVER))
    for _ in range(10):
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    assert writing.cancelled()
    gate.set()
    services[0].up = False
    outcomes = await sink.write(entries, deadline=FOREVER)
    assert {type(outcome) for outcome in outcomes} == {Accepted, Unknown}
    assert sum(len(service.entries) for service in services) == 20


@given(st.lists(st.sampled_from(["up", "down", "loses", "refuses"]), min_size=3, max_size=3), st.data())
def test_there_is_one_outcome_for_each_entry_in_order(states: list[str], data: st.DataObject) -> None:
    """Whatever the services do, and wherever entries may be, no answer is exchanged, and none is lost."""

    async def run() -> None:
        services, _, sink = three()
        entries = [make_entry(id=f"id-{number}") for number in range(12)]
        for service, state in zip(services, states, strict=True):
            set_state(service, state)
        for _ in range(data.draw(st.integers(1, 4))):
            part = data.draw(st.lists(st.sampled_from(entries), unique_by=lambda entry: entry.id))
            outcomes = await sink.write(part, deadline=FOREVER)
            assert [outcome.log_id for outcome in outcomes] == [entry.id for entry in part]
        stored = Counter(entry.id for service in services for entry in service.entries)
        assert all(count == 1 for count in stored.values())

    asyncio.run(run())


def set_state(service: Service, state: str) -> None:
    """How it behaves from now on."""
    service.up = state != "down"
    service.loses = state == "loses"
    if state == "refuses":
        service.write = refuse  # type: ignore[method-assign]  # as a service that takes nothing


async def refuse(entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
    """Refuse all of them."""
    return [Refused(entry.id, "no") for entry in entries]


@pytest.mark.parametrize(
    ("said", "together"),
    [
        ((True, True, True), True),
        ((True, False, True), False),
        ((True, None, True), None),
        ((None, None, None), None),
    ],
)
async def test_ids_are_honoured_where_all_do(said: Sequence[bool | None], together: bool | None) -> None:
    """One that does not is no; one that does not answer leaves it open."""
    services, _, sink = three()
    for service, honours in zip(services, said, strict=True):
        service.honours = honours
    assert await sink.honours_ids(deadline=FOREVER) is together


async def test_one_that_is_away_is_not_asked_about_ids() -> None:
    """Unknown entries at the others may go again meanwhile."""
    services, _, sink = three()
    services[1].up = False
    for _ in range(60):
        await sink.write([make_entry()], deadline=FOREVER)
    assert await sink.honours_ids(deadline=FOREVER) is True


async def test_health_names_all_and_one_is_enough() -> None:
    """The line says how many there are, and what is wrong with whom."""
    services, _, sink = three()
    services[0].up = False
    health = await sink.check()
    assert health.reachable
    assert health.detail == "2 of 3 log services: a:1: nothing listens there; b:1: serving; c:1: serving"
    services[1].up = services[2].up = False
    assert not (await sink.check()).reachable


async def test_closing_closes_all() -> None:
    """Each log service's sink is closed with it."""
    services, _, sink = three()
    await sink.aclose()
    assert all(service.closed for service in services)
