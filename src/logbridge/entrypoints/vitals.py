"""How a bridge is doing: what its workers counted and how they are now, for statistics and metrics."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from msgspec import Struct

from logbridge.domain.measures import Measures, Waiting
from logbridge.entrypoints.board import Board, Report
from logbridge.entrypoints.pulse import Pulse

# The spool is asked no more often: it is on the disk.
SPOOL_EVERY_S = 1.0


class Gauges(Struct, frozen=True):
    """How a process is now."""

    in_flight_entries: int
    in_flight_bytes: int
    away: bool


class Look(Struct, frozen=True):
    """One look at a bridge. reports: of this process first. waiting: in the spool, None without one.

    now_s: seconds since 1970.
    """

    reports: list[Report]
    waiting: Waiting | None
    now_s: float


class Vitals:
    """Beats once a second while the bridge runs, and answers how it is.

    writes: the routes that write. folder: where workers show each other what they count, None for a single
    process. gauges: how this process is now. waiting: asks the spool. now_s: gives seconds since 1970.
    """

    def __init__(
        self,
        measures: Measures,
        gauges: Callable[[], Gauges],
        waiting: Callable[[], Awaitable[Waiting | None]],
        *,
        writes: Collection[str],
        folder: Path | None,
        now_s: Callable[[], float],
    ) -> None:
        self._measures = measures
        self._gauges = gauges
        self._ask_spool = waiting
        self._now_s = now_s
        self._started_s = now_s()
        self._pulse = Pulse(measures.counts, writes)
        self._board = Board(folder, self._report)
        self._beat_soon = asyncio.Event()
        self._waiting: Waiting | None = None
        self._waiting_until_s = 0.0
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to beat, in the running loop."""
        self._beating = asyncio.ensure_future(self._beat())

    async def stop(self) -> None:
        """Beat no more; what was counted last is shown to the other workers."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        self._board.pin()

    async def _beat(self) -> None:
        while True:
            now_s = self._now_s()
            # On the second, so that the seconds of all workers are the same ones.
            await asyncio.sleep(1.0 - now_s % 1.0)
            self._pulse.beat(self._now_s())
            self._board.pin()
            beat, self._beat_soon = self._beat_soon, asyncio.Event()
            beat.set()

    async def next_beat(self) -> None:
        """Returns when the second is over."""
        await self._beat_soon.wait()

    async def look(self) -> Look:
        """How all workers are, together."""
        now_s = self._now_s()
        if now_s >= self._waiting_until_s:
            self._waiting_until_s = now_s + SPOOL_EVERY_S
            self._waiting = await self._ask_spool()
        return Look(self._board.reports(), self._waiting, now_s)

    def _report(self) -> Report:
        gauges, measures = self._gauges(), self._measures
        return Report(
            pid=os.getpid(),
            started_s=self._started_s,
            at_s=self._now_s(),
            counts=measures.counts,
            history=list(self._pulse.history),
            failures=measures.failures,
            in_flight_entries=gauges.in_flight_entries,
            in_flight_bytes=gauges.in_flight_bytes,
            connections=measures.connections,
            tails=measures.tails,
            away=gauges.away,
        )
