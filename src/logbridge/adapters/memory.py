"""The fake: a sink and reader in memory that tests may script; also the store and the sink ``memory://``."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from enum import Enum

from msgspec import Struct

from logbridge.adapters.followers import Followers
from logbridge.adapters.taken_id import answer_again
from logbridge.domain.entry import LogEntry, text_bytes
from logbridge.domain.errors import ReaderUnavailable
from logbridge.domain.histogram import count_logs
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.ports import Deadline, SinkHealth
from logbridge.domain.query import (
    PAGE_BYTES_MAX,
    Followed,
    HistogramQuery,
    LogFilter,
    LogHistogram,
    LogPage,
    LogQuery,
    check_place,
)
from logbridge.domain.timestamp import epoch_us

ENTRIES_MAX = 100_000


class _Kind(Enum):
    ACCEPT = "accept"
    REFUSE = "refuse"
    FAIL = "fail"
    LOSE = "lose"
    HANG = "hang"


class Step(Struct, frozen=True):
    """What the sink does with one entry; made by accept, refuse, fail, lose and hang."""

    kind: _Kind
    reason: str = ""
    again: bool = False


accept = Step(_Kind.ACCEPT)
"""Store the entry."""

hang = Step(_Kind.HANG, "no answer before the deadline")
"""Give no answer until the deadline; then it is Unknown, cause TIMEOUT. It is neither stored nor retried."""


def refuse(reason: str) -> Step:
    """Answer Refused: it will never be taken."""
    return Step(_Kind.REFUSE, reason)


def fail(reason: str, *, again: bool = False) -> Step:
    """Answer Failed: not stored. again: the bridge tries again, as it would with a real log service."""
    return Step(_Kind.FAIL, reason, again)


def lose(reason: str, *, again: bool = False) -> Step:
    """Answer Unknown, as if the connection broke. The entry is not stored. again: as in fail."""
    return Step(_Kind.LOSE, reason, again)


class MemorySink:
    """Keeps entries in memory. A script tells what to do with the first entries, one step for each.

    script: for example ``[accept, refuse("why"), hang]``; when it is used up, everything is accepted.
    entries_max: beyond it writes answer Failed, cause OVERLOADED. monotonic: the clock of deadlines, seconds.
    entries: list[LogEntry], what is stored, in the order of storing. closed: bool, whether aclose was called.
    An id is unique for its service, as in the real store: the same log twice is stored once, other content
    under a taken id is Refused, cause CONFLICT.
    """

    def __init__(
        self,
        script: Iterable[Step] = (),
        *,
        entries_max: int = ENTRIES_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.entries: list[LogEntry] = []
        self.closed = False
        self._script = iter(script)
        self._entries_max = entries_max
        self._monotonic = monotonic
        self._by_id: dict[tuple[str, str], LogEntry] = {}
        self._lock = threading.Lock()
        self._followers = Followers()

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        """See LogSink.write."""
        # One step for each entry, taken before the first await: concurrent writes never share a step.
        with self._lock:
            steps = [next(self._script, accept) for _ in entries]
            outcomes = [self._answer(step, entry) for step, entry in zip(steps, entries, strict=True)]
        self._followers.wake()
        if hang in steps:
            await asyncio.sleep(deadline.remaining_s(self._monotonic()))
        return outcomes

    def _answer(self, step: Step, entry: LogEntry) -> Outcome:
        match step.kind:
            case _Kind.ACCEPT:
                return self._store(entry)
            case _Kind.REFUSE:
                return Refused(entry.id, step.reason)
            case _Kind.FAIL:
                # Not UNAVAILABLE: the sink is there, and a script is not cut short by the breaker.
                return Failed(entry.id, step.reason, Cause.OVERLOADED, may_go_again=step.again)
            case _Kind.LOSE:
                return Unknown(entry.id, step.reason, may_go_again=step.again)
            case _:
                return Unknown(entry.id, step.reason, Cause.TIMEOUT)

    def _store(self, entry: LogEntry) -> Outcome:
        if self.closed:
            return Failed(entry.id, "the memory sink is closed")
        key = (entry.service_name, entry.id)
        stored = self._by_id.get(key)
        if stored is not None:
            return answer_again(stored, entry)
        if len(self.entries) >= self._entries_max:
            reason = f"the memory sink is full: it keeps at most {self._entries_max} entries"
            return Failed(entry.id, reason, Cause.OVERLOADED)
        self._by_id[key] = entry
        self.entries.append(entry)
        return Accepted(entry.id)

    async def check(self) -> SinkHealth:
        """See LogSink.check."""
        return SinkHealth(not self.closed, "in memory" if not self.closed else "the memory sink is closed")

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:  # noqa: ARG002 (the port has it)
        """See LogSink.honours_ids."""
        return not self.closed or None

    async def aclose(self) -> None:
        """End what follows and take no more. What is stored stays readable in ``entries``."""
        self.closed = True
        self._followers.wake()

    async def query(self, query: LogQuery, *, deadline: Deadline) -> LogPage:  # noqa: ARG002 (the port has it)
        """See LogReader.query."""
        # Sorting is stable: turned round, the last stored comes first among equal times.
        newest = sorted(self.entries, key=lambda entry: epoch_us(entry.timestamp))[::-1]
        found = [entry for entry in newest if query.matches(entry)]
        return LogPage(_page(found[query.offset : query.offset + query.limit]), len(found))

    async def histogram(self, query: HistogramQuery, *, deadline: Deadline) -> LogHistogram:  # noqa: ARG002 (the port has it)
        """See LogReader.histogram."""
        return count_logs(query, list(self.entries))

    async def follow(self, which: LogFilter, *, after: int | None = None) -> AsyncGenerator[Followed, None]:
        """See LogReader.follow. A sequence is the place in ``entries``, counted from 1."""
        check_place(after)
        with self._followers.joined() as stored:
            sequence = len(self.entries) if after is None else min(after, len(self.entries))
            yield Followed(sequence)
            while not self.closed:
                stored.clear()
                while sequence < len(self.entries):
                    entry = self.entries[sequence]
                    sequence += 1
                    if which.matches(entry):
                        yield Followed(sequence, entry)
                await stored.wait()
        raise ReaderUnavailable("the memory sink is closed")


def _page(entries: list[LogEntry]) -> list[LogEntry]:
    size_bytes = 0
    for count, entry in enumerate(entries):
        size_bytes += text_bytes(entry)
        if count and size_bytes > PAGE_BYTES_MAX:
            return entries[:count]
    return entries
