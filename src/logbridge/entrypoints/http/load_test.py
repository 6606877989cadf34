"""The concurrent test over HTTP: one answer at its end, or events while it runs."""

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, Callable
from random import Random

import msgspec
from starlette.types import Receive, Scope, Send

from logbridge.domain.access import Scope as Right
from logbridge.domain.entry import split_path
from logbridge.domain.errors import InvalidRequest, LogbridgeError
from logbridge.domain.load_run import LoadTestPlan, LoadTestReport, run_load_test, sample_drafts, test_service
from logbridge.domain.policy import Asked
from logbridge.domain.service import LogBridge
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.decode import decode_json, read_json_body
from logbridge.entrypoints.http.endpoints import Plain, nothing_written
from logbridge.entrypoints.http.events import event, send_events, wants_events
from logbridge.entrypoints.http.lifecycle import ClientLeft, Interrupts, Lifecycle, cancel
from logbridge.entrypoints.http.problems import (
    Answer,
    RequestRejected,
    error_answer,
    fault,
    gravest_problem,
    ok,
)
from logbridge.entrypoints.http.schema import (
    ConcurrentTestRequest,
    LoadTestResult,
    load_test_progress,
    load_test_result,
    measured_load_test,
)
from logbridge.entrypoints.settings import Settings

_COUNT_DEFAULT = 10_000
_WORKERS_DEFAULT = 50
PROGRESS_EVERY_S = 0.1
# A test that hangs says so, too: its seconds go on.
_SILENCE_S_MAX = 1.0


class LoadTest:
    """The ASGI endpoint. Hanging up cancels the test, and so does a stop. now: gives the time as RFC 3339."""

    def __init__(
        self, bridge: LogBridge, gate: Gate, settings: Settings, lifecycle: Lifecycle, now: Callable[[], str]
    ) -> None:
        self._bridge = bridge
        self._gate = gate
        self._settings = settings
        self._lifecycle = lifecycle
        self._now = now
        self._plain = Plain(self._answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not wants_events(scope):
            await self._plain(scope, receive, send)
            return
        try:
            plan, services = await self._asked(scope, receive)
        except ClientLeft:
            return
        except LogbridgeError as error:
            await error_answer(error, lambda _: {}).send(send)
            return
        interrupts = Interrupts(self._lifecycle, receive)
        stopped = _problem_event(error_answer(RequestRejected(503, "the bridge is stopping"), lambda _: {}))
        try:
            await send_events(self._frames(scope, plan, services), interrupts, send, on_stop=stopped)
        finally:
            await interrupts.aclose()

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        plan, services = await self._asked(scope, receive)
        interrupts = Interrupts(self._lifecycle, receive)
        try:
            report = await interrupts.finish(self._run(services, LoadTestReport(plan)))
        finally:
            await interrupts.aclose()
        return _answer_of(report, load_test_result(report))

    async def _frames(
        self, scope: Scope, plan: LoadTestPlan, services: frozenset[str]
    ) -> AsyncGenerator[str, None]:
        report, began_s = LoadTestReport(plan), time.monotonic()
        running = asyncio.ensure_future(self._run(services, report))

        def progress() -> str:
            return event(load_test_progress(report, time.monotonic() - began_s), name="progress")

        try:
            yield progress()
            told, told_at_s = 0, time.monotonic()
            while not (await asyncio.wait((running,), timeout=PROGRESS_EVERY_S))[0]:
                if report.done_count != told or time.monotonic() - told_at_s >= _SILENCE_S_MAX:
                    told, told_at_s = report.done_count, time.monotonic()
                    yield progress()
            yield _result_event(scope, running)
        finally:
            await cancel(running)

    async def _asked(self, scope: Scope, receive: Receive) -> tuple[LoadTestPlan, frozenset[str]]:
        services = self._gate.admit(scope, Right.TEST).services
        name = test_service(self._settings.service_name)
        if services and name not in services:
            raise RequestRejected(
                403, f"a concurrent test writes as {name}, and this key is for {', '.join(sorted(services))}"
            )
        plan = self._plan(await read_json_body(scope, receive, self._settings.body_bytes_max))
        plan.check(self._bridge.limits)
        return plan, services

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

    async def _run(self, services: frozenset[str], report: LoadTestReport) -> LoadTestReport:
        write = functools.partial(self._bridge.write, asked=Asked(services=services))
        drafts = sample_drafts(
            self._settings.service_name,
            self._now,
            Random(),  # noqa: S311 (sample data, no secrets)
            "logbridge-http",
        )
        return await run_load_test(report, write, drafts, time.monotonic)


def _answer_of(report: LoadTestReport, result: LoadTestResult) -> Answer:
    if report.success_count:
        return ok(result)
    detail = f"{nothing_written(report.failures)}; {result.error_summary.sample_errors[0]}"
    return gravest_problem(report.failures, detail, result)


def _result_event(scope: Scope, running: "asyncio.Future[LoadTestReport]") -> str:
    try:
        report = running.result()
        answer = _answer_of(report, measured_load_test(report))
    except Exception as error:
        return _problem_event(fault(scope, error))
    return event(msgspec.Raw(answer.body), name="result" if answer.status == 200 else "problem")


def _problem_event(answer: Answer) -> str:
    return event(msgspec.Raw(answer.body), name="problem")
