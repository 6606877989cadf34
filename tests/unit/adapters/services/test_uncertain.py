"""Which log service may have an entry already."""

import pytest

from logbridge.adapters.services.uncertain import Uncertain, still_unknown
from logbridge.domain.outcome import Cause
from tests.factories import make_entry


def test_it_remembers_where_an_entry_may_be() -> None:
    """By service and id, until it is settled."""
    uncertain = Uncertain(10)
    entry = make_entry(id="one", service_name="shop")
    uncertain.note(entry, "a:1", Cause.TIMEOUT)
    place = uncertain.where(make_entry(id="one", service_name="shop"))
    assert place is not None
    assert (place.address, place.cause) == ("a:1", Cause.TIMEOUT)
    assert uncertain.where(make_entry(id="one", service_name="other")) is None
    uncertain.settle([entry])
    assert not uncertain


def test_beyond_its_limit_the_oldest_is_forgotten_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """It is counted, and the first one is in the log. What was noted again counts as new."""
    uncertain = Uncertain(2)
    one, two, three = (make_entry(id=name) for name in ("one", "two", "three"))
    for entry in (one, two, one, three):
        uncertain.note(entry, "a:1", Cause.NO_ANSWER)
    assert (len(uncertain), uncertain.forgotten) == (2, 1)
    uncertain.note(two, "a:1", Cause.NO_ANSWER)
    assert uncertain.forgotten == 2
    assert [record.message for record in caplog.records] == [
        "the outcome of more than 2 logs is unknown: of the oldest it is forgotten which log service "
        "may have them, and sent again they may be stored twice"
    ]
    assert uncertain.where(two) is not None
    assert uncertain.where(one) is None


def test_an_entry_that_waits_for_its_log_service_stays_unknown() -> None:
    """The answer keeps the cause, says where it may be, and that this attempt did not send it."""
    uncertain = Uncertain(2)
    entry = make_entry()
    uncertain.note(entry, "a:1", Cause.TIMEOUT)
    place = uncertain.where(entry)
    assert place is not None
    unknown = still_unknown(entry, place, 3.0)
    assert (unknown.cause, unknown.retry_after_s, unknown.sent) == (Cause.TIMEOUT, 3.0, False)
    assert unknown.may_go_again
    assert "a:1" in unknown.reason
