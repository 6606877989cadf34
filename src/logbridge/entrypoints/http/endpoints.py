"""What each operation does: a request in, an Answer out; plain ASGI, no request or response objects."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.types import Receive, Scope, Send

from logbridge.domain.access import Scope as Right
from logbridge.domain.entry import EntryDraft
from logbridge.domain.errors import InvalidEntry, LogbridgeError
from logbridge.domain.outcome import Accepted, Outcome, Unknown
from logbridge.domain.policy import Asked
from logbridge.domain.service import LogBridge, refused
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.decode import (
    decode_batch,
    decode_entry,
    read_json_body,
)
from logbridge.entrypoints.http.lifecycle import ClientLeft
from logbridge.entrypoints.http.parameters import read_asked, read_histogram, read_query
from logbridge.entrypoints.http.problems import (
    Answer,
    error_answer,
    fault,
    gravest_problem,
    ok,
    outcome_problem,
)
from logbridge.entrypoints.http.schema import (
    Health,
    HistogramResult,
    QueryResult,
    histogram_result,
    query_result,
    service_info,
)
from logbridge.entrypoints.results import MAYBE_WRITTEN, BatchResult, WriteResult, batch_result, write_result
from logbridge.entrypoints.settings import Settings


class Plain:
    """An ASGI endpoint around a function; what it raises on purpose becomes a problem.

    beside: the members that stand beside a problem's own, for its detail.
    """

    def __init__(
        self,
        answer: Callable[[Scope, Receive], Awaitable[Answer]],
        beside: Callable[[str], Any] = lambda _: {},
    ) -> None:
        self._answer = answer
        self._beside = beside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except ClientLeft:
            return
        except LogbridgeError as error:
            answer = error_answer(error, self._beside)
        except Exception as error:
            answer = fault(scope, error)
        await answer.send(send, scope.get("extensions", ()))


def failed_write(detail: str) -> WriteResult:
    """The members of a write that could not even be read."""
    return WriteResult(False, "", detail)


def failed_batch(detail: str) -> BatchResult:
    """The members of a batch of which nothing could be read."""
    return BatchResult(0, 0, 0, [detail], [])


def failed_query(detail: str) -> QueryResult:
    """The members of a query without an answer."""
    return QueryResult(False, [], 0, detail)


def failed_histogram(detail: str) -> HistogramResult:
    """The members of a histogram without an answer."""
    return HistogramResult(False, "", "", 0.0, [], 0, detail)


class Endpoints:
    """The operations of one bridge. gate: lets callers in. now: gives the time as RFC 3339."""

    def __init__(self, bridge: LogBridge, gate: Gate, settings: Settings, now: Callable[[], str]) -> None:
        self._bridge = bridge
        self._gate = gate
        self._settings = settings
        self._body_bytes_max = settings.body_bytes_max
        self._now = now

    async def write(self, scope: Scope, receive: Receive) -> Answer:
        asked = read_asked(scope, self._gate.admit(scope, Right.WRITE).services)
        # The body has no name here: it would stay in memory for as long as the write is under way.
        draft = self._decoded(await read_json_body(scope, receive, self._body_bytes_max))
        outcome = await self._bridge.write(draft, asked)
        result = write_result(outcome)
        if not isinstance(outcome, Accepted):
            return outcome_problem(outcome, result)
        if outcome.spooled:
            return ok(result, 202, applied(asked))
        return ok(result)

    def _decoded(self, body: bytes) -> EntryDraft:
        try:
            return decode_entry(body)
        except InvalidEntry as error:
            self._bridge.measures.outcome(refused(error), "")
            raise

    async def batch(self, scope: Scope, receive: Receive) -> Answer:
        asked = read_asked(scope, self._gate.admit(scope, Right.WRITE).services)
        body = await read_json_body(scope, receive, self._body_bytes_max)
        drafts = decode_batch(body, self._bridge.check_batch_size)
        outcomes = await self._bridge.write_batch(drafts, asked)
        result = batch_result(outcomes)
        if result.success_count:
            spooled = any(isinstance(outcome, Accepted) and outcome.spooled for outcome in outcomes)
            return ok(result, 202, applied(asked)) if spooled else ok(result)
        return gravest_problem(outcomes, f"{nothing_written(outcomes)}; {result.errors[0]}", result)

    async def health(self, scope: Scope, _receive: Receive) -> Answer:
        self._gate.count(scope)
        health = await self._bridge.health()
        body = Health(
            status="healthy" if health.reachable else "unhealthy",
            timestamp=self._now(),
            grpc_connection=health.reachable,
            service_info=service_info(self._settings),
            detail=health.detail,
        )
        return ok(body, 200 if health.reachable else 503)

    async def query(self, scope: Scope, _receive: Receive) -> Answer:
        caller = self._gate.admit(scope, Right.READ)
        return ok(query_result(await self._bridge.query(read_query(scope), caller.services)))

    async def histogram(self, scope: Scope, _receive: Receive) -> Answer:
        caller = self._gate.admit(scope, Right.READ)
        return ok(histogram_result(await self._bridge.histogram(read_histogram(scope), caller.services)))


def applied(asked: Asked) -> dict[str, str]:
    """The headers of an answer to a write that is on the disk here (RFC 7240, section 3)."""
    return {"Preference-Applied": "respond-async"} if asked.durable else {}


def nothing_written(outcomes: Iterable[Outcome]) -> str:
    """What to say where none of the outcomes is an acceptance."""
    if any(isinstance(outcome, Unknown) for outcome in outcomes):
        return MAYBE_WRITTEN
    return "nothing was written"
