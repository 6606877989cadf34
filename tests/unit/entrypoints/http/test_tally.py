"""What became of the lines of a stream: the counts are right, and what is kept is bounded."""

from hypothesis import given
from hypothesis import strategies as st

from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.entrypoints.http.tally import ERRORS_MAX, Tally

OUTCOMES: list[Outcome] = [
    Accepted("a"),
    Accepted("a", spooled=True),
    Refused("b", "no", Cause.INVALID),
    Failed("c", "away"),
    Unknown("d", "late", Cause.TIMEOUT),
]


@given(st.lists(st.lists(st.sampled_from(OUTCOMES), max_size=60), max_size=8))
def test_the_counts_and_the_first_failures(batches: list[list[Outcome]]) -> None:
    """Every line is counted once; the first failures are told, in order, and whether there are more."""
    tally, number = Tally(), 0
    for batch in batches:
        tally.add(enumerate(batch, number + 1), number + len(batch))
        number += len(batch)
    every = [outcome for batch in batches for outcome in batch]
    failed = [(place, each) for place, each in enumerate(every, 1) if not isinstance(each, Accepted)]
    result = tally.result("why")
    assert (result.total_count, result.lines_read, result.stopped) == (len(every), number, "why")
    assert result.success_count == len(every) - len(failed)
    assert result.error_count == len(failed)
    assert [(error.line, error.log_id) for error in result.errors] == [
        (place, each.log_id) for place, each in failed[:ERRORS_MAX]
    ]
    assert result.errors_truncated == (len(failed) > ERRORS_MAX)
    assert tally.spooled == any(isinstance(each, Accepted) and each.spooled for each in every)
    assert {type(each) for each in tally.failures} == {type(each) for _, each in failed}


def test_long_texts_are_not_kept() -> None:
    """A reason is cut off; an id is whole or left out, because a part of it would name another log."""
    tally = Tally()
    tally.add([(1, Refused("i" * 5000, "r" * 5000)), (2, Refused("i" * 1000, "r"))], 2)
    first, second = tally.result().errors
    assert (first.log_id, len(first.error_message)) == ("", 1000)
    assert second.log_id == "i" * 1000
