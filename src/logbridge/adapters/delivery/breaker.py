"""Breaker: a log service that failed several times in a row counts as away, and nobody waits for it."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from logbridge.adapters.delivery.link import Link
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.policy import BreakerPolicy
from logbridge.domain.ports import Deadline, LogSink

_PEER_FAILED = frozenset((Cause.UNAVAILABLE, Cause.TIMEOUT, Cause.NO_ANSWER))


class Breaker(Link):
    """A link that fails writes at once while the peer is away, but one trial at a time, which finds it back.

    away: bool, whether the peer counts as away. Any answer, a refusal too, shows that it is there.
    """

    def __init__(self, next_sink: LogSink, policy: BreakerPolicy, monotonic: Callable[[], float]) -> None:
        super().__init__(next_sink)
        self._policy = policy
        self._monotonic = monotonic
        self._failures = 0
        self._failed_trials = 0
        self._trial_at_s = 0.0
        self._trial_under_way = False
        self._on_its_word = False  # it was found back by a look, and no write has shown it yet
        self._last_reason = ""

    @property
    def away(self) -> bool:
        return self._failures >= self._policy.failures_max

    # One peer: as several log services count them.
    services = 1

    @property
    def services_away(self) -> int:
        return int(self.away)

    @property
    def trial_in_s(self) -> float:
        """Seconds until an away peer may be tried, 0 for now, and while it is not away."""
        return max(self._trial_at_s - self._monotonic(), 0.0) if self.away else 0.0

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        if not entries:
            return []
        if not self.away:
            return await self._attempt(entries, deadline)
        if self._trial_under_way or self.trial_in_s:
            return self._failed(entries)
        self._trial_under_way = True
        try:
            return await self._attempt(entries, deadline)
        finally:
            self._trial_under_way = False

    async def _attempt(self, entries: Sequence[LogEntry], deadline: Deadline) -> Sequence[Outcome]:
        was_away, began_s = self.away, self._monotonic()
        outcomes = await self._next.write(entries, deadline=deadline)
        self._judge(outcomes[-1], self._monotonic() - began_s, trial=was_away)
        return [self._final(outcome) for outcome in outcomes] if self.away else outcomes

    def _final(self, outcome: Outcome) -> Outcome:
        """Nobody waits for a peer that is away, nor who made the trial: what failed is answered now."""
        if not isinstance(outcome, Failed | Unknown) or outcome.cause not in _PEER_FAILED:
            return outcome
        if isinstance(outcome, Unknown):
            return replace(outcome, may_go_again=False)
        pause_s = max(self.trial_in_s, outcome.retry_after_s or 0.0)
        return replace(outcome, retry_after_s=pause_s, may_go_again=False)

    def _judge(self, last: Outcome, took_s: float, *, trial: bool) -> None:
        """The last outcome is the newest thing known of the peer."""
        if isinstance(last, Accepted | Refused) or last.cause not in _PEER_FAILED:
            self._failures = self._failed_trials = 0
            self._on_its_word = False
            return
        if last.cause is Cause.TIMEOUT and (isinstance(last, Failed) or took_s < self._policy.fair_attempt_s):
            return  # it was not sent at all, or its caller gave the peer no time
        if self.away and not trial:
            return  # begun before the peer was known to be away
        self._failures += 1
        self._postpone(last.reason, failed_trials=int(trial or self._on_its_word))

    async def look(self) -> None:
        """A trial without an entry, if one is due: ask the peer. If it answers it is there until it fails."""
        if not self.away or self._trial_under_way or self.trial_in_s:
            return
        self._trial_under_way = True
        try:
            health = await self._next.check()
        finally:
            self._trial_under_way = False
        if health.reachable:
            self._failures = self._policy.failures_max - 1
            self._on_its_word = True
        else:
            self._postpone(health.detail, failed_trials=1)

    async def watch(self) -> None:
        """To be called once a second: a look, if nobody writes. Else the writes are the better trials."""
        if self.away and self._monotonic() - self._trial_at_s >= self._policy.quiet_s:
            await self.look()

    def _postpone(self, reason: str, *, failed_trials: int) -> None:
        self._on_its_word = False
        self._failed_trials += failed_trials
        self._trial_at_s = self._monotonic() + self._policy.trial_pause_s(self._failed_trials)
        self._last_reason = reason

    def _failed(self, entries: Sequence[LogEntry]) -> list[Outcome]:
        pause_s = self.trial_in_s
        reason = f"the log service counts as away; the last attempt: {self._last_reason}"
        return [Failed(entry.id, reason, Cause.UNAVAILABLE, pause_s, may_go_again=False) for entry in entries]
