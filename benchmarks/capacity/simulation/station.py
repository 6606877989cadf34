"""A station: one server with a queue. A log service, the thread that commits, the leader of a stream."""

from collections import deque
from collections.abc import Callable

from benchmarks.capacity.simulation.clock import Clock

Done = Callable[[bool], object]


class Station:
    """Serves in the order of arrival, one at a time, or as many together as share a transaction.

    service_s: seconds for so many logs. share_logs_max: logs that share one turn; a larger job goes alone,
    and with 0 every job does. waiting_logs_max: beyond it a job fails at once; 0 for no bound.
    """

    def __init__(
        self,
        clock: Clock,
        service_s: Callable[[int], float],
        share_logs_max: int = 0,
        waiting_logs_max: int = 0,
    ) -> None:
        self._clock = clock
        self._service_s = service_s
        self._share_logs_max = share_logs_max
        self._waiting_logs_max = waiting_logs_max
        self._waiting: deque[tuple[int, Done]] = deque()
        self._serving: list[tuple[int, Done]] = []
        self._lives = 0
        self._held = False
        self.up = True
        self.waiting_logs = 0
        self.served_logs = 0
        self.busy_s = 0.0

    def put(self, logs: int, done: Done) -> None:
        """Serve so many logs, then call ``done(True)``; ``done(False)`` if it is away, fails or is full."""
        full = self._waiting_logs_max and self.waiting_logs + logs > self._waiting_logs_max
        if not self.up or (full and self.waiting_logs):
            done(False)
            return
        self._waiting.append((logs, done))
        self.waiting_logs += logs
        self._next()

    def _next(self) -> None:
        if self._serving or self._held or not self._waiting:
            return
        logs = 0
        while self._waiting and (not self._serving or logs + self._waiting[0][0] <= self._share_logs_max):
            self._serving.append(self._waiting.popleft())
            logs += self._serving[-1][0]
        self.waiting_logs -= logs
        took_s = self._service_s(logs)
        self.busy_s += took_s
        self._clock.after(took_s, self._served, self._lives, logs)

    def _served(self, life: int, logs: int) -> None:
        if life != self._lives:
            return
        served, self._serving = self._serving, []
        self.served_logs += logs
        self._next()
        for _, done in served:
            done(True)

    def hold(self) -> None:
        """Begin nothing for a while: what comes waits."""
        self._held = True

    def release(self) -> None:
        """Go on after ``hold``."""
        self._held = False
        self._next()

    def kill(self) -> None:
        """It ends: all that it has in hand fails."""
        self.up = False
        self._lives += 1
        lost = [*self._serving, *self._waiting]
        self._serving, self.waiting_logs = [], 0
        self._waiting.clear()
        for _, done in lost:
            done(False)

    def come_back(self) -> None:
        """It is there again, with nothing in hand."""
        self.up = True
