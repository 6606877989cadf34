"""What keeps acknowledged logs: a directory of one bridge, or a stream of JetStream; and what empties it."""

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.capacity.simulation.clock import Clock, Loop
from benchmarks.capacity.simulation.sink import Sink
from benchmarks.capacity.simulation.station import Done, Station
from logbridge.domain.policy import RetryPolicy, SpoolPolicy


class Spool:
    """Logs that were kept and are not delivered. station: what keeps them, one turn after the other.

    pending_max: logs that all who empty it have in hand together; 0 for no bound.
    """

    def __init__(self, clock: Clock, station: Station, away_s: float = 0.0, pending_max: int = 0) -> None:
        self._clock = clock
        self._station = station
        self._away_s = away_s
        self._pending_max = pending_max
        self._waiting = 0
        self._in_hand = 0
        self._idle: list[Callable[[], object]] = []
        self.kept = self.delivered = self.resent = 0

    @property
    def backlog(self) -> int:
        """Logs kept and not delivered, those in hand included."""
        return self._waiting + self._in_hand

    def append(self, logs: int, done: Done) -> None:
        """Keep so many, then call ``done``."""

        def kept(well: bool) -> None:
            if well:
                self.kept += logs
                self._waiting += logs
                self._wake()
            self._clock.after(self._away_s / 2, done, well)

        self._clock.after(self._away_s / 2, self._station.put, logs, kept)

    def take(self, logs_max: int) -> int:
        """So many go into somebody's hands: what waits, at most."""
        room = self._pending_max - self._in_hand if self._pending_max else logs_max
        taken = max(0, min(self._waiting, logs_max, room))
        self._waiting -= taken
        self._in_hand += taken
        return taken

    def settle(self, logs: int) -> None:
        """These are delivered."""
        self._in_hand -= logs
        self.delivered += logs

    def give_back(self, logs: int) -> None:
        """Whoever had them in hand is gone: they go again."""
        self._in_hand -= logs
        self._waiting += logs
        self.resent += logs
        self._wake()

    def when_there_is_more(self, wake: Callable[[], object]) -> None:
        """Call it once, when there is something to take."""
        self._idle.append(wake)

    def _wake(self) -> None:
        idle, self._idle = self._idle, []
        for wake in idle:
            wake()


class Drain:
    """Empties a spool, one batch after the other, as `adapters/delivery/spooler.py` does.

    log_s, call_s: seconds of work of this process for a log and for a call. fetch_s: until a batch is here.
    poll_s: how often it looks when nothing was there; 0 if the spool tells it.
    """

    def __init__(
        self,
        clock: Clock,
        loop: Loop,
        spool: Spool,
        sink: Sink,
        *,
        log_s: float,
        call_s: float,
        fetch_s: float,
        poll_s: float,
        random: Callable[[], float],
    ) -> None:
        self._clock, self._loop, self._spool, self._sink = clock, loop, spool, sink
        self._log_s, self._call_s, self._fetch_s, self._poll_s = log_s, call_s, fetch_s, poll_s
        self._random = random
        self._batch_max = SpoolPolicy().batch_entries_max
        self._retry = RetryPolicy()
        self._lives = 0
        self._in_hand = 0

    def start(self) -> None:
        """Begin to deliver, or go on after ``kill``."""
        self._next(self._lives)

    def kill(self) -> None:
        """The process ends; what it had in hand goes again."""
        self._lives += 1
        self._spool.give_back(self._in_hand)
        self._in_hand = 0

    def _next(self, life: int) -> None:
        if life != self._lives:
            return
        self._in_hand = self._spool.take(self._batch_max)
        if self._in_hand:
            self._clock.after(self._fetch_s, self._loop.soon, partial(self._send, life, 0))
        elif self._poll_s:
            self._clock.after(self._poll_s, self._next, life)
        else:
            self._spool.when_there_is_more(partial(self._clock.after, 0.0, self._next, life))

    def _send(self, life: int, failures: int) -> float:
        if life != self._lives:
            return 0.0
        parts = self._sink.parts(self._in_hand)
        self._loop.leave(self._sink.write, parts, partial(self._answered, life, failures, len(parts)))
        return self._call_s / 2 * len(parts) + self._in_hand * self._log_s / 2

    def _answered(self, life: int, failures: int, calls: int, stored: bool, _again: bool) -> None:
        if life != self._lives:
            return
        if stored:
            self._loop.soon(partial(self._settle, life, calls))
        else:
            # Nobody is there, and the next batch would not fare better: the drain waits with this one.
            pause_s = self._retry.pause_s(failures + 1, self._random(), self._sink.trial_in_s())
            self._clock.after(pause_s, self._loop.soon, partial(self._send, life, failures + 1))

    def _settle(self, life: int, calls: int) -> float:
        if life != self._lives:
            return 0.0
        logs, self._in_hand = self._in_hand, 0
        self._loop.leave(self._spool.settle, logs)
        self._loop.leave(self._next, life)
        return self._call_s / 2 * calls + logs * self._log_s / 2


def backlog_of(spools: Sequence[Spool]) -> int:
    """Logs that were acknowledged and not delivered yet."""
    return sum(spool.backlog for spool in spools)
