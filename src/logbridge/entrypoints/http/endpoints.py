"""What each operation does: a request in, an Answer out; plain ASGI, no request or response objects."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from random import Random
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from logbridge.domain.access import Scope as Right
from logbridge.domain.entry import EntryDraft, split_path
from logbridge.domain.errors import InvalidEntry, InvalidRequest, LogbridgeError
from logbridge.domain.load_run import LoadTestPlan, LoadTestReport, run_load_test, sample_drafts, test_service
from logbridge.domain.outcome import Accepted, Outcome, Unknown
from logbridge.domain.policy import Asked
from logbridge.domain.service import LogBridge, refused
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.decode import (
    ClientLeft,
    decode_batch,
    decode_entry,
    decode_json,
    read_json_body,
)
from logbridge.entrypoints.http.lifecycle import Interrupts, Lifecycle, cancel
from logbridge.entrypoints.http.parameters import read_asked, read_query
from logbridge.entrypoints.http.problems import (
    Answer,
    RequestRejected,
    error_answer,
    fault,
    gravest_problem,
    ok,
    outcome_problem,
)
from logbridge.entrypoints.http.schema import (
    ConcurrentTestRequest,
    Health,
    Probe,
    QueryResult,
    load_test_result,
    query_result,
    service_info,
)
from logbridge.entrypoints.results import BatchResult, WriteResult, batch_result, write_result
from logbridge.entrypoints.settings import Settings

_COUNT_DEFAULT = 10_000
_WORKERS_DEFAULT = 50


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


class Endpoints:
    """The operations of one bridge. gate: lets callers in. now: gives the time as RFC 3339."""

    def __init__(
        self, bridge: LogBridge, gate: Gate, settings: Settings, lifecycle: Lifecycle, now: Callable[[], str]
    ) -> None:
        self._bridge = bridge
        self._gate = gate
        self._settings = settings
        self._body_bytes_max = settings.body_bytes_max
        self._lifecycle = lifecycle
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
            return ok(result, 202, _applied(asked))
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
            return ok(result, 202, _applied(asked)) if spooled else ok(result)
        return gravest_problem(outcomes, f"{_nothing(outcomes)}; {result.errors[0]}", result)

    async def concurrent_test(self, scope: Scope, receive: Receive) -> Answer:
        services = self._gate.admit(scope, Right.TEST).services
        self._check_may_test(services)
        body = await read_json_body(scope, receive, self._body_bytes_max)
        plan = self._plan(body)
        plan.check(self._bridge.limits)
        report = await self._run(plan, receive, services)
        result = load_test_result(report)
        if report.success_count:
            return ok(result)
        detail = f"{_nothing(report.failures)}; {result.error_summary.sample_errors[0]}"
        return gravest_problem(report.failures, detail, result)

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

    async def livez(self, _scope: Scope, _receive: Receive) -> Answer:
        return ok(Probe("alive"))

    async def readyz(self, _scope: Scope, _receive: Receive) -> Answer:
        if not self._lifecycle.ready:
            raise RequestRejected(503, "the bridge is starting or stopping")
        health = await self._bridge.readiness()
        if not health.reachable:
            raise RequestRejected(503, health.detail)
        return ok(Probe("ready"))

    def _check_may_test(self, services: frozenset[str]) -> None:
        name = test_service(self._settings.service_name)
        if services and name not in services:
            raise RequestRejected(
                403, f"a concurrent test writes as {name}, and this key is for {', '.join(sorted(services))}"
            )

    def _plan(self, body: bytes) -> LoadTestPlan:
        try:
            asked = msgspec.convert(decode_json(body, InvalidRequest), ConcurrentTestRequest)
        except msgspec.ValidationError as error:
            raise InvalidRequest(*split_path(str(error))) from None
        limits = self._bridge.limits
        count, workers = asked.count, asked.max_workers
        return LoadTestPlan(
            min(_COUNT_DEFAULT, limits.test_writes_max) if count is None else count,
            min(_WORKERS_DEFAULT, limits.test_workers_max) if workers is None else workers,
        )

    async def _run(self, plan: LoadTestPlan, receive: Receive, services: frozenset[str]) -> LoadTestReport:
        write = functools.partial(self._bridge.write, asked=Asked(services=services))
        running = asyncio.ensure_future(run_load_test(plan, write, self._drafts(), time.monotonic))
        interrupts = Interrupts(self._lifecycle, receive)
        try:
            if await interrupts.wait_for(running):
                return running.result()
            if interrupts.left.done():
                raise ClientLeft
            raise RequestRejected(503, "the bridge is stopping, and the test with it")
        finally:
            await cancel(running)
            await interrupts.aclose()

    def _drafts(self) -> Iterator[EntryDraft]:
        return sample_drafts(
            self._settings.service_name,
            self._now,
            Random(),  # noqa: S311 (sample data, no secrets)
            "logbridge-http",
        )


def _applied(asked: Asked) -> dict[str, str]:
    return {"Preference-Applied": "respond-async"} if asked.durable else {}


def _nothing(outcomes: Iterable[Outcome]) -> str:
    if any(isinstance(outcome, Unknown) for outcome in outcomes):
        return "nothing was acknowledged, some of it may have been written"
    return "nothing was written"
