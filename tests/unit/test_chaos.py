"""The ledger of the chaos run: a proof is worth what it would catch."""

from random import Random

import pytest
from msgspec.structs import replace

from tests.chaos.faults import FAULTS, choose, schedule
from tests.chaos.ledger import Ledger, StoredLog, settle
from tests.chaos.oracle import ID_KEY, Oracle
from tests.chaos.scene import Leg

COUNT = 20


@pytest.fixture
def oracle() -> Oracle:
    """An oracle that issued some logs, all of them acknowledged."""
    made = Oracle("test")
    rng = Random(7)
    for _ in range(COUNT):
        made.acknowledge(made.issue(rng).log_id)
    return made


def stored_of(oracle: Oracle) -> list[StoredLog]:
    """A store that holds exactly what was sent."""
    return [
        StoredLog(log_id, replace(content, timestamp=content.timestamp or "2026-01-01T00:00:00Z"))
        for log_id, content in oracle.sent.items()
    ]


def ledger_of(
    oracle: Oracle,
    stored: list[StoredLog],
    *,
    honours_ids: bool = True,
    reported_lost: tuple[str, ...] = (),
    possible_duplicates: int = 0,
) -> Ledger:
    return settle(
        oracle.sent,
        oracle.obligations,
        stored,
        honours_ids=honours_ids,
        reported_lost=reported_lost,
        possible_duplicates=possible_duplicates,
    )


def test_everything_as_sent_is_clean(oracle: Oracle) -> None:
    """A store with each log once, as it was sent, has no problem."""
    ledger = ledger_of(oracle, stored_of(oracle))
    assert (ledger.acknowledged, ledger.stored, ledger.problems) == (COUNT, COUNT, ())


def test_a_lost_log_is_caught(oracle: Oracle) -> None:
    """An acknowledged log that is not there is a problem that names it."""
    ledger = ledger_of(oracle, stored_of(oracle)[1:])
    assert ledger.lost == 1
    assert "test-000000" in ledger.problems[0]


def test_a_log_that_was_not_acknowledged_may_be_missing(oracle: Oracle) -> None:
    """No acknowledgement, no obligation; but if it is stored, that is fine too."""
    oracle.issue(Random(8))
    assert ledger_of(oracle, stored_of(oracle)[:-1]).problems == ()
    assert ledger_of(oracle, stored_of(oracle)).problems == ()


def test_a_destroyed_log_must_be_reported(oracle: Oracle) -> None:
    """A missing log is excused by a report of just this log, and has its own column."""
    ledger = ledger_of(oracle, stored_of(oracle)[2:], reported_lost=("test-000000",))
    assert (ledger.destroyed, ledger.lost) == (1, 1)
    both = ledger_of(oracle, stored_of(oracle)[2:], reported_lost=("test-000000", "test-000001"))
    assert (both.destroyed, both.problems) == (2, ())


def test_a_report_of_a_log_that_is_there_is_no_loss(oracle: Oracle) -> None:
    """A log that was reported as destroyed and delivered all the same counts as stored."""
    ledger = ledger_of(oracle, stored_of(oracle), reported_lost=("test-000000",))
    assert (ledger.destroyed, ledger.problems) == (0, ())


def test_a_report_of_a_log_that_nobody_sent_is_caught(oracle: Oracle) -> None:
    """The bridge may not report losses that cannot be."""
    assert ledger_of(oracle, stored_of(oracle), reported_lost=("who?",)).problems


def test_a_doubled_log_is_caught(oracle: Oracle) -> None:
    """Where ids are honoured a second copy is a problem, whatever anybody knew of it."""
    stored = stored_of(oracle)
    ledger = ledger_of(oracle, [*stored, stored[3]], possible_duplicates=9)
    assert ledger.doubled == 1
    assert "test-000003" in ledger.problems[0]


def test_copies_at_a_peer_that_ignores_ids_must_be_counted(oracle: Oracle) -> None:
    """There as many copies are allowed as the bridge and the clients counted, and no more."""
    stored = [StoredLog(f"own-{n}", log.content) for n, log in enumerate(2 * with_ids(oracle))]
    assert ledger_of(oracle, stored, honours_ids=False, possible_duplicates=COUNT).problems == ()
    short = ledger_of(oracle, stored, honours_ids=False, possible_duplicates=COUNT - 1)
    assert short.doubled == COUNT
    assert short.problems


def with_ids(oracle: Oracle) -> list[StoredLog]:
    """The stored logs with the oracle's id in their metadata, as all that it issues have them."""
    return [
        StoredLog(log.id, replace(log.content, metadata={**log.content.metadata, ID_KEY: log.id}))
        for log in stored_of(oracle)
    ]


@pytest.mark.parametrize("field", ["message", "service_name", "level", "trace_id", "span_id"])
def test_a_changed_field_is_caught(oracle: Oracle, field: str) -> None:
    """One character more in any field is a problem that names the log."""
    first, *rest = stored_of(oracle)
    changed = replace(first, content=replace(first.content, **{field: getattr(first.content, field) + "x"}))
    ledger = ledger_of(oracle, [changed, *rest])
    assert ledger.unequal == 1
    assert "test-000000" in ledger.problems[0]


def test_changed_metadata_is_caught(oracle: Oracle) -> None:
    """A pair more or a pair less is a problem."""
    first, *rest = stored_of(oracle)
    more = replace(first, content=replace(first.content, metadata={**first.content.metadata, "more": ""}))
    assert ledger_of(oracle, [more, *rest]).unequal == 1


def test_a_changed_time_is_caught_where_the_client_gave_one(oracle: Oracle) -> None:
    """A given time is content; a time of arrival must only be there."""
    stored = stored_of(oracle)
    given = next(n for n, log in enumerate(stored) if oracle.sent[log.id].timestamp)
    assigned = next(n for n, log in enumerate(stored) if not oracle.sent[log.id].timestamp)
    for place, time, unequal in ((given, "2001-01-01T00:00:00Z", 1), (assigned, "2001-01-01T00:00:00Z", 0)):
        log = stored[place]
        changed = [*stored[:place], replace(log, content=replace(log.content, timestamp=time))]
        assert ledger_of(oracle, changed + stored[place + 1 :]).unequal == unequal


def test_a_log_that_nobody_sent_is_caught(oracle: Oracle) -> None:
    """What is stored must have been sent."""
    stored = stored_of(oracle)
    content = replace(stored[0].content, metadata={ID_KEY: "stranger"})
    ledger = ledger_of(oracle, [*stored, StoredLog("stranger", content)])
    assert ledger.never_sent == 1
    assert "stranger" in ledger.problems[0]


def test_an_id_that_was_not_kept_is_caught(oracle: Oracle) -> None:
    """Where ids are honoured a log stands under its own."""
    first, *rest = with_ids(oracle)
    assert ledger_of(oracle, [replace(first, id="other"), *rest]).unequal == 1


def test_every_issued_id_is_new(oracle: Oracle) -> None:
    """The oracle never issues an id twice, and puts each into the metadata."""
    rng = Random(9)
    issued = [oracle.issue(rng) for _ in range(50)]
    assert len({each.log_id for each in issued} | oracle.obligations) == COUNT + 50
    assert all(each.body["metadata"][ID_KEY] == each.log_id for each in issued)


def test_a_schedule_has_each_fault_before_one_comes_again() -> None:
    """The first pass is complete and depends on the seed; then it goes on."""
    faults, left_out = choose(Leg("durable", "ours"), frozenset(("disk", "clock")))
    assert left_out == []
    drawn = schedule(faults, 1, 0.5, Random(1))
    first = [next(drawn) for _ in faults]
    assert {fault.name for fault in first} == {fault.name for fault in FAULTS}
    again = schedule(faults, 1, 0.5, Random(1))
    assert [next(again).name for _ in faults] == [fault.name for fault in first]
    assert next(drawn) in faults


def test_faults_that_a_machine_cannot_make_are_named() -> None:
    """Without tmpfs and libfaketime those faults are left out, by name."""
    chosen, left_out = choose(Leg("delivered", "ours"), frozenset())
    assert set(left_out) == {
        "store's disk full",
        "spool's disk full",
        "clock stepped forward",
        "clock stepped back",
    }
    assert not {fault.name for fault in chosen} & set(left_out)
