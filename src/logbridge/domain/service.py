"""The use cases: write, write a batch, query, histogram, export, follow, health.

The concurrent test is in load_run.py.
"""

from collections.abc import AsyncGenerator, Callable, Sequence

from logbridge.domain.entry import EntryDraft, EntryMaker, LogEntry, text_bytes
from logbridge.domain.errors import (
    EntryTooLarge,
    InvalidEntry,
    InvalidRequest,
    LimitExceeded,
    QueryNotSupported,
    ServiceForbidden,
)
from logbridge.domain.export import every_page
from logbridge.domain.measures import Measures
from logbridge.domain.outcome import Cause, Outcome, Refused
from logbridge.domain.policy import Asked, DeadlinePolicy, RequestLimits
from logbridge.domain.ports import Deadline, LogReader, LogSink, SinkHealth
from logbridge.domain.query import Followed, HistogramQuery, LogFilter, LogHistogram, LogPage, LogQuery

NOTHING_ASKED = Asked()


class LogBridge:
    """What programs ask of logbridge, whichever way they come in.

    delivered: the chain that answers when the log service has. durable: the one that answers when the entry
    is on the disk here, None without a spool. always_durable: every write takes that one, asked or not.
    reader: where entries are read, None behind a sink that only writes. measures: counts what becomes of
    each.
    monotonic: seconds of a clock that only goes forward, the one that deadlines count in.
    """

    def __init__(
        self,
        delivered: LogSink,
        reader: LogReader | None,
        *,
        durable: LogSink | None = None,
        always_durable: bool = False,
        maker: EntryMaker,
        limits: RequestLimits,
        deadlines: DeadlinePolicy,
        monotonic: Callable[[], float],
        measures: Measures,
    ) -> None:
        self.limits = limits
        self.measures = measures
        self._delivered = delivered
        self._durable = durable
        self._always_durable = always_durable
        self._reader = reader
        self._maker = maker
        self._deadlines = deadlines
        self._monotonic = monotonic

    async def write(self, draft: EntryDraft, asked: Asked = NOTHING_ASKED) -> Outcome:
        """Write one log. What is wrong with it is an outcome too (Refused, with the field and the reason)."""
        entry = self._made(draft, "", asked.services)
        if not isinstance(entry, LogEntry):
            self.measures.outcome(entry, _service_of(entry, draft))
            return entry
        self.measures.counts.bytes += text_bytes(entry)
        outcomes = await self._chain(asked).write((entry,), deadline=self._deadline(asked))
        self.measures.outcome(outcomes[0], entry.service_name)
        return outcomes[0]

    async def write_batch(
        self, drafts: Sequence[EntryDraft | InvalidEntry], asked: Asked = NOTHING_ASKED
    ) -> list[Outcome]:
        """Write a batch: one outcome for every draft, in order; a bad one does not sink the others.

        drafts: an InvalidEntry stands for an entry that could not even be read.
        Raises InvalidRequest for an empty batch and LimitExceeded for one over MAX_BATCH_SIZE.
        """
        self.check_batch_size(len(drafts))
        arrived = self._maker.now()
        made = [self._made(draft, arrived, asked.services) for draft in drafts]
        entries = [entry for entry in made if isinstance(entry, LogEntry)]
        chain, deadline = self._chain(asked), self._deadline(asked)
        self.measures.counts.bytes += sum(map(text_bytes, entries))
        written = iter(await chain.write(entries, deadline=deadline) if entries else ())
        outcomes = [next(written) if isinstance(entry, LogEntry) else entry for entry in made]
        self.measures.counts.batches.observe(len(outcomes))
        for entry, draft, outcome in zip(made, drafts, outcomes, strict=True):
            self.measures.outcome(outcome, _service_of(entry, draft))
        return outcomes

    def check_batch_size(self, count: int) -> None:
        """Raises InvalidRequest for an empty batch and LimitExceeded for one over MAX_BATCH_SIZE."""
        if count == 0:
            raise InvalidRequest("$.log_entries", "expected 1 entry or more, got none")
        if count > self.limits.batch_entries_max:
            raise LimitExceeded("$.log_entries", "MAX_BATCH_SIZE", count, self.limits.batch_entries_max)

    async def query(self, query: LogQuery, services: frozenset[str] = frozenset()) -> LogPage:
        """One page of stored logs. services: whose logs the caller may see, empty for any.

        Raises QueryNotSupported, QueryRefused, ReaderUnavailable, or ServiceForbidden.
        """
        narrowed = query.within(services)
        return await self._readable().query(narrowed, deadline=self._deadline(NOTHING_ASKED))

    async def histogram(self, query: HistogramQuery, services: frozenset[str] = frozenset()) -> LogHistogram:
        """How many stored logs there are over time, by level. services, and raises: as query."""
        narrowed = query.within(services)
        return await self._readable().histogram(narrowed, deadline=self._deadline(NOTHING_ASKED))

    def export(
        self, which: LogFilter, limit: int, services: frozenset[str] = frozenset()
    ) -> AsyncGenerator[LogPage, None]:
        """Up to ``limit`` stored logs, page by page; see every_page. services, and raises: as query."""
        reader, narrowed = self._readable(), which.within(services)

        async def ask(query: LogQuery) -> LogPage:
            return await reader.query(query, deadline=self._deadline(NOTHING_ASKED))

        return every_page(narrowed, limit, ask)

    def follow(
        self, which: LogFilter, after: int | None = None, services: frozenset[str] = frozenset()
    ) -> AsyncGenerator[Followed, None]:
        """New logs as they are stored; see LogReader.follow. services: as in query.

        Raises QueryNotSupported or ServiceForbidden.
        """
        return self._readable().follow(which.within(services), after=after)

    async def health(self) -> SinkHealth:
        """Whether the log service would take entries now. Writes nothing."""
        return await self._delivered.check()

    async def readiness(self) -> SinkHealth:
        """Whether new writes are welcome: never because the log service is away, but without a spool that
        every write needs, they are not.
        """
        if self._durable is None or not self._always_durable:
            return SinkHealth(True)
        return await self._durable.check()

    def _chain(self, asked: Asked) -> LogSink:
        if (asked.durable or self._always_durable) and self._durable is not None:
            return self._durable
        return self._delivered

    def _readable(self) -> LogReader:
        if self._reader is None:
            raise QueryNotSupported("this sink only writes: it cannot be asked for stored logs")
        return self._reader

    def _made(
        self, draft: EntryDraft | InvalidEntry, arrived: str, services: frozenset[str]
    ) -> LogEntry | Refused:
        if isinstance(draft, InvalidEntry):
            return refused(draft)
        try:
            return (
                self._maker.make_within(services, draft, arrived)
                if services
                else self._maker.make(draft, arrived)
            )
        except InvalidEntry as error:
            return refused(error, draft.fields.log_id or "")

    def _deadline(self, asked: Asked) -> Deadline:
        wait_s = self._deadlines.request_s if asked.timeout_s is None else asked.timeout_s
        return Deadline(self._monotonic() + wait_s)


def _service_of(entry: LogEntry | Refused, draft: EntryDraft | InvalidEntry) -> str:
    """Whose failure it would be: nobody's where that is not known, or the caller may not speak for it."""
    if isinstance(entry, LogEntry):
        return entry.service_name
    if entry.cause is Cause.FORBIDDEN or isinstance(draft, InvalidEntry):
        return ""
    return draft.fields.service_name or ""


def refused(error: InvalidEntry, log_id: str = "") -> Refused:
    """What becomes of an entry that breaks a rule: refused, with a cause of its own where there is one."""
    return Refused(log_id, str(error), _CAUSES.get(type(error), Cause.INVALID))


_CAUSES: dict[type[InvalidEntry], Cause] = {
    EntryTooLarge: Cause.TOO_LARGE,
    ServiceForbidden: Cause.FORBIDDEN,
}
