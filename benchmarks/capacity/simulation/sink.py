"""The way of one process to the log services: one after the other, past those that count as away."""

from collections.abc import Callable, Sequence

from benchmarks.capacity.simulation.clock import Clock
from benchmarks.capacity.simulation.station import Station
from logbridge.domain.policy import BreakerPolicy

# Called with whether the logs are stored, and whether another attempt may help.
Answered = Callable[[bool, bool], object]


class _Seen:
    """What a process knows of one log service."""

    __slots__ = ("failures", "trial_at_s", "trials")

    def __init__(self) -> None:
        self.failures = self.trials = 0
        self.trial_at_s = 0.0


class Sink:
    """Calls go to the log services in turn. One that failed often in a row is left out but for trials.

    away_s: seconds of a call outside of both ends.
    """

    def __init__(
        self, clock: Clock, services: Sequence[Station], policy: BreakerPolicy, away_s: float, first: int = 0
    ) -> None:
        self._clock = clock
        self._services = services
        self._policy = policy
        self._away_s = away_s
        self._turn = first
        self._seen = [_Seen() for _ in services]
        self.calls = 0

    def write(self, logs: int, answered: Answered) -> None:
        """Send a batch; without any log service that may be there it fails at once, for good."""
        index = self._next()
        if index is None:
            self._clock.after(0.0, answered, False, False)
            return
        self.calls += 1

        def done(stored: bool) -> None:
            self._judge(self._seen[index], stored)
            self._clock.after(self._away_s / 2, answered, stored, True)

        self._clock.after(self._away_s / 2, self._services[index].put, logs, done)

    def trial_in_s(self) -> float:
        """Seconds until one of them may be called, as the breaker tells those it turns away."""
        dues = [seen.trial_at_s if seen.failures >= self._policy.failures_max else 0.0 for seen in self._seen]
        return max(0.0, min(dues) - self._clock.now_s)

    def _next(self) -> int | None:
        for _ in self._services:
            index = self._turn = (self._turn + 1) % len(self._services)
            seen = self._seen[index]
            if seen.failures < self._policy.failures_max:
                return index
            if seen.trial_at_s <= self._clock.now_s:
                # Nobody else tries until this trial has had its time.
                seen.trial_at_s = self._clock.now_s + self._policy.trial_pause_s(seen.trials)
                return index
        return None

    def _judge(self, seen: _Seen, stored: bool) -> None:
        if stored:
            seen.failures = seen.trials = 0
            return
        seen.trials += seen.failures >= self._policy.failures_max
        seen.failures += 1
        seen.trial_at_s = self._clock.now_s + self._policy.trial_pause_s(seen.trials)
