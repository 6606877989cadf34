"""Seconds of the past: what came in each, of one process or of several."""

from hypothesis import given
from hypothesis import strategies as st

from logbridge.domain.measures import OUTCOMES, SECONDS, Counts, Measures
from logbridge.domain.outcome import Accepted, Failed
from logbridge.entrypoints.pulse import (
    HISTORY_S,
    LATE_BEATS,
    Pulse,
    Second,
    by_outcome,
    merged,
    told_until_s,
    window,
)


def second(at_s: int, accepted: int = 0, requests: int = 0) -> Second:
    rest = [0] * (len(OUTCOMES) - 1)
    return Second(at_s, [accepted, *rest], requests, 0, [requests] + [0] * len(SECONDS))


histories = st.lists(
    st.builds(second, st.integers(0, 20), st.integers(0, 9), st.integers(0, 9)),
    unique_by=lambda each: each.at_s,
).map(lambda seconds: sorted(seconds, key=lambda each: each.at_s))


def test_a_beat_is_what_came_since_the_last() -> None:
    """Each second has its own logs, requests, bytes and latencies; those of writes only."""
    measures = Measures()
    pulse = Pulse(measures.counts, writes=["/write"])
    measures.outcome(Accepted("a"), "")
    measures.request("POST", "/write", 200, 0.0001)
    measures.request("GET", "/query", 200, 5.0)
    pulse.beat(11)
    measures.outcome(Failed("a", "why"), "")
    measures.counts.bytes += 7
    pulse.beat(12)
    pulse.beat(13)
    first, then, last = pulse.history
    assert [first.at_s, then.at_s, last.at_s] == [10, 11, 12]
    assert (by_outcome(first)["accepted"], first.requests, sum(first.latencies), first.latencies[0]) == (
        1,
        2,
        1,
        1,
    )
    assert (by_outcome(then)["failed"], then.bytes, then.requests) == (1, 7, 0)
    assert not any((*last.entries, last.requests, last.bytes, *last.latencies))


def test_only_the_last_seconds_are_kept() -> None:
    """The history has an end."""
    pulse = Pulse(Counts(), writes=[])
    for end_s in range(HISTORY_S + 10):
        pulse.beat(end_s)
    assert len(pulse.history) == HISTORY_S
    assert pulse.history[-1].at_s == HISTORY_S + 8


@given(st.lists(histories), st.integers(0, 22), st.integers(1, 10))
def test_workers_together_are_like_one(workers: list[list[Second]], until_s: int, length_s: int) -> None:
    """A window over the merged seconds has what each worker had in those seconds, and nothing else."""
    together = merged(workers)
    assert [each.at_s for each in together] == sorted({each.at_s for seconds in workers for each in seconds})
    inside = [each for seconds in workers for each in seconds if until_s - length_s <= each.at_s < until_s]
    found = window(together, until_s, length_s)
    assert found.requests == sum(each.requests for each in inside)
    assert found.entries[0] == sum(each.entries[0] for each in inside)
    assert found.latencies[0] == sum(each.latencies[0] for each in inside)


def test_merging_changes_nobodys_seconds() -> None:
    """What a process still counts with is not added to."""
    mine, theirs = [second(1, 1)], [second(1, 2)]
    assert merged([mine, theirs])[0].entries[0] == 3
    assert (mine[0].entries[0], theirs[0].entries[0]) == (1, 2)


@given(st.lists(st.sets(st.integers(0, 20), min_size=1)), st.floats(0, 30))
def test_a_second_counts_when_all_have_told_of_it(workers: list[set[int]], now_s: float) -> None:
    """Never later than now; who has said nothing of a few is not waited for; without anybody it is now."""
    told = set().union(*workers)
    ends = [max(seconds) + 1 for seconds in workers]
    until_s = told_until_s(ends, told, now_s)
    known = [end_s for end_s in ends if end_s <= now_s]
    late = [end_s for end_s in known if len([at_s for at_s in told if end_s <= at_s < now_s]) >= LATE_BEATS]
    # A clock that was set back may leave nobody but who is late, and who has told of more than there was.
    assert until_s in ([int(now_s)] if late == known else known)
    assert all(end_s in late for end_s in known if end_s < until_s)


def test_a_worker_that_hangs_is_not_waited_for() -> None:
    """One that told nothing for a while holds nobody up, and one that is a second behind does."""
    assert told_until_s([10, 7], range(10), 10.2) == 10
    assert told_until_s([10, 8], range(10), 10.2) == 8


def test_after_a_machine_that_stood_still_no_second_is_passed_over() -> None:
    """Where all are late, nothing counts as told that one of them may still tell of."""
    assert told_until_s([10, 9], range(10), 17.5) == 9
    assert told_until_s([17, 10], [*range(10), 16], 17.5) == 10
    assert told_until_s([], [], 17.5) == 17
