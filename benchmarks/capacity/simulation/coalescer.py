"""Coalescing as `adapters/delivery/coalesce.py` does it, on a core that works in turns."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.capacity.simulation.clock import Clock, Loop
from benchmarks.capacity.simulation.tally import Request
from logbridge.domain.policy import CoalescePolicy

Batch = list[Request]


class Coalescer:
    """A batch goes at once while none is under way, else with an answer, when full, or when it has lingered.

    begin: makes the call of a batch and returns the seconds of work that it is.
    """

    def __init__(
        self, clock: Clock, loop: Loop, policy: CoalescePolicy, begin: Callable[[Batch], float]
    ) -> None:
        self._clock = clock
        self._loop = loop
        self._policy = policy
        self._begin = begin
        self._waiting: deque[Request] = deque()
        self._waiting_logs = 0
        self._under_way = 0
        self._going = False
        self._lingering = False

    def add(self, request: Request) -> float:
        """The seconds of work that it makes now."""
        self._waiting.append(request)
        self._waiting_logs += request.logs
        if not self._under_way:
            self._go_soon()
        elif self._waiting_logs >= self._policy.batch_entries_max:
            return self._go()
        else:
            self._linger()
        return 0.0

    def answered(self) -> float:
        """A call is answered: what waits goes first. The seconds of work."""
        self._under_way -= 1
        return self._go() if self._waiting else 0.0

    def kill(self) -> None:
        """What waits is gone; a timer that is still to come finds nothing."""
        self._waiting.clear()
        self._waiting_logs = 0

    def _go_soon(self) -> None:
        if not self._going:
            self._going = True
            self._loop.soon(self._gone)

    def _gone(self) -> float:
        self._going = False
        return self._go()

    def _linger(self) -> None:
        if not self._lingering and self._under_way < self._policy.batches_max:
            self._lingering = True
            lingered = partial(self._lingered, self._clock.now_s)
            self._clock.after(self._policy.linger_s, self._loop.soon, lingered)

    def _lingered(self, since_s: float) -> float:
        self._lingering = False
        if self._clock.now_s - since_s > 2 * self._policy.linger_s:
            self._linger()
            return 0.0
        return self._go()

    def _go(self) -> float:
        work_s = 0.0
        while self._waiting and self._under_way < self._policy.batches_max:
            batch = self._take()
            if batch:
                self._under_way += 1
                work_s += self._begin(batch)
            if self._waiting_logs < self._policy.batch_entries_max:
                break
        if self._waiting:
            self._linger()
        return work_s

    def _take(self) -> Batch:
        """The oldest that make one batch; whose deadline has passed is answered, and left out."""
        batch: Batch = []
        logs = size_bytes = 0
        while self._waiting:
            request = self._waiting[0]
            if self._clock.now_s >= request.deadline_s:
                request.answer(False)
            elif request.open:
                logs += request.logs
                size_bytes += request.size_bytes
                if batch and (
                    logs > self._policy.batch_entries_max or size_bytes > self._policy.batch_bytes_max
                ):
                    break
                batch.append(request)
            self._waiting_logs -= self._waiting.popleft().logs
        return batch


def logs_of(batch: Sequence[Request]) -> int:
    """How many logs a batch has."""
    return sum(request.logs for request in batch)
