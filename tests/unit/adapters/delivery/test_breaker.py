"""The breaker in simulated time."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from logbridge.adapters.delivery.breaker import Breaker
from logbridge.adapters.memory import MemorySink
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.policy import BreakerPolicy
from logbridge.domain.ports import Deadline
from tests.factories import make_entry

AWAY = Failed("x", "127.0.0.1:1: nothing listens there")
HUNG = Unknown("x", "no answer", Cause.TIMEOUT)


class Peer(MemorySink):
    """Gives one answer after another, the last one for ever; ``takes_s`` passes meanwhile."""

    def __init__(self, *answers: Outcome) -> None:
        super().__init__()
        self.answers = list(answers)
        self.now_s = 100.0
        self.takes_s = 0.0
        self.calls = 0

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        self.calls += 1
        self.now_s += self.takes_s
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [answer] * len(entries)


def guarded(peer: Peer) -> Breaker:
    return Breaker(peer, BreakerPolicy(), lambda: peer.now_s)


def final(failed: Failed, pause_s: float) -> Failed:
    """The failure as a caller has it who need not try again before so many seconds."""
    return replace(failed, retry_after_s=pause_s, may_go_again=False)


async def write(link: Breaker) -> Outcome:
    return (await link.write([make_entry()], deadline=Deadline(1e9)))[0]


async def test_after_five_failures_writes_fail_at_once() -> None:
    """The sixth write never reaches the peer: it fails with the last reason, and says when to come back."""
    peer = Peer(AWAY)
    link = guarded(peer)
    for _ in range(4):
        assert await write(link) == AWAY
    assert await write(link) == final(AWAY, 1.0)
    failed = await write(link)
    assert peer.calls == 5
    assert isinstance(failed, Failed)
    assert (failed.cause, failed.retry_after_s, failed.may_go_again) == (Cause.UNAVAILABLE, 1.0, False)
    assert "nothing listens there" in failed.reason


@pytest.mark.parametrize(
    ("answer", "asks_s"), [(AWAY, None), (replace(AWAY, retry_after_s=60.0), 60.0), (HUNG, None)]
)
async def test_who_makes_the_trial_does_not_wait_either(answer: Outcome, asks_s: float | None) -> None:
    """Its write is answered as those beside it are, with when to come back, and not tried any longer."""
    peer = Peer(replace(answer, may_go_again=True))
    peer.takes_s = 1.0
    link = guarded(peer)
    for _ in range(5):
        await write(link)
    peer.now_s += link.trial_in_s
    outcome = await write(link)
    assert peer.calls == 6
    assert outcome == (final(answer, asks_s or 2.0) if isinstance(answer, Failed) else answer)


async def test_a_refusal_beside_what_failed_stays_one() -> None:
    """What the peer said of an entry is kept, only what it did not answer is for later."""

    class Parts(Peer):
        async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
            return [Accepted("x"), Refused("x", "no"), Failed("x", "full", Cause.OVERLOADED), AWAY]

    link = guarded(Parts())
    for _ in range(5):
        outcomes = await link.write([make_entry()] * 4, deadline=Deadline(1e9))
    assert link.away
    assert list(outcomes) == [
        Accepted("x"),
        Refused("x", "no"),
        Failed("x", "full", Cause.OVERLOADED),
        final(AWAY, 1.0),
    ]


async def test_trials_come_at_doubling_pauses() -> None:
    """One trial after 1 s, 2 s, 4 s, 8 s, 16 s, then every 30 s; an answer ends it."""
    peer = Peer(AWAY)
    link = guarded(peer)
    for _ in range(5):
        await write(link)
    for pause_s in (1, 2, 4, 8, 16, 30, 30):
        calls = peer.calls
        peer.now_s += pause_s - 0.01
        await write(link)
        assert peer.calls == calls
        peer.now_s += 0.01
        await write(link)
        assert peer.calls == calls + 1
    peer.answers = [Accepted("x")]
    peer.now_s += 30
    assert await write(link) == Accepted("x")
    assert await write(link) == Accepted("x")
    assert not link.away


async def test_one_trial_at_a_time() -> None:
    """While a trial is under way, the others fail at once."""
    gate = asyncio.Event()

    class Slow(Peer):
        async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
            if self.calls >= 5:
                await gate.wait()
            return await super().write(entries, deadline=deadline)

    peer = Slow(AWAY)
    link = guarded(peer)
    for _ in range(5):
        await write(link)
    peer.now_s += 1
    trial = asyncio.ensure_future(write(link))
    await asyncio.sleep(0)
    assert isinstance(await write(link), Failed)
    assert peer.calls == 5
    peer.answers = [Accepted("x")]
    gate.set()
    assert await trial == Accepted("x")


@pytest.mark.parametrize(
    "answer", [Accepted("x"), Refused("x", "no"), Failed("x", "queue is full", Cause.OVERLOADED)]
)
async def test_any_answer_shows_that_the_peer_is_there(answer: Outcome) -> None:
    """Failures count only in a row; a refusal and a full queue are answers, too."""
    peer = Peer(*[AWAY] * 4, answer, *[AWAY] * 4, answer)
    link = guarded(peer)
    for _ in range(20):
        await write(link)
    assert peer.calls == 20
    assert not link.away


async def test_a_caller_in_a_hurry_says_nothing_of_the_peer() -> None:
    """A timeout counts only if the peer had a second; what was never sent does not count at all."""
    for outcome, takes_s, away in (
        (HUNG, 0.1, False),
        (HUNG, 5.0, True),
        (Failed("x", "too late", Cause.TIMEOUT), 5.0, False),
    ):
        peer = Peer(outcome)
        peer.takes_s = takes_s
        link = guarded(peer)
        for _ in range(5):
            await write(link)
        assert link.away is away


async def test_a_cancelled_trial_does_not_stay_under_way() -> None:
    """When the one who tries gives up, the next one may try."""

    class Hung(Peer):
        async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
            if self.calls >= 5:
                self.calls += 1
                await asyncio.Event().wait()
            return await super().write(entries, deadline=deadline)

    peer = Hung(AWAY)
    link = guarded(peer)
    for _ in range(5):
        await write(link)
    peer.now_s += 1
    for _ in range(2):
        trial = asyncio.ensure_future(write(link))
        await asyncio.sleep(0)
        trial.cancel()
        await asyncio.gather(trial, return_exceptions=True)
    assert peer.calls == 7


class BreakerModel(RuleBasedStateMachine):
    """The breaker against a plain model: a count, a pause, a time."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.peer = Peer(AWAY)
        self.link = guarded(self.peer)
        self.failures = 0
        self.trial_at_s = 0.0
        self.pause_s = 1.0

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.peer.now_s += seconds

    @rule(answer=st.sampled_from([AWAY, Accepted("x"), Refused("x", "no")]))
    def write(self, answer: Outcome) -> None:
        self.peer.answers = [answer]
        reaches = self.failures < 5 or self.peer.now_s >= self.trial_at_s
        calls = self.peer.calls
        outcome = self.runner.run(write(self.link))
        assert self.peer.calls == calls + reaches
        if not reaches:
            assert isinstance(outcome, Failed)
            assert outcome.retry_after_s == max(self.trial_at_s - self.peer.now_s, 0)
            return
        if answer is not AWAY:
            self.failures, self.pause_s = 0, 1.0
            assert outcome == answer
        else:
            if self.failures >= 5:
                self.pause_s = min(self.pause_s * 2, 30)
            self.failures += 1
            self.trial_at_s = self.peer.now_s + self.pause_s
            pause_s = self.trial_at_s - self.peer.now_s
            assert outcome == (AWAY if self.failures < 5 else final(AWAY, pause_s))

    @invariant()
    def agrees(self) -> None:
        assert self.link.away is (self.failures >= 5)

    def teardown(self) -> None:
        self.runner.close()


TestBreakerModel = BreakerModel.TestCase
TestBreakerModel.settings = settings(max_examples=50, stateful_step_count=40)


async def test_a_look_finds_the_peer_again_without_a_write() -> None:
    """It asks the peer once its pause is over; one that answers counts as there until it fails again."""
    peer = Peer(AWAY)
    link = guarded(peer)
    for _ in range(5):
        await write(link)
    await link.look()
    assert link.away, "its pause is not over"
    peer.now_s += link.trial_in_s
    peer.closed = True  # it says that it does not serve
    await link.look()
    assert link.away
    assert link.trial_in_s == 2.0, "each failed trial doubles the pause"
    peer.now_s += link.trial_in_s
    peer.closed = False
    await link.look()
    assert not link.away
    assert (await write(link), link.away) == (final(AWAY, link.trial_in_s), True)


async def test_a_watch_asks_when_nobody_writes() -> None:
    """While a trial is hardly due it is left to a write; one that nobody makes is a look."""
    peer = Peer(AWAY)
    link = guarded(peer)
    await link.watch()
    for _ in range(5):
        await write(link)
    for quiet_s in (0.0, 1.9):
        peer.now_s = 100.0 + BreakerPolicy().trial_first_s + quiet_s
        await link.watch()
        assert link.away
    peer.now_s += 0.1
    await link.watch()
    assert not link.away


async def test_a_write_that_fails_after_a_look_is_a_failed_trial() -> None:
    """A peer that says it is there and takes nothing is believed more and more seldom, until a write goes."""
    peer = Peer(AWAY)
    link = guarded(peer)
    for _ in range(5):
        await write(link)
    pauses_s = []
    for _ in range(3):
        peer.now_s += link.trial_in_s
        await link.look()
        await write(link)
        pauses_s.append(link.trial_in_s)
    assert pauses_s == [2.0, 4.0, 8.0]
    peer.now_s += link.trial_in_s
    await link.look()
    peer.answers = [Accepted("x"), AWAY]
    for _ in range(6):
        await write(link)
    assert link.away
    assert link.trial_in_s == 1.0


async def test_a_look_at_a_peer_that_is_there_asks_nothing() -> None:
    """There is nothing to find."""
    peer = Peer(Accepted("x"))
    link = guarded(peer)
    peer.closed = True
    await link.look()
    assert not link.away
