"""What comes in: requests of an open world, Poisson or in bursts, or clients that each wait for their answer.

Beyond ``GROUPS_PER_S`` arrivals a second the requests that reach one worker within a slot come as one
aggregate: a million single writes a second are simulated, but not one by one. Times below a slot are blurred.
"""

import math
from collections.abc import Sequence
from enum import Enum
from functools import partial
from random import Random
from typing import Protocol

from msgspec import Struct

from benchmarks.capacity.simulation.clock import Clock
from benchmarks.capacity.simulation.station import Station
from benchmarks.capacity.simulation.tally import Request, Tally
from benchmarks.capacity.simulation.worker import Worker
from logbridge.domain.policy import DeadlinePolicy

GROUPS_PER_S = 40_000
# In bursts: a quarter of the time 2.5 times the mean rate, the rest half of it; both last by chance.
BURST_SHARE, BURST_FACTOR, BURST_S = 0.25, 2.5, 0.2
QUIET_FACTOR = (1 - BURST_SHARE * BURST_FACTOR) / (1 - BURST_SHARE)
_KNUTH_MAX = 30.0


class Arrivals(Enum):
    """How requests come."""

    POISSON = "poisson"
    BURSTY = "bursty"


class Shape(Struct, frozen=True):
    """One request: logs in it, and bytes of each."""

    logs: int = 1
    entry_bytes: int = 300


class Receiver(Protocol):
    """Who takes requests."""

    def receive(self, request: Request) -> None: ...


class Balancer:
    """Gives requests to the workers in turn. One that is gone is left out once a health check has seen it."""

    def __init__(self, clock: Clock, workers: Sequence[Worker], health_check_s: float) -> None:
        self._clock = clock
        self._health_check_s = health_check_s
        self.workers = list(workers)
        self._turn = 0

    def receive(self, request: Request) -> None:
        """To the next worker that is believed to be there."""
        if not self.workers:
            request.answer(False)
            return
        self._turn = (self._turn + 1) % len(self.workers)
        self.workers[self._turn].receive(request)

    def changed(self, worker: Worker) -> None:
        """A worker went or came: it is seen at the next check."""
        self._clock.after(self._health_check_s, self._checked, worker)

    def _checked(self, worker: Worker) -> None:
        if worker.up and worker not in self.workers:
            self.workers.append(worker)
        elif not worker.up and worker in self.workers:
            self.workers.remove(worker)


class OpenWorld:
    """Requests at a rate that does not care about answers. rate: requests a second."""

    def __init__(
        self,
        clock: Clock,
        tally: Tally,
        to: Receiver,
        rate: float,
        shape: Shape,
        kind: Arrivals,
        random: Random,
        deadline_s: float = DeadlinePolicy().request_s,
    ) -> None:
        self._clock, self._tally, self._to, self._shape, self._random = clock, tally, to, shape, random
        self._rate, self._kind, self._deadline_s = rate, kind, deadline_s
        self._factor = 1.0
        # One arrival by itself, or the mean of one slot.
        self._mean = rate / GROUPS_PER_S if rate > GROUPS_PER_S else 0.0

    def start(self) -> None:
        """From now on."""
        if self._kind is Arrivals.BURSTY:
            self._change(burst=False)
        self._clock.after(self._gap_s(), self._slot if self._mean else self._one)

    def _change(self, *, burst: bool) -> None:
        self._factor = BURST_FACTOR if burst else QUIET_FACTOR
        mean_s = BURST_S if burst else BURST_S * (1 - BURST_SHARE) / BURST_SHARE
        self._clock.after(exponential(self._random, mean_s), partial(self._change, burst=not burst))

    def _gap_s(self) -> float:
        if self._mean:
            return 1 / GROUPS_PER_S
        return exponential(self._random, 1 / (self._rate * self._factor))

    def _one(self) -> None:
        self._arrive(1)
        self._clock.after(self._gap_s(), self._one)

    def _slot(self) -> None:
        requests = poisson(self._random, self._mean * self._factor)
        if requests:
            self._arrive(requests)
        self._clock.after(self._gap_s(), self._slot)

    def _arrive(self, requests: int) -> None:
        logs = requests * self._shape.logs
        size_bytes = logs * self._shape.entry_bytes
        self._tally.came(logs)
        self._to.receive(
            Request(self._clock.now_s, requests, logs, size_bytes, self._deadline_s, self._tally.ended)
        )


class ClosedWorld:
    """Clients, each with one request in flight, in one process: ``client_s`` seconds for each request."""

    def __init__(
        self,
        clock: Clock,
        tally: Tally,
        workers: Sequence[Receiver],
        clients: int,
        shape: Shape,
        client_s: float,
    ) -> None:
        self._tally, self._workers, self._clients, self._shape = tally, workers, clients, shape
        self._clock = clock
        self._process = Station(clock, lambda _: client_s)

    def start(self) -> None:
        """All of them send."""
        for client in range(self._clients):
            self._process.put(1, partial(self._send, client))

    def _send(self, client: int, _well: bool) -> None:
        logs = self._shape.logs
        self._tally.came(logs)
        answered = partial(self._answered, client)
        size_bytes = logs * self._shape.entry_bytes
        request = Request(self._clock.now_s, 1, logs, size_bytes, math.inf, answered)
        self._workers[client % len(self._workers)].receive(request)

    def _answered(self, client: int, request: Request, accepted: bool) -> None:
        self._tally.ended(request, accepted)
        self._process.put(1, partial(self._send, client))


def exponential(random: Random, mean: float) -> float:
    """Seconds until something that has no memory."""
    return -math.log(1.0 - random.random()) * mean


def poisson(random: Random, mean: float) -> int:
    """How many of what has no memory come where so many are expected."""
    if mean > _KNUTH_MAX:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count
