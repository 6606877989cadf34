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
    """Acknowledges what the log services have. Each has coalescing of its own; a request waits for all parts.

    A part that failed has its own pause before it goes again.
    """

    def __init__(self, clock: Clock, loop: Loop, sink: Sink, work: Work, random: Callable[[], float]) -> None:
        self._clock, self._loop, self._sink, self._work, self._random = clock, loop, sink, work, random
        self._retry = RetryPolicy()
        self._coalescers: dict[int, Coalescer] = {}
        self._lives = 0

    def take(self, request: Request) -> float:
        """Seconds of work now."""
        parts = self._sink.parts(request.logs)
        if len(parts) == 1:
            return self._add(parts[0][0], request)
        whole = _Whole(request, len(parts))
        work_s = 0.0
        for index, logs in parts:
            size_bytes = request.size_bytes * logs // request.logs
            within_s = request.deadline_s - request.at_s
            # The request is one, whatever its parts: the work of its answer is the first one's.
            requests = request.requests if index == parts[0][0] else 0
            part = Request(request.at_s, requests, logs, size_bytes, within_s, whole.answered)
            work_s += self._add(index, part)
        return work_s

    def _add(self, index: int, part: Request) -> float:
        # One that is full as it came passes by coalescing; an aggregate of small ones does not.
        if part.logs >= _BATCH_MAX * max(1, part.requests):
            return self._send(index, [part], None, max(1, part.requests))
        if index not in self._coalescers:
            begin = partial(self._begin, index)
            self._coalescers[index] = Coalescer(self._clock, self._loop, CoalescePolicy(), begin)
        return self._coalescers[index].add(part)

    def _begin(self, index: int, batch: Batch) -> float:
        return self._send(index, batch, self._coalescers[index], 1)

    def _send(self, index: int, batch: Batch, coalescer: Coalescer | None, calls: int) -> float:
        answered = partial(self._answered, self._lives, index, batch, coalescer)
        self._loop.leave(self._sink.write, [(index, logs_of(batch))], answered)
        return self._work.rpc_s / 2 * calls + self._work.log_s / 2 * logs_of(batch)

    def _answered(
        self, life: int, index: int, batch: Batch, coalescer: Coalescer | None, stored: bool, again: bool
    ) -> None:
        if life == self._lives:  # not one of a process that is gone
            self._loop.soon(partial(self._hand_out, index, batch, coalescer, stored, again))

    def _hand_out(
        self, index: int, batch: Batch, coalescer: Coalescer | None, stored: bool, again: bool
    ) -> float:
        work_s = self._work.rpc_s / 2
        if coalescer is not None:
            work_s += coalescer.answered()
        for part in batch:
            if stored or not again:
                self._loop.leave(part.answer, stored and self._clock.now_s < part.deadline_s)
            else:
                self._try_again(index, part)
            work_s += self._work.request_s / 2 * part.requests
        return work_s

    def _try_again(self, index: int, part: Request) -> None:
        part.failures += 1
        pause_s = self._retry.pause_s(part.failures, self._random())
        within_s = min(part.deadline_s, part.at_s + self._retry.budget_s)
        if self._clock.now_s + pause_s + self._retry.attempt_s_min >= within_s:
            self._loop.leave(part.answer, False)
        else:
            self._clock.after(pause_s, self._again, self._lives, index, part)

    def _again(self, life: int, index: int, part: Request) -> None:
        if life == self._lives:
            self._loop.soon(partial(self._add, index, part))

    def kill(self) -> None:
        """All that waits is gone; the requests are answered by whoever ends the process."""
        self._lives += 1
        for coalescer in self._coalescers.values():
            coalescer.kill()
        self._coalescers = {}


class _Whole:
    """A request in parts: answered when all of them are, accepted if all are."""

    __slots__ = ("_accepted", "_left", "_request")

    def __init__(self, request: Request, parts: int) -> None:
        self._request, self._left, self._accepted = request, parts, True

    def answered(self, _part: Request, accepted: bool) -> None:
        """One part is."""
        self._left -= 1
        self._accepted = self._accepted and accepted
        if not self._left:
            self._request.answer(self._accepted)


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
