"""What each call does, as steps: a request to send, or a pause. Senders take them, each in its way.

Everything that a call decides is here and in what it uses; nothing here waits, sends or looks at a socket.
"""

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import httpx
import msgspec
from msgspec import Struct

from logbridge.domain import outcome as entry_outcome
from logbridge.domain.errors import InvalidEntry
from logbridge.domain.export import Place
from logbridge.domain.outcome import Accepted, Outcome
from logbridge.domain.query import LogQuery
from logbridge.entrypoints.http.schema import Health, LogRecord, QueryResult
from logbridge.entrypoints.http.stats import Stats
from logbridge.entrypoints.results import WriteResult as Written
from logbridge.http.answers import Answer, checked, convert, failure
from logbridge.http.batches import Answered, Batch
from logbridge.http.entries import Drafted, Lines, drafted
from logbridge.http.errors import ApiError, BridgeError, OutcomeUnknown, Unavailable
from logbridge.http.questions import parameters_of
from logbridge.http.requests import Ask, Requests
from logbridge.http.results import BatchResult, Page, StreamResult, WriteResult, batch_result
from logbridge.http.retrying import Attempts

T = TypeVar("T")


class Pause(Struct, frozen=True):
    """A step: wait so many seconds."""

    seconds: float


Reply = Answer | httpx.RequestError | None  # None after a pause
Work = Generator[httpx.Request | Pause, Reply, T]


class Steps(Generic[T]):
    """The steps of one call. step: the one to take now; None at the end, when ``value`` is the answer."""

    value: T

    def __init__(self, work: Work[T]) -> None:
        self._work = work
        self.step: httpx.Request | Pause | None = None
        self.take(None)

    def take(self, reply: Reply) -> None:
        """Go on, with what came of the step. Raises what the call raises."""
        try:
            self.step = self._work.send(reply)
        except StopIteration as end:
            self.value, self.step = end.value, None

    def close(self) -> None:
        """End it where it is."""
        self._work.close()


Pieces = Callable[[Lines], Iterator[bytes] | AsyncIterator[bytes]]


class Calls:
    """The calls of one client. retry_s, monotonic, jitter: as in Attempts."""

    def __init__(
        self,
        requests: Requests,
        retry_s: float,
        batch_entries_max: int,
        batch_bytes_max: int,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self.requests = requests
        self._retry_s = retry_s
        self._batch_entries_max = batch_entries_max
        self._batch_bytes_max = batch_bytes_max
        self._monotonic = monotonic
        self._jitter = jitter

    def attempts(self, log_ids: tuple[str, ...] = (), *, once: bool = False) -> Attempts:
        """The attempts of a request that begins now."""
        return Attempts(0.0 if once else self._retry_s, self._monotonic, self._jitter, log_ids)

    def checked(self, reply: Reply) -> Answer:
        """The answer that a reply is. Raises BridgeError if it is none, or a bad one."""
        if isinstance(reply, Answer):
            return checked(reply)
        assert reply is not None  # noqa: S101 (for the type checker: None answers a pause)
        raise failure(reply, self.requests.base_url) from reply

    def write(self, message: str, fields: Mapping[str, Any]) -> Work[WriteResult]:
        entry = drafted({**fields, "message": message})
        ask = Ask("POST", "write", body=entry.content, log_ids=(entry.log_id,))
        written, status = yield from self._answered(ask, Written)
        return WriteResult(True, written.log_id, status == 202)

    def write_batch(self, entries: Iterable[Mapping[str, Any]]) -> Work[BatchResult]:
        drafts, outcomes = _drafts(entries)
        ended_by = yield from self._send(drafts, outcomes)
        ordered = [outcomes[index] for index in range(len(outcomes))]
        if ended_by is not None and not any(isinstance(outcome, Accepted) for outcome in ordered):
            ended_by.log_ids = tuple(outcome.log_id for outcome in ordered)
            raise ended_by
        return batch_result(ordered)

    def write_once(self, entries: Sequence[Mapping[str, Any]]) -> Work[list[Outcome]]:
        """The outcome of each entry, without another attempt: who asks this tries again by itself."""
        drafts, outcomes = _drafts(entries)
        yield from self._send(drafts, outcomes, once=True)
        return [outcomes[index] for index in range(len(outcomes))]

    def _send(
        self, drafts: list[Drafted], outcomes: dict[int, Outcome], *, once: bool = False
    ) -> Work[BridgeError | None]:
        batch = Batch(drafts, self._batch_entries_max, self._batch_bytes_max)
        while batch.waiting:
            try:
                batch.answered(*(yield from self._answered(batch.ask(), Answered, once=once)))
            except BridgeError as error:
                batch.failed(error)
        outcomes.update(batch.outcomes)
        return batch.ended_by

    def stream(self, pieces: Pieces) -> Work[StreamResult]:
        attempts, lines = self.attempts(), Lines()
        while True:
            reply = yield self.requests.streamed(pieces(lines))
            try:
                return _stream_result(self.checked(reply))
            except BridgeError as error:
                if isinstance(error, ApiError) and error.problem.get("success_count"):
                    return convert(error, StreamResult)
                pause_s = _stream_again(attempts, lines, error)
            yield Pause(pause_s)

    def page(self, question: LogQuery) -> Work[Page]:
        found, _ = yield from self._answered(Ask("GET", "query", parameters_of(question)), QueryResult)
        return Page(found.logs, found.total_count, found.missing or ())

    def next_logs(self, place: Place) -> Work[list[LogRecord]]:
        """The logs of the next page that are new; it may have none, and yet not be the last."""
        page = yield from self.page(place.query())
        if page.missing:
            raise BridgeError(f"not all logs can be read now: {'; '.join(page.missing)}")
        return place.take(page.logs, page.total_count) or []

    def health(self) -> Work[Health]:
        try:
            health, _ = yield from self._answered(Ask("GET", "health"), Health, once=True)
        except Unavailable as error:
            if error.problem.get("status") != "unhealthy":
                raise
            return convert(error, Health)
        return health

    def stats(self, history_s: int) -> Work[Stats]:
        stats, _ = yield from self._answered(Ask("GET", "stats", {"history": str(history_s)}), Stats)
        return stats

    def _answered(self, ask: Ask, kind: type[T], *, once: bool = False) -> Work[tuple[T, int]]:
        """A good answer, and its status."""
        attempts = self.attempts(ask.log_ids, once=once)
        while True:
            request = self.requests.make(ask)
            reply = yield request
            try:
                answer = self.checked(reply)
                return answer.read(kind), answer.status
            except BridgeError as error:
                if isinstance(error, ApiError) and self.requests.takes_no_gzip(request, error.status):
                    continue
                pause_s = attempts.pause_s(error)
            yield Pause(pause_s)


def _drafts(entries: Iterable[Mapping[str, Any]]) -> tuple[list[Drafted], dict[int, Outcome]]:
    """What can be sent, and by index the outcomes of what cannot."""
    drafts: list[Drafted] = []
    outcomes: dict[int, Outcome] = {}
    for index, entry in enumerate(entries):
        try:
            drafts.append(drafted(entry, index))
        except InvalidEntry as error:
            outcomes[index] = entry_outcome.Refused("", str(error))
    return drafts, outcomes


def _stream_result(answer: Answer) -> StreamResult:
    return msgspec.structs.replace(answer.read(StreamResult), spooled=answer.status == 202)


def _stream_again(attempts: Attempts, lines: Lines, error: BridgeError) -> float:
    """Seconds until the stream may begin anew. Raises the error if the caller's entries were begun."""
    if not lines.begun:
        return attempts.pause_s(error)
    if error.may_be_written:
        raise OutcomeUnknown(f"some of the stream may have been written: {error}") from error
    raise error
