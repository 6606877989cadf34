"""Coalesce: what comes while the log service is busy goes together, as one batch; a lone one goes at once."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain

from logbridge.adapters.delivery.link import Link
from logbridge.domain.entry import LogEntry, text_bytes
from logbridge.domain.outcome import Cause, Failed, Outcome, Unknown
from logbridge.domain.policy import CoalescePolicy
from logbridge.domain.ports import Deadline, LogSink
from logbridge.domain.trace import TRACES, Trace, context_of

# Deadlines are looked at no more often; who has a later one than its batch is answered by the batch.
SWEEP_S = 0.02
_NEVER_S = float("inf")


class _Write:
    """A write that waits for its batch, and then for the answer."""

    __slots__ = ("answer", "deadline_s", "entries", "traces")

    def __init__(
        self, entries: Sequence[LogEntry], deadline_s: float, answer: "asyncio.Future[Sequence[Outcome]]"
    ) -> None:
        self.entries = entries
        self.deadline_s = deadline_s
        self.answer = answer
        self.traces = TRACES.get()


class Coalesce(Link):
    """A link that makes batches of small writes; each keeps its own outcome, deadline and cancellation.

    A batch goes at once while none is under way, else when an answer comes, when it is full, or when it has
    lingered behind a slow one. Whoever cancels a write that still waits has taken it back.
    """

    def __init__(self, next_sink: LogSink, policy: CoalescePolicy, monotonic: Callable[[], float]) -> None:
        super().__init__(next_sink)
        self._policy = policy
        self._monotonic = monotonic
        self._waiting: deque[_Write] = deque()
        self._under_way: dict[asyncio.Task[Sequence[Outcome]], list[_Write]] = {}
        self._going = False
        self._lingering: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._sweep_at_s = _NEVER_S

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        if not 0 < len(entries) < self._policy.batch_entries_max:
            return await self._next.write(entries, deadline=deadline)
        loop = asyncio.get_running_loop()
        write = _Write(entries, deadline.at_s, loop.create_future())
        self._waiting.append(write)
        if deadline.at_s < self._sweep_at_s:
            self._sweep_later(deadline.at_s)
        if not self._under_way:
            self._go_soon()
        elif len(self._waiting) >= self._policy.batch_entries_max:
            self._go()
        else:
            self._linger()
        return await write.answer

    def _go_soon(self) -> None:
        # Not here and now: whoever comes in the same turn of the loop goes along.
        if not self._going:
            self._going = True
            asyncio.get_running_loop().call_soon(self._gone)

    def _gone(self) -> None:
        self._going = False
        self._go()

    def _linger(self) -> None:
        if self._lingering is None and len(self._under_way) < self._policy.batches_max:
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(self._policy.linger_s, self._lingered, loop.time())

    def _lingered(self, since_s: float) -> None:
        self._lingering = None
        if asyncio.get_running_loop().time() - since_s > 2 * self._policy.linger_s:
            # So late is a timer of a busy loop only: the answer may long be there, to be read next.
            self._linger()
        else:
            self._go()

    def _go(self) -> None:
        """Begin a batch of what waits, and further ones while they are full, as far as there is room."""
        while self._waiting and len(self._under_way) < self._policy.batches_max:
            self._begin(self._take())
            if len(self._waiting) < self._policy.batch_entries_max:
                break
        if self._waiting:
            self._linger()

    def _begin(self, batch: list[_Write]) -> None:
        if not batch:
            return
        entries = list(chain.from_iterable(write.entries for write in batch))
        deadline = Deadline(max(write.deadline_s for write in batch))
        task = asyncio.get_running_loop().create_task(
            self._next.write(entries, deadline=deadline), context=context_of(_traces_of(batch))
        )
        self._under_way[task] = batch
        task.add_done_callback(self._answered)

    def _take(self) -> list[_Write]:
        """The oldest writes that make one batch; who has given up is left out."""
        batch: list[_Write] = []
        entries = size_bytes = 0
        entries_max, bytes_max = self._policy.batch_entries_max, self._policy.batch_bytes_max
        while self._waiting:
            write = self._waiting[0]
            if not write.answer.done():
                entries += len(write.entries)
                for entry in write.entries:
                    size_bytes += text_bytes(entry)
                if batch and (entries > entries_max or size_bytes > bytes_max):
                    break
                batch.append(write)
            self._waiting.popleft()
        return batch

    def _answered(self, task: "asyncio.Task[Sequence[Outcome]]") -> None:
        batch = self._under_way.pop(task)
        if self._waiting:
            self._go()  # first: the log service works while the answers are handed out
        if task.cancelled():  # the loop itself ends
            for write in batch:
                write.answer.cancel()
        elif (error := task.exception()) is not None:
            # A fault of ours: whoever waits must see it, not run into the deadline.
            for write in _open(batch):
                write.answer.set_exception(error)
        else:
            self._hand_out(batch, task.result())

    def _hand_out(self, batch: list[_Write], outcomes: Sequence[Outcome]) -> None:
        at = 0
        for write in batch:
            until = at + len(write.entries)
            if not write.answer.done():
                write.answer.set_result(outcomes[at:until])
            at = until

    def _end(self, writes: Sequence[_Write], outcome: Callable[[LogEntry], Outcome]) -> None:
        for write in _open(writes):
            write.answer.set_result([outcome(entry) for entry in write.entries])

    def _sweep_later(self, at_s: float) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._sweep_at_s = at_s
        wait_s = max(at_s - self._monotonic(), SWEEP_S)
        self._sweeping = asyncio.get_running_loop().call_later(wait_s, self._sweep)

    def _sweep(self) -> None:
        """Answer the writes whose deadline has passed, and come again for the next one."""
        now_s = self._monotonic()
        under_way = list(chain.from_iterable(self._under_way.values()))
        self._end(_late(self._waiting, now_s), _not_sent)
        self._end(_late(under_way, now_s), _no_answer)
        self._sweeping, self._sweep_at_s = None, _NEVER_S
        left = [write.deadline_s for write in _open([*self._waiting, *under_way])]
        if left:
            self._sweep_later(min(left))

    async def aclose(self) -> None:
        self._go()
        while self._under_way:
            await asyncio.wait(self._under_way)
        for timer in (self._lingering, self._sweeping):
            if timer is not None:
                timer.cancel()
        await self._next.aclose()


def _traces_of(batch: Sequence[_Write]) -> tuple[Trace, ...]:
    """Those of its writes, each once."""
    return tuple(dict.fromkeys(trace for write in batch if write.traces for trace in write.traces))


def _open(writes: Sequence[_Write]) -> list[_Write]:
    return [write for write in writes if not write.answer.done()]


def _late(writes: Sequence[_Write], now_s: float) -> list[_Write]:
    return [write for write in writes if write.deadline_s <= now_s]


def _not_sent(entry: LogEntry) -> Outcome:
    reason = "the log service is too slow for what is asked of it: no batch went before the deadline"
    return Failed(entry.id, reason, Cause.OVERLOADED)


def _no_answer(entry: LogEntry) -> Outcome:
    reason = "the log service did not answer in time: the log may have been written"
    return Unknown(entry.id, reason, Cause.TIMEOUT)
