"""Spooler: a write is acknowledged once the spool keeps it, and delivered from there, in batches."""

import asyncio
import contextlib
import heapq
import logging
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

from logbridge.adapters.delivery.link import Link
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.policy import RetryPolicy, SpoolPolicy
from logbridge.domain.ports import Deadline, LogSink, SinkHealth, Spool, Spooled

logger = logging.getLogger(__name__)

# How often an idle drain looks for what others put into the spool: an operator, a worker that is gone.
IDLE_S = 1.0


class Parked(NamedTuple):
    """A batch that backs off until ``due_s``. order: of two that are due, the older one goes first."""

    due_s: float
    order: int
    batch: Sequence[Spooled]
    failures: int


class Spooler(Link):
    """A link that answers Accepted (spooled) from the spool, and hands on what is in there until it is empty.

    Delivered entries leave the spool, refused ones become its dead letters, and a batch that failed backs off
    while the next one goes: nobody waits for it. An unknown outcome goes again to any peer, and is counted.
    start() begins to deliver; closing waits for the batch under way, ``cut`` does not. random: gives 0 to 1,
    for the jitter.
    """

    def __init__(
        self,
        next_sink: LogSink,
        spool: Spool,
        policy: SpoolPolicy,
        retry: RetryPolicy,
        monotonic: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        super().__init__(next_sink)
        self._spool = spool
        self._policy = policy
        self._retry = retry
        self._monotonic = monotonic
        self._random = random
        self._parked: list[Parked] = []
        self._order = count()
        self._held_until_s = 0.0
        self._arrived = asyncio.Event()
        self._stopping = asyncio.Event()
        self._draining: asyncio.Task[None] | None = None

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        outcomes = await self._spool.append(entries, deadline=deadline)
        self._arrived.set()
        return outcomes

    async def check(self) -> SinkHealth:
        return await self._spool.check()

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:  # noqa: ARG002 (the port has it)
        return True

    def start(self) -> None:
        """Deliver what waits, and what will come, in the running loop."""
        self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._step()
            except Exception:
                # Whatever it is, the entries are kept, and giving up would keep them for ever.
                logger.exception("the spool cannot be drained now")
                await self._until(self._stopping, IDLE_S)

    async def _step(self) -> None:
        self._arrived.clear()
        now_s = self._monotonic()
        if now_s < self._held_until_s:
            await self._until(self._stopping, self._held_until_s - now_s)
        elif self._parked and self._parked[0].due_s <= now_s:
            parked = heapq.heappop(self._parked)
            await self._deliver(parked.batch, parked.failures)
        elif batch := await self._next_batch():
            await self._deliver(batch, 0)
        else:
            due_s = [parked.due_s - self._monotonic() for parked in self._parked[:1]]
            await self._until(self._arrived, min([IDLE_S, *due_s]))

    async def _next_batch(self) -> Sequence[Spooled]:
        if len(self._parked) >= self._policy.parked_batches_max:
            return ()
        return await self._spool.take(self._policy.batch_entries_max, self._policy.batch_bytes_max)

    async def _until(self, event: asyncio.Event, wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await event.wait()

    async def _deliver(self, batch: Sequence[Spooled], failures: int) -> None:
        deadline = Deadline(self._monotonic() + self._policy.attempt_s)
        try:
            await self._spool.sending(batch)
            outcomes = await self._next.write([spooled.entry for spooled in batch], deadline=deadline)
            await self._settle(batch, outcomes)
        except Exception:
            self._park(batch, failures + 1)
            raise
        again = [
            (spooled, outcome)
            for spooled, outcome in zip(batch, outcomes, strict=True)
            if isinstance(outcome, Failed | Unknown)
        ]
        if again:
            # A log service that takes a part of each batch is not one that fails again and again.
            await self._back_off(again, failures + 1 if len(again) == len(batch) else 1)

    async def _settle(self, batch: Sequence[Spooled], outcomes: Sequence[Outcome]) -> None:
        pairs = list(zip(batch, outcomes, strict=True))
        delivered = [spooled for spooled, outcome in pairs if isinstance(outcome, Accepted)]
        dead = [(spooled, outcome) for spooled, outcome in pairs if isinstance(outcome, Refused)]
        if dead:
            logger.warning("%d entries became dead letters, the first: %s", len(dead), dead[0][1].reason)
        if delivered or dead:
            await self._spool.settle(delivered, dead)

    async def _back_off(self, again: Sequence[tuple[Spooled, Failed | Unknown]], failures: int) -> None:
        batch = [spooled for spooled, _ in again]
        unknown = sum(isinstance(outcome, Unknown) and outcome.sent for _, outcome in again)
        asked_s = max(outcome.retry_after_s or 0.0 for _, outcome in again)
        pause_s = self._retry.pause_s(failures, self._random(), asked_s)
        if unknown:
            await self._spool.count_resent(unknown)
        await self._spool.answered(batch)
        if all(isinstance(outcome, Failed) and outcome.cause is Cause.UNAVAILABLE for _, outcome in again):
            # Nobody is there: the next batch would not fare better. This one is first when somebody comes.
            self._held_until_s = self._monotonic() + pause_s
            self._park(batch, failures, pause_s=0.0)
        else:
            self._park_apart(batch, failures, pause_s, apart=unknown > 0)

    def _park_apart(self, batch: Sequence[Spooled], failures: int, pause_s: float, *, apart: bool) -> None:
        """One entry may be what makes its batch fail: halves find it, as long as there is room for them."""
        middle = len(batch) // 2
        if apart and middle and len(self._parked) + 2 <= self._policy.parked_batches_max:
            self._park(batch[:middle], failures, pause_s)
            self._park(batch[middle:], failures, pause_s)
        else:
            self._park(batch, failures, pause_s)

    def _park(self, batch: Sequence[Spooled], failures: int, pause_s: float = IDLE_S) -> None:
        due_s = self._monotonic() + pause_s
        heapq.heappush(self._parked, Parked(due_s, next(self._order), batch, failures))

    async def aclose(self) -> None:
        self._stopping.set()
        self._arrived.set()
        if self._draining is not None:
            await asyncio.wait([self._draining])
        await self._spool.aclose()
        await self._next.aclose()

    def cut(self) -> None:
        """Do not wait for the batch under way: it stays in the spool, and goes again after the next start."""
        if self._draining is not None:
            self._draining.cancel()
