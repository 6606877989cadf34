"""A worker of a bridge: admission, then coalescing to the log services, or a spool.

Writes at once (`AdmissionPolicy.writes_at_once_max`, 500) are not in it: 10,000 entries in flight are at most
10 batches of 1,000 and 16 that were coalesced, so that bound is never met.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

from benchmarks.capacity.simulation.clock import Clock, Loop
from benchmarks.capacity.simulation.coalescer import Batch, Coalescer, logs_of
from benchmarks.capacity.simulation.sink import Sink
from benchmarks.capacity.simulation.spools import Drain, Spool
from benchmarks.capacity.simulation.tally import Request
from benchmarks.capacity.simulation.work import Work
from logbridge.domain.policy import AdmissionPolicy, CoalescePolicy, RetryPolicy

_BATCH_MAX = CoalescePolicy().batch_entries_max


class Delivered:
    """Acknowledges what the log service has. Each request has its own pause before it goes again."""

    def __init__(self, clock: Clock, loop: Loop, sink: Sink, work: Work, random: Callable[[], float]) -> None:
        self._clock, self._loop, self._sink, self._work, self._random = clock, loop, sink, work, random
        self._retry = RetryPolicy()
        self._coalescer = Coalescer(clock, loop, CoalescePolicy(), self._begin)

    def take(self, request: Request) -> float:
        """Seconds of work now. A batch that is full as it came passes by coalescing."""
        if request.logs >= _BATCH_MAX * request.requests:
            return self._send([request], None, request.requests)
        return self._coalescer.add(request)

    def _begin(self, batch: Batch) -> float:
        return self._send(batch, self._coalescer, 1)

    def _send(self, batch: Batch, coalescer: Coalescer | None, calls: int) -> float:
        self._loop.leave(self._sink.write, logs_of(batch), partial(self._answered, batch, coalescer))
        return self._work.rpc_s / 2 * calls + self._work.log_s / 2 * logs_of(batch)

    def _answered(self, batch: Batch, coalescer: Coalescer | None, stored: bool, again: bool) -> None:
        if coalescer in (None, self._coalescer):  # not one of a process that is gone
            self._loop.soon(partial(self._hand_out, batch, coalescer, stored, again))

    def _hand_out(self, batch: Batch, coalescer: Coalescer | None, stored: bool, again: bool) -> float:
        work_s = self._work.rpc_s / 2
        if coalescer is not None:
            work_s += coalescer.answered()
        for request in batch:
            if stored or not again:
                self._loop.leave(request.answer, stored and self._clock.now_s < request.deadline_s)
            else:
                self._try_again(request)
            work_s += self._work.request_s / 2 * request.requests
        return work_s

    def _try_again(self, request: Request) -> None:
        request.failures += 1
        pause_s = self._retry.pause_s(request.failures, self._random())
        within_s = min(request.deadline_s, request.at_s + self._retry.budget_s)
        if self._clock.now_s + pause_s >= within_s:
            self._loop.leave(request.answer, False)
        else:
            self._clock.after(pause_s, self._loop.soon, partial(self.take, request))

    def kill(self) -> None:
        """All that waits is gone; the requests are answered by whoever ends the process."""
        self._coalescer = Coalescer(self._clock, self._loop, CoalescePolicy(), self._begin)


class Spooled:
    """Acknowledges what a spool keeps. log_s: seconds of work for a log beside the bridge's own.

    in_flight_max: logs that it is asked to keep at once; 0 for no bound. drain: what empties it here, if any.
    """

    def __init__(
        self,
        clock: Clock,
        loop: Loop,
        spool: Spool,
        work: Work,
        *,
        log_s: float,
        request_s: float = 0.0,
        in_flight_max: int = 0,
        drain: Drain | None = None,
    ) -> None:
        self._clock, self._loop, self._spool, self._work = clock, loop, spool, work
        self._log_s, self._request_s, self._in_flight_max = log_s, request_s, in_flight_max
        self._drain = drain
        self._waiting: deque[Request] = deque()
        self._in_flight = 0
        self._lives = 0

    def take(self, request: Request) -> float:
        """Seconds of work now."""
        self._waiting.append(request)
        return self._go()

    def _go(self) -> float:
        work_s = 0.0
        while self._waiting and self._room(self._waiting[0].logs):
            request = self._waiting.popleft()
            self._in_flight += request.logs
            self._loop.leave(self._spool.append, request.logs, partial(self._kept, request, self._lives))
            work_s += self._log_s / 2 * request.logs + self._request_s / 2 * request.requests
        return work_s

    def _room(self, logs: int) -> bool:
        alone = not self._in_flight or not self._in_flight_max
        return alone or self._in_flight + logs <= self._in_flight_max

    def _kept(self, request: Request, life: int, well: bool) -> None:
        if life == self._lives:
            self._loop.soon(partial(self._acknowledge, request, well))

    def _acknowledge(self, request: Request, well: bool) -> float:
        self._in_flight -= request.logs
        self._loop.leave(request.answer, well and self._clock.now_s < request.deadline_s)
        own_s = (self._work.request_s + self._request_s) / 2 * request.requests
        return own_s + self._log_s / 2 * request.logs + self._go()

    def kill(self) -> None:
        """What was not kept yet is gone."""
        self._lives += 1
        self._waiting.clear()
        self._in_flight = 0
        if self._drain is not None:
            self._drain.kill()

    def start(self) -> None:
        """Deliver again."""
        if self._drain is not None:
            self._drain.start()


class Worker:
    """One process of a bridge: it takes requests, within its limits, as long as it is up."""

    def __init__(
        self, clock: Clock, loop: Loop, way: Delivered | Spooled, work: Work, policy: AdmissionPolicy
    ) -> None:
        self.loop = loop
        self.up = True
        self._clock, self._way, self._work, self._policy = clock, way, work, policy
        # Each open request, and whether it was admitted.
        self._open: dict[Request, bool] = {}
        self._logs = self._bytes = 0

    def receive(self, request: Request) -> None:
        """A request is here. A process that is gone answers nothing: the caller sees that at once."""
        if not self.up:
            request.answer(False)
            return
        self._open[request] = False
        request.answered = partial(self._answered, request.answered)
        self.loop.soon(partial(self._handle, request))

    def _handle(self, request: Request) -> float:
        arriving_s = self._work.request_s / 2 * request.requests + self._work.log_s / 2 * request.logs
        if self._too_much(request):
            self.loop.leave(request.answer, False)
            return arriving_s + self._work.request_s / 2 * request.requests
        self._logs += request.logs
        self._bytes += request.size_bytes
        self._open[request] = True
        return arriving_s + self._way.take(request)

    def _too_much(self, request: Request) -> bool:
        if not self._logs:
            return False
        over = self._logs + request.logs > self._policy.entries_max
        return over or self._bytes + request.size_bytes > self._policy.bytes_max

    def _answered(self, tell: Callable[[Request, bool], object], request: Request, accepted: bool) -> None:
        if self._open.pop(request):
            self._logs -= request.logs
            self._bytes -= request.size_bytes
        tell(request, accepted)

    def kill(self) -> None:
        """kill -9: whoever has no answer gets none."""
        self.up = False
        self.loop.kill()
        self._way.kill()
        for request in list(self._open):
            request.answer(False)

    def come_back(self) -> None:
        """It is there again, with nothing in hand."""
        self.up = True
        if isinstance(self._way, Spooled):
            self._way.start()
