"""What came of all that arrived, and how long it took."""

import math
from collections import Counter
from collections.abc import Callable

from benchmarks.capacity.simulation.clock import Clock

# Latencies are kept in buckets, each so much wider than the one before: quantiles are within one per cent.
_WIDER = math.log(1.01)
_LEAST_S = 1e-6


class Request:
    """Requests that come together and are alike: one, or an aggregate of ``requests`` of them.

    logs, size_bytes: of all of them. at_s, deadline_s: when they came, and when nobody waits any more.
    answered: called once with the request and whether its logs were accepted.
    """

    __slots__ = ("answered", "at_s", "deadline_s", "failures", "logs", "open", "requests", "size_bytes")

    def __init__(
        self,
        at_s: float,
        requests: int,
        logs: int,
        size_bytes: int,
        deadline_s: float,
        answered: "Callable[[Request, bool], object]",
    ) -> None:
        self.at_s = at_s
        self.requests = requests
        self.logs = logs
        self.size_bytes = size_bytes
        self.deadline_s = at_s + deadline_s
        self.answered = answered
        self.failures = 0
        self.open = True

    def answer(self, accepted: bool) -> None:
        """Answer it, the first time only."""
        if self.open:
            self.open = False
            self.answered(self, accepted)


class Tally:
    """Counts of logs. accepted + refused + in_flight = arrived, at any moment.

    ``begin`` starts what is a rate or a time: the warm-up is not in it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.arrived = self.accepted = self.refused = self.in_flight = 0
        self._from_s = 0.0
        self._before = (0, 0, 0)
        self._latencies: Counter[int] = Counter()
        self._area = self._seen_s = 0.0
        self._latency_sum_s = 0.0

    def begin(self) -> None:
        """From now on throughput, shares and latencies count."""
        self._passed()
        self._from_s, self._before = self._clock.now_s, (self.arrived, self.accepted, self.refused)
        self._latencies.clear()
        self._area = self._latency_sum_s = 0.0

    def came(self, logs: int) -> None:
        """So many logs arrive."""
        self._passed()
        self.arrived += logs
        self.in_flight += logs

    def ended(self, request: Request, accepted: bool) -> None:
        """A request is answered."""
        self._passed()
        self.in_flight -= request.logs
        if not accepted:
            self.refused += request.logs
            return
        self.accepted += request.logs
        latency_s = self._clock.now_s - request.at_s
        self._latency_sum_s += latency_s * request.logs
        self._latencies[int(math.log(max(latency_s, _LEAST_S) / _LEAST_S) / _WIDER)] += request.logs

    def _passed(self) -> None:
        self._area += self.in_flight * (self._clock.now_s - self._seen_s)
        self._seen_s = self._clock.now_s

    @property
    def logs_per_s(self) -> float:
        """Accepted a second since ``begin``."""
        seconds = self._clock.now_s - self._from_s
        return (self.accepted - self._before[1]) / seconds if seconds else 0.0

    @property
    def refused_share(self) -> float:
        """Part of what was answered since ``begin`` that was refused."""
        accepted, refused = self.accepted - self._before[1], self.refused - self._before[2]
        return refused / (accepted + refused) if accepted + refused else 0.0

    @property
    def mean_in_flight(self) -> float:
        """Logs, over time since ``begin``."""
        self._passed()
        return self._area / (self._clock.now_s - self._from_s)

    @property
    def mean_latency_s(self) -> float:
        """Seconds, of accepted logs since ``begin``."""
        accepted = self.accepted - self._before[1]
        return self._latency_sum_s / accepted if accepted else 0.0

    def quantile_s(self, part: float) -> float:
        """Seconds that such a part of the accepted logs took at most, within one per cent."""
        left = part * self._latencies.total()
        for bucket in sorted(self._latencies):
            left -= self._latencies[bucket]
            if left <= 0:
                return _LEAST_S * math.exp((bucket + 0.5) * _WIDER)
        return 0.0
