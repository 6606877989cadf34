"""Observe measures attempts, and changes nothing."""

import pytest

from logbridge.adapters.delivery.observe import Observe
from logbridge.adapters.memory import MemorySink, refuse
from logbridge.domain.measures import Measures
from logbridge.domain.outcome import Accepted, Refused
from tests.factories import make_entry, soon
from tests.unit.entrypoints.http.serving import BrokenSink


async def test_an_attempt_is_measured() -> None:
    """How long it took, how many entries went, and what became of the last; the outcomes pass as they are."""
    times = iter([10.0, 10.25])
    measures, sink = Measures(), MemorySink()
    outcomes = await Observe(sink, measures, lambda: next(times)).write(
        [make_entry(), make_entry()], deadline=soon()
    )
    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted]
    assert measures.counts.calls["accepted"].total == 0.25
    assert measures.counts.call_entries.total == 2


async def test_each_outcome_has_its_own_times() -> None:
    """A refusal counts apart from what was accepted."""
    measures, sink = Measures(), MemorySink([refuse("why")])
    observe = Observe(sink, measures, lambda: 1.0)
    outcomes = [(await observe.write([make_entry()], deadline=soon()))[0] for _ in range(2)]
    assert [type(outcome) for outcome in outcomes] == [Refused, Accepted]
    assert {name: each.count for name, each in measures.counts.calls.items()} == {"refused": 1, "accepted": 1}


async def test_nothing_is_no_attempt() -> None:
    """An empty write counts for nothing, and a fault of ours is none of the log service."""
    measures = Measures()
    assert await Observe(MemorySink(), measures, lambda: 1.0).write([], deadline=soon()) == []
    with pytest.raises(ZeroDivisionError):
        await Observe(BrokenSink(), measures, lambda: 1.0).write([make_entry()], deadline=soon())
    assert measures.counts.calls == {}
