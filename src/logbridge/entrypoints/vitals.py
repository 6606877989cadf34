"""How a bridge is doing: what its workers counted and how they are now, for statistics and metrics."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from msgspec import Struct

from logbridge.domain.measures import Measures, Waiting
from logbridge.entrypoints.board import Board, Report, Seen
from logbridge.entrypoints.pulse import Pulse, told_until_s

logger = logging.getLogger(__name__)

# The spool is asked no more often, and for no more than a part of the time: a large one takes long to count.
SPOOL_EVERY_S = 1.0
SPOOL_PAUSE_TO_TIME = 20
# One that cannot be read is asked again so soon: until it gives up, a question only waits.
SPOOL_AGAIN_S = 3.0
# Nobody waits longer for a new answer while there is an old one.
SPOOL_WAIT_S = 0.5


class Gauges(Struct, frozen=True):
    """How a process is now."""

    in_flight_entries: int
    in_flight_bytes: int
    services: int
    services_away: int


class Look(Struct, frozen=True):
    """One look at a bridge. waiting: in the spool, None without one, or while it cannot be read.

    now_s: seconds since 1970. until_s: the end of the last whole second that all workers have told of.
    """

    seen: Seen
    waiting: Waiting | None
    now_s: float
    until_s: int

    @property
    def resent(self) -> int:
        """Logs that went again from the spool: as it counts them, or of a stream as these workers do."""
        return (self.waiting.resent if self.waiting else 0) + self.seen.counts.resent


class Vitals:
    """Beats once a second while the bridge runs, and answers how it is.

    writes: the routes that write. folder: where workers show each other what they count, None for a single
    process. gauges: how this process is now. watch: asks for log services that are away; begun at each beat,
    unless it still goes on. waiting: asks the spool. now_s: gives seconds since 1970. sleep: waits for so
    many of them.
    """

    def __init__(
        self,
        measures: Measures,
        gauges: Callable[[], Gauges],
        watch: Callable[[], Awaitable[None]],
        waiting: Callable[[], Awaitable[Waiting | None]],
        *,
        writes: Collection[str],
        folder: Path | None,
        now_s: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._measures = measures
        self._gauges = gauges
        self._watch = watch
        self._ask_spool = waiting
        self._now_s = now_s
        self._sleep = sleep
        self._started_s = now_s()
        self._pulse = Pulse(measures.counts, writes)
        self._board = Board(folder, self._report)
        self._beat_soon = asyncio.Event()
        self._asking: asyncio.Future[Waiting | None] | None = None
        self._asked_before: asyncio.Future[Waiting | None] | None = None
        self._ask_at_s = 0.0
        self._beating: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to beat, in the running loop; the other workers know of this one from now on."""
        self._board.pin()
        self._beating = asyncio.ensure_future(self._beat())

    async def stop(self) -> None:
        """Beat no more; what was counted last is shown to the other workers."""
        going = [task for task in (self._beating, self._watching) if task is not None]
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)
        self._board.pin()

    async def _beat(self) -> None:
        while True:
            # On the second, so that the seconds of all workers are the same ones. A timer may be a little
            # early: the end of the second before is not taken for one that is to come.
            end_s = int(self._now_s() + 0.5) + 1
            await self._sleep(end_s - self._now_s())
            self._pulse.beat(end_s)
            self._board.pin()
            if self._watching is None or self._watching.done():
                self._watching = asyncio.ensure_future(self._watch_once())
            beat, self._beat_soon = self._beat_soon, asyncio.Event()
            beat.set()

    async def _watch_once(self) -> None:
        try:
            await self._watch()
        except Exception:
            logger.exception("the log service cannot be asked whether it is back")

    async def next_beat(self) -> None:
        """Returns when the second is over."""
        await self._beat_soon.wait()

    async def look(self) -> Look:
        """How all workers are, together."""
        waiting = await self._spool()
        seen, now_s = self._board.seen(), self._now_s()
        ends = (report.told_until_s for report in seen.running)
        told = {second.at_s for report in seen.running for second in report.history}
        return Look(seen, waiting, now_s, told_until_s(ends, told, now_s))

    async def _spool(self) -> Waiting | None:
        """What waits in the spool, or waited a moment ago."""
        loop = asyncio.get_running_loop()
        if self._asking is None or (self._asking.done() and loop.time() >= self._ask_at_s):
            self._asked_before, self._asking = self._asking, asyncio.ensure_future(self._timed(loop))
        asking, before = self._asking, self._asked_before
        if before is not None:
            done, _ = await asyncio.wait((asking,), timeout=SPOOL_WAIT_S)
            if not done:
                return before.result()
        # Whoever gives up leaves the others their answer.
        return await asyncio.shield(asking)

    async def _timed(self, loop: asyncio.AbstractEventLoop) -> Waiting | None:
        began_s = loop.time()
        waiting = await self._ask_spool()
        now_s = loop.time()
        pause_s = SPOOL_AGAIN_S if waiting is None else SPOOL_PAUSE_TO_TIME * (now_s - began_s)
        self._ask_at_s = now_s + max(SPOOL_EVERY_S, pause_s)
        return waiting

    def _report(self) -> Report:
        gauges, measures = self._gauges(), self._measures
        return Report(
            pid=os.getpid(),
            started_s=self._started_s,
            counts=measures.counts,
            history=list(self._pulse.history),
            failures=measures.failures,
            in_flight_entries=gauges.in_flight_entries,
            in_flight_bytes=gauges.in_flight_bytes,
            connections=measures.connections,
            tails=measures.tails,
            services=gauges.services,
            services_away=gauges.services_away,
        )
