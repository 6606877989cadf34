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
    """Each log has its log service, by its id; where that is not reached, or counts as away, the next one.

    away_s: seconds of a call outside of both ends. first: of its log services, where it begins to count.
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

    def parts(self, logs: int) -> list[tuple[int, int]]:
        """Which log service gets how many of so many logs; ids are spread evenly."""
        count = min(logs, len(self._services))
        first, self._turn = self._turn, self._turn + count
        return [
            ((first + part) % len(self._services), logs * (part + 1) // count - logs * part // count)
            for part in range(count)
        ]

    def write(self, parts: Sequence[tuple[int, int]], answered: Answered) -> None:
        """Send a batch, a part to each of its log services; it is stored when all parts are."""
        left, stored, again = len(parts), True, True

        def one(well: bool, may_go_again: bool) -> None:
            nonlocal left, stored, again
            left, stored, again = left - 1, stored and well, again and may_go_again
            if not left:
                answered(stored, again)

        for index, logs in parts:
            self._call(index, logs, len(self._services), one)

    def _call(self, first: int, logs: int, tries: int, answered: Answered) -> None:
        index = self._next(first) if tries else None
        if index is None:
            # All were tried: another attempt may find somebody. All count as away: at once, and for good.
            self._clock.after(0.0, answered, False, not tries)
            return
        self.calls += 1

        def done(stored: bool) -> None:
            self._judge(self._seen[index], stored)
            self._clock.after(self._away_s / 2, answered, stored, True)

        def reach() -> None:
            if self._services[index].up:
                self._services[index].put(logs, done)
            else:
                # A call that did not get there moves on by itself; the log is nowhere yet.
                self._judge(self._seen[index], False)
                self._call(index + 1, logs, tries - 1, answered)

        self._clock.after(self._away_s / 2, reach)

    def trial_in_s(self) -> float:
        """Seconds until one of them may be called, as the breaker tells those it turns away."""
        dues = [seen.trial_at_s if seen.failures >= self._policy.failures_max else 0.0 for seen in self._seen]
        return max(0.0, min(dues) - self._clock.now_s)

    def _next(self, first: int) -> int | None:
        for offset in range(len(self._services)):
            index = (first + offset) % len(self._services)
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
