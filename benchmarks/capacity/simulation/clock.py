"""Virtual time: what is due next happens next, and nobody sleeps."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

# As many as libuv takes from the kernel at once.
EVENTS_MAX = 1024

Do = Callable[..., object]


class Clock:
    """Events in the order of their time, and of their making where that is the same."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.events = 0
        self._due: list[tuple[float, int, Do, tuple[Any, ...]]] = []
        self._order = count()

    def after(self, wait_s: float, do: Do, *args: Any) -> None:
        """Call ``do(*args)`` in so many seconds, 0 for after what happens now."""
        heapq.heappush(self._due, (self.now_s + wait_s, next(self._order), do, args))

    def run(self, until_s: float) -> None:
        """All that is due until then, inclusive."""
        due = self._due
        while due and due[0][0] <= until_s:
            self.now_s, _, do, args = heapq.heappop(due)
            self.events += 1
            do(*args)
        self.now_s = until_s


class Loop:
    """One core that works in turns, as the event loop of a process does.

    What is ready when a turn begins is done in it, up to ``EVENTS_MAX``; what comes meanwhile waits for the
    next one; and what the turn sends leaves at its end. That is why single writes split into two batches for
    each round of answers.
    ``busy_s``: seconds of work so far.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: list[Callable[[], float]] = []
        self._leaving: list[tuple[Do, tuple[Any, ...]]] = []
        self._in_turn = False
        self._lives = 0
        self.busy_s = 0.0

    def soon(self, task: Callable[[], float]) -> None:
        """Do it in the next turn; it returns the seconds of work that it is."""
        self._ready.append(task)
        if not self._in_turn:
            self._in_turn = True
            self._clock.after(0.0, self._turn, self._lives)

    def leave(self, do: Do, *args: Any) -> None:
        """Call it at the end of this turn."""
        self._leaving.append((do, args))

    def _turn(self, life: int) -> None:
        if life != self._lives:
            return
        tasks, self._ready = self._ready[:EVENTS_MAX], self._ready[EVENTS_MAX:]
        work_s = 0.0
        for task in tasks:
            work_s += task()
        self.busy_s += work_s
        self._clock.after(work_s, self._end, life)

    def _end(self, life: int) -> None:
        if life != self._lives:
            return
        leaving, self._leaving = self._leaving, []
        for do, args in leaving:
            do(*args)
        if self._ready:
            self._turn(life)
        else:
            self._in_turn = False

    def kill(self) -> None:
        """The process ends: what was ready or about to leave is gone."""
        self._lives += 1
        self._ready, self._leaving, self._in_turn = [], [], False
