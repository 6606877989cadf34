"""What is counted, and that several processes together count like one."""

import copy
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.domain.measures import (
    ENTRIES,
    FAILURES_MAX,
    OUTCOMES,
    SECONDS,
    Counts,
    Distribution,
    Measures,
    quantile,
)
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown

NAMED: dict[str, Outcome] = {
    "accepted": Accepted("a"),
    "spooled": Accepted("a", spooled=True),
    "refused": Refused("a", "why", Cause.INVALID),
    "failed": Failed("a", "why"),
    "unknown": Unknown("a", "why"),
}
values = st.floats(0, 100)
Happening = Callable[[Measures], object]
happenings = st.one_of(
    st.builds(
        lambda route, status, took_s: lambda measures: measures.request("POST", route, status, took_s),
        st.sampled_from(["/write", "/batch"]), st.sampled_from([200, 503]), values,
    ),
    st.builds(
        lambda outcome, name: lambda measures: measures.outcome(outcome, name),
        st.sampled_from(list(NAMED.values())), st.sampled_from(["", "shop"]),
    ),
    st.builds(
        lambda outcomes, took_s: lambda measures: measures.call(outcomes, took_s),
        st.lists(st.sampled_from(list(NAMED.values())), min_size=1), values,
    ),
    st.builds(lambda why: lambda measures: measures.refusal(why), st.sampled_from(["no key", "rate"])),
    st.builds(lambda count: lambda measures: measures.retry(count), st.integers(1, 5)),
    st.builds(lambda count: lambda measures: measures.resent(count), st.integers(1, 5)),
    st.builds(
        lambda count: lambda measures: measures.counts.batches.observe(count), st.integers(1, 6000)
    ),
)  # fmt: skip


def counted(happened: list[Happening]) -> Counts:
    measures = Measures()
    for happening in happened:
        happening(measures)
    return measures.counts


def rounded(counts: Counts) -> Counts:
    """Sums of seconds depend on their order, a little."""
    counts = copy.deepcopy(counts)
    for distribution in (*counts.requests.values(), *counts.calls.values()):
        distribution.total = round(distribution.total, 6)
    return counts


@given(st.lists(st.lists(happenings)))
def test_several_together_count_like_one(workers: list[list[Happening]]) -> None:
    """The counts of several processes added up are those of one that saw everything; theirs stay."""
    parts = [counted(happened) for happened in workers]
    before = copy.deepcopy(parts)
    together = Counts()
    for part in parts:
        together.add(part)
    assert rounded(together) == rounded(counted([each for happened in workers for each in happened]))
    assert parts == before


@given(st.lists(values))
def test_each_value_is_counted_once(observed: list[float]) -> None:
    """A value lies in the first bucket whose bound it does not exceed, and in one only."""
    distribution = Distribution.of(SECONDS)
    for value in observed:
        distribution.observe(value)
    assert distribution.count == len(observed)
    assert distribution.total == pytest.approx(sum(observed))
    for index, bound in enumerate(SECONDS):
        assert sum(distribution.counts[: index + 1]) == sum(value <= bound for value in observed)


@given(st.lists(values, min_size=1), st.floats(0.01, 1))
def test_a_quantile_lies_in_its_bucket(observed: list[float], share: float) -> None:
    """The estimate is between the bounds of the bucket that holds the true value, or the last bound."""
    distribution = Distribution.of(SECONDS)
    for value in observed:
        distribution.observe(value)
    wanted = share * len(observed)
    true = next(value for rank, value in enumerate(sorted(observed), 1) if rank >= wanted)
    above = next((bound for bound in SECONDS if true <= bound), SECONDS[-1])
    below = max((bound for bound in (0.0, *SECONDS) if bound < above), default=0.0)
    lowest = below if true <= SECONDS[-1] else SECONDS[-1]
    assert lowest <= quantile(SECONDS, distribution.counts, share) <= above


@given(st.lists(st.integers(0, 100), min_size=len(SECONDS) + 1, max_size=len(SECONDS) + 1))
def test_quantiles_are_in_order(counts: list[int]) -> None:
    """The larger the share, the larger the value."""
    found = [quantile(SECONDS, counts, share) for share in (0.0, 0.5, 0.9, 0.99, 1.0)]
    assert found == sorted(found)


def test_nothing_has_no_quantile() -> None:
    """Without values it is 0."""
    assert quantile(SECONDS, Distribution.of(SECONDS).counts, 0.99) == 0.0


@pytest.mark.parametrize("name", OUTCOMES)
def test_an_outcome_counts_under_its_name(name: str) -> None:
    """Each of the five kinds has its own number, and those that were not acknowledged a cause as well."""
    measures = Measures()
    measures.outcome(NAMED[name], "shop")
    assert {key: number for key, number in measures.counts.entries.items() if number} == {name: 1}
    assert sum(measures.counts.causes.values()) == (name not in ("accepted", "spooled"))
    assert len(measures.failures) == sum(measures.counts.causes.values())


def test_the_same_failure_is_one_with_a_number() -> None:
    """Alike in outcome, cause, reason and service: one line that counts, told as of the last time."""
    times = iter([1.0, 2.0, 3.0])
    measures = Measures(lambda: next(times))
    for service in ("shop", "pay", "shop"):
        measures.outcome(Failed("a", "why"), service)
    shown = [(each.service_name, each.count, each.last_s) for each in measures.failures]
    assert shown == [("shop", 2, 3.0), ("pay", 1, 2.0)]


@given(st.lists(st.text(), min_size=1))
def test_failures_are_bounded(reasons: list[str]) -> None:
    """However many reasons there are and however long: the last kinds stay, shortened."""
    measures = Measures()
    for number, reason in enumerate(reasons * 3):
        measures.outcome(Refused("a", f"{number} {reason * 200}"), "s" * 1000)
    assert len(measures.failures) == min(FAILURES_MAX, 3 * len(reasons))
    assert measures.failures[0].reason.startswith(f"{3 * len(reasons) - 1} ")
    assert max(len(each.reason) + len(each.service_name) for each in measures.failures) <= 600
    assert sum(measures.counts.causes.values()) == 3 * len(reasons)


def test_a_call_is_told_by_its_last_outcome() -> None:
    """The last outcome names the attempt; its size is that of all of them."""
    measures = Measures()
    measures.call([Accepted("a"), Unknown("b", "why")], 0.2)
    assert measures.counts.calls["unknown"].total == 0.2
    assert measures.counts.call_entries.total == 2
    assert measures.counts.call_entries.bounds == ENTRIES


def test_who_follows_is_counted_while_it_does() -> None:
    """Also when it ends with an error."""
    measures = Measures()
    with measures.tail(), measures.tail():
        assert measures.tails == 2
    with pytest.raises(ZeroDivisionError), measures.tail():
        raise ZeroDivisionError
    assert measures.tails == 0
