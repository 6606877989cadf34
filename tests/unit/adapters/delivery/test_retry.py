"""The retry link in simulated time."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from logbridge.adapters.delivery.retry import Retry, passes_in_time
from logbridge.adapters.memory import MemorySink
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.policy import RetryPolicy
from logbridge.domain.ports import Deadline, LogSink
from tests.factories import make_entry
from tests.simulated import now_s, run_simulated

POLICY = RetryPolicy(budget_s=10)
KINDS = {
    "accept": Accepted("x"),
    "refuse": Refused("x", "no"),
    "fail": Failed("x", "later"),
    "give up": Failed("x", "away", may_go_again=False),
    "lose": Unknown("x", "lost", may_go_again=True),
    "break": Unknown("x", "broken"),
}


class Scripted(MemorySink):
    """Answers each attempt at an entry by a script of its own; stores what it says it stores, or may store.

    honours: what it says of ids. attempts: (time, ids) of each write. after_s: what it asks to wait.
    """

    def __init__(
        self, scripts: dict[str, list[str]], honours: bool | None = True, after_s: float | None = None
    ):
        super().__init__()
        self.scripts = {log_id: iter(script) for log_id, script in scripts.items()}
        self.honours = honours
        self.after_s = after_s
        self.attempts: list[tuple[float, list[str]]] = []
        self.may_have: dict[str, int] = {}

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        self.attempts.append((now_s(), [entry.id for entry in entries]))
        return [self._answered(entry.id) for entry in entries]

    def _answered(self, log_id: str) -> Outcome:
        kind = next(self.scripts[log_id], "accept")
        if kind in ("accept", "lose", "break"):
            self.may_have[log_id] = self.may_have.get(log_id, 0) + 1
        outcome = KINDS[kind]
        if isinstance(outcome, Failed):
            return Failed(log_id, outcome.reason, outcome.cause, self.after_s, outcome.may_go_again)
        if isinstance(outcome, Unknown):
            return Unknown(log_id, outcome.reason, outcome.cause, None, outcome.may_go_again)
        return Accepted(log_id) if isinstance(outcome, Accepted) else Refused(log_id, "no")

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:
        return self.honours


async def write(
    sink: LogSink, ids: Sequence[str], wait_s: float = 60, policy: RetryPolicy = POLICY, jitter: float = 1.0
) -> Sequence[Outcome]:
    loop = asyncio.get_running_loop()
    link = Retry(sink, policy, loop.time, lambda: jitter)
    return await link.write([make_entry(id=log_id) for log_id in ids], deadline=Deadline(now_s() + wait_s))


def test_only_what_failed_goes_again() -> None:
    """Retry shrinks: accepted and refused entries are never sent twice, and the order of outcomes stays."""
    sink = Scripted({"a": ["fail", "fail"], "b": ["accept"], "c": ["refuse"], "d": ["fail"]})
    outcomes = run_simulated(write(sink, "abcd"))
    assert outcomes == [Accepted("a"), Accepted("b"), Refused("c", "no"), Accepted("d")]
    assert [ids for _, ids in sink.attempts] == [["a", "b", "c", "d"], ["a", "d"], ["a"]]


def test_pauses_double_and_end_with_the_budget() -> None:
    """0.5 s, 1 s, 2 s, 4 s at full jitter; the next would pass 10 s, so the answer comes then, not later."""
    sink = Scripted({"a": ["fail"] * 99})

    async def timed() -> tuple[Sequence[Outcome], float]:
        began_s = now_s()
        return await write(sink, "a"), now_s() - began_s

    (outcome,), took_s = run_simulated(timed())
    assert isinstance(outcome, Failed)
    began_s = sink.attempts[0][0]
    assert [at_s - began_s for at_s, _ in sink.attempts] == [0, 0.5, 1.5, 3.5, 7.5]
    assert took_s == 7.5


def test_the_callers_deadline_counts() -> None:
    """Nobody is kept waiting past an own deadline that is sooner than the budget."""
    sink = Scripted({"a": ["fail"] * 99})
    run_simulated(write(sink, "a", wait_s=2))
    assert len(sink.attempts) == 3


@given(st.floats(0, 5), st.floats(0, 1))
def test_no_attempt_begins_in_haste(wait_s: float, jitter: float) -> None:
    """The first one has the time that there is, each further one 0.1 s or more: less would answer nothing."""
    sink = Scripted({"a": ["fail"] * 99_999})

    async def begun() -> float:
        began_s = now_s()
        await write(sink, "a", wait_s, jitter=max(jitter, 0.001))
        return began_s

    ends_s = run_simulated(begun()) + wait_s
    assert sink.attempts
    assert all(ends_s - at_s >= POLICY.attempt_s_min - 1e-9 for at_s, _ in sink.attempts[1:])


def test_the_larger_of_backoff_and_retry_info_counts() -> None:
    """A peer that asks to wait 3 s is not asked again before; one that asks less waits for the backoff."""
    for after_s, pause_s in ((3.0, 3.0), (0.1, 0.5)):
        sink = Scripted({"a": ["fail"]}, after_s=after_s)
        run_simulated(write(sink, "a"))
        (first_s, _), (second_s, _) = sink.attempts
        assert second_s - first_s == pause_s


def test_what_must_not_go_again_is_answered_at_once() -> None:
    """A failure that says so (the breaker's) and a status that is not retryable make no second attempt."""
    sink = Scripted({"a": ["give up"], "b": ["break"]})
    outcomes = run_simulated(write(sink, "ab"))
    assert [type(outcome) for outcome in outcomes] == [Failed, Unknown]
    assert len(sink.attempts) == 1


def test_an_unknown_outcome_goes_again_only_where_ids_are_honoured() -> None:
    """A peer that would store it twice gets it once, and the caller is told at once, not after a pause."""
    honest = Scripted({"a": ["lose"]})
    assert run_simulated(write(honest, "a")) == [Accepted("a")]
    field = Scripted({"a": ["lose"], "b": ["fail"]}, honours=False)
    unknown, accepted = run_simulated(write(field, "ab"))
    assert isinstance(unknown, Unknown)
    assert "does not honour ids" in unknown.reason
    assert accepted == Accepted("b")
    assert field.may_have == {"a": 1, "b": 1}


def test_an_unknown_outcome_waits_for_a_peer_that_answers() -> None:
    """While nobody says whether ids are honoured nothing is risked; the end is Unknown."""
    away = Scripted({"a": ["lose"]}, honours=None)
    (outcome,) = run_simulated(write(away, "a"))
    assert isinstance(outcome, Unknown)
    assert away.may_have == {"a": 1}


def test_a_failed_attempt_does_not_undo_one_that_may_have_written() -> None:
    """Unknown, then failed or refused: the entry may still have been written, and the caller is told so."""
    for second in ("fail", "refuse", "give up"):
        sink = Scripted({"a": ["lose", *[second] * 99]})
        (outcome,) = run_simulated(write(sink, "a"))
        assert isinstance(outcome, Unknown)
        assert "an earlier attempt may have written it" in outcome.reason


def test_closing_ends_the_pauses() -> None:
    """Who waits to try again has its answer when the bridge stops, and nothing is tried after that."""

    async def closed() -> tuple[Outcome, float]:
        loop = asyncio.get_running_loop()
        sink = Scripted({"a": ["fail"] * 99})
        link = Retry(sink, RetryPolicy(backoff_first_s=30), loop.time, lambda: 0.1)
        began_s = now_s()
        writing = asyncio.ensure_future(link.write([make_entry(id="a")], deadline=Deadline(now_s() + 60)))
        await asyncio.sleep(1)
        await link.aclose()
        assert sink.closed
        assert len(sink.attempts) == 1
        return (await writing)[0], now_s() - began_s

    outcome, took_s = run_simulated(closed())
    assert isinstance(outcome, Failed)
    assert took_s == 1


_SCRIPTS = st.lists(st.sampled_from(sorted(KINDS)), max_size=5)


@settings(max_examples=300)
@given(
    scripts=st.dictionaries(
        st.sampled_from("abcdefgh"), st.lists(st.sampled_from(sorted(KINDS)), max_size=5), min_size=1
    ),
    honours=st.sampled_from([True, False, None]),
    jitter=st.floats(0.01, 1),
    wait_s=st.floats(0, 20),
)
def test_the_answers_agree_with_a_plain_model(
    scripts: dict[str, list[str]], honours: bool | None, jitter: float, wait_s: float
) -> None:
    """For any script: accepted means written, refused and failed mean not written, and nothing is written
    twice where ids are not honoured; the answer comes by the deadline."""
    sink = Scripted(scripts, honours)

    async def timed() -> tuple[Sequence[Outcome], float]:
        began_s = now_s()
        return await write(sink, list(scripts), wait_s, jitter=jitter), now_s() - began_s

    outcomes, took_s = run_simulated(timed())
    assert took_s <= min(wait_s, 10)
    assert [outcome.log_id for outcome in outcomes] == list(scripts)
    for log_id, outcome in zip(scripts, outcomes, strict=True):
        written = sink.may_have.get(log_id, 0)
        if isinstance(outcome, Accepted):
            assert written
        if isinstance(outcome, Failed | Refused):
            assert not written
        if not honours:
            assert written <= 1
        if isinstance(outcome, Failed | Unknown):
            assert outcome.cause in (Cause.UNAVAILABLE, Cause.NO_ANSWER)


def test_a_rule_of_its_own() -> None:
    """With one, what is known not to be written goes again as soon as whoever failed it says that it may."""

    async def write_patiently(sink: Scripted) -> Sequence[Outcome]:
        loop = asyncio.get_running_loop()
        link = Retry(sink, POLICY, loop.time, lambda: 1.0, may_go_again=passes_in_time)
        return await link.write([make_entry(id=each) for each in "abc"], deadline=Deadline(now_s() + 60))

    sink = Scripted({"a": ["give up"], "b": ["lose"], "c": ["break"]}, after_s=3.0)
    outcomes = run_simulated(write_patiently(sink))
    assert [type(outcome) for outcome in outcomes] == [Accepted, Unknown, Unknown]
    (first_s, _), (second_s, ids) = sink.attempts
    assert (second_s - first_s, ids) == (3.0, ["a"])


def test_what_passes_in_time() -> None:
    """A failure for good does not, nor one without a word of when, nor that the bridge stops."""
    again, away = Failed("x", "full"), Failed("x", "away", retry_after_s=1.0, may_go_again=False)
    over = Failed("x", "over", Cause.OVERLOADED, may_go_again=False)
    stopping = Failed("x", "stopping", Cause.STOPPING, 1.0)
    outcomes = [again, away, over, stopping, Unknown("x", "lost", may_go_again=True), Refused("x", "no")]
    assert [passes_in_time(outcome) for outcome in outcomes] == [True, True, False, False, False, False]
