"""check: the two test tools of the field, over HTTP and over the Python surface."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Any

import httpx
from cyclopts import App, Parameter
from httpx_sse import aconnect_sse
from msgspec import Struct
from rich.progress import Progress
from rich.text import Text

from logbridge.entrypoints.commands import bridge, terminal
from logbridge.entrypoints.commands.ending import CommandFailed, Exit
from logbridge.entrypoints.commands.options import BridgeAddress
from logbridge.entrypoints.python.client import AsyncLogServiceClient

_SERVICE = "logbridge-check"

check = App(
    name="check",
    group="Look and test",
    help="Test a running bridge, or the way to the log service without one.",
)

Answer = dict[str, Any]
# Told how many writes have had their answer since it was told last.
Tick = Callable[[int], None]


class Step(Struct, frozen=True):
    """One check. writes: answers it waits for. run: gives a line for people, or raises CheckFailed."""

    name: str
    writes: int
    run: Callable[[Tick], Awaitable[str]]


class CheckFailed(CommandFailed):
    """A check that did not pass: why."""


class Checked(Struct, frozen=True):
    """What came of one check; duration_s in seconds."""

    name: str
    passed: bool
    detail: str
    duration_s: float


@check.command
def http(
    *,
    full: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    address: BridgeAddress | None = None,
) -> Exit:
    """Test a running bridge: health, a write, a batch of 50, a concurrent test of 500, 200 requests at once.

    Example: logbridge check http --url http://127.0.0.1:8001 --full

    Parameters
    ----------
    full
        Add a concurrent test of 10,000.
    json
        Print the results as JSON.
    """
    return _report("check http", asyncio.run(_check_http(bridge.url_of(address), full)), as_json=json)


@check.command
def direct(*, address: str | None = None, json: Annotated[bool, Parameter(negative=())] = False) -> Exit:
    """Test the Python surface without HTTP: one write, 1,000 at once, a batch of 500, 5,000 at once.

    Example: logbridge check direct --address localhost:50051

    Parameters
    ----------
    address
        host:port of the log service; without it the one that the settings name.
    json
        Print the results as JSON.
    """
    return _report("check direct", asyncio.run(_check_direct(address)), as_json=json)


async def _check_http(url: str, full: bool) -> list[Checked]:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            httpx.AsyncClient(**bridge.client_options(url, timeout_s=300.0), limits=limits)
        )
        with bridge.reaching(url):
            workers = _max_workers(bridge.body_of(await client.get(bridge.api_path("health"))))
        steps = [
            Step("health", 1, partial(_health, client)),
            Step("one write", 1, partial(_one_request, client)),
            Step("batch of 50", 1, partial(_batch_request, client, 50)),
            Step("concurrent test of 500", 500, partial(_concurrent_test, client, 500, workers)),
            Step("200 requests at once", 200, partial(_requests, client, 200)),
        ]
        if full:
            steps.append(
                Step("concurrent test of 10000", 10_000, partial(_concurrent_test, client, 10_000, workers))
            )
        return await _run(steps)


def _max_workers(health: Answer) -> int:
    info = health.get("service_info")
    workers = info.get("max_workers") if isinstance(info, dict) else None
    return min(50, workers) if isinstance(workers, int) and workers > 0 else 50


async def _check_direct(address: str | None) -> list[Checked]:
    client = AsyncLogServiceClient(address)
    try:
        return await _run(
            [
                Step("one write", 1, partial(_writes, client, 1)),
                Step("1000 writes at once", 1000, partial(_writes, client, 1000)),
                Step("batch of 500", 1, partial(_batch_direct, client, 500)),
                Step("5000 writes at once", 5000, partial(_writes, client, 5000)),
            ]
        )
    finally:
        await client.aclose()


async def _run(steps: Sequence[Step]) -> list[Checked]:
    with terminal.progress_bar() as progress:
        return [await _run_step(step, progress) for step in steps]


async def _run_step(step: Step, progress: Progress) -> Checked:
    task = progress.add_task(step.name, total=step.writes)
    started_s = time.monotonic()
    try:
        detail = await step.run(partial(progress.advance, task))
        passed = True
    except CommandFailed as error:
        detail, passed = str(error), False
    except httpx.TransportError as error:
        detail, passed = f"no answer: {error or type(error).__name__}", False
    progress.update(task, completed=step.writes)
    return Checked(step.name, passed, detail, round(time.monotonic() - started_s, 3))


def _report(title: str, results: Sequence[Checked], *, as_json: bool) -> Exit:
    failed = sum(not result.passed for result in results)
    if as_json:
        terminal.json_line({"passed": len(results) - failed, "failed": failed, "checks": results})
    else:
        terminal.table(title, ["Check", "Result", "Seconds", "Detail"], [_row(result) for result in results])
        terminal.line(f"{len(results) - failed} passed, {failed} failed")
    return Exit.FAILED if failed else Exit.FINE


def _row(result: Checked) -> list[str | Text]:
    verdict = Text("passed", style="green") if result.passed else Text("failed", style="bold red")
    return [result.name, verdict, f"{result.duration_s:.2f}", result.detail]


async def _health(client: httpx.AsyncClient, tick: Tick) -> str:
    response = await client.get(bridge.api_path("health"))
    body = bridge.body_of(response)
    _demand(response.status_code == 200, str(body.get("detail") or body.get("status")))
    tick(1)
    info = body.get("service_info")
    return f"log service at {info.get('grpc_server')}" if isinstance(info, dict) else "healthy"


async def _post(client: httpx.AsyncClient, name: str, body: Answer) -> Answer:
    response = await client.post(bridge.api_path(name), json=body)
    answer = bridge.body_of(response)
    _demand(response.status_code in (200, 202), bridge.reason_of(answer, response.status_code))
    return answer


async def _one_request(client: httpx.AsyncClient, tick: Tick) -> str:
    answer = await _post(client, "write", _entry(0))
    _demand(answer["success"], str(answer["error_message"]))
    tick(1)
    return str(answer["log_id"])


async def _batch_request(client: httpx.AsyncClient, count: int, tick: Tick) -> str:
    answer = await _post(client, "batch", {"log_entries": [_entry(number) for number in range(count)]})
    tick(1)
    return _batch_detail(answer, count)


async def _concurrent_test(client: httpx.AsyncClient, count: int, workers: int, tick: Tick) -> str:
    answer = await _tested(client, {"count": count, "max_workers": workers}, tick)
    errors = "; ".join(map(str, answer["error_summary"]["sample_errors"][:1]))
    _demand(answer["success_count"] == count, f"{answer['failed_count']} of {count} failed: {errors}")
    latency = answer.get("latency_ms")
    told = f", p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms" if latency else ""
    return f"{answer['logs_per_second']:.0f} logs a second{told}"


async def _tested(client: httpx.AsyncClient, plan: Answer, tick: Tick) -> Answer:
    """The result of a concurrent test, which tells meanwhile how far it is."""
    done = 0
    async with aconnect_sse(client, "POST", bridge.api_path("concurrent-test"), json=plan) as source:
        response = source.response
        if response.headers.get("content-type", "").partition(";")[0] != "text/event-stream":
            # A refusal; or a bridge that has no events yet.
            await response.aread()
            body = bridge.body_of(response)
            _demand(response.status_code == 200, bridge.reason_of(body, response.status_code))
            return body
        async for event in source.aiter_sse():
            answer = dict[str, Any](event.json())
            if event.event == "progress":
                tick(answer["done"] - done)
                done = answer["done"]
                continue
            _demand(event.event == "result", bridge.reason_of(answer, answer.get("status", 500)))
            return answer
    raise CheckFailed("the bridge ended the test without a result")


async def _requests(client: httpx.AsyncClient, count: int, tick: Tick) -> str:
    async def one(number: int) -> Answer:
        return await _post(client, "write", _entry(number))

    return await _at_once([one(number) for number in range(count)], tick)


async def _writes(client: AsyncLogServiceClient, count: int, tick: Tick) -> str:
    return await _at_once([client.write_log(**_entry(number)) for number in range(count)], tick)


async def _batch_direct(client: AsyncLogServiceClient, count: int, tick: Tick) -> str:
    answer = await client.batch_write_logs([_entry(number) for number in range(count)])
    tick(1)
    return _batch_detail(answer, count)


def _batch_detail(answer: Answer, count: int) -> str:
    errors = answer["errors"]
    _demand(answer["success_count"] == count, f"{answer['error_count']} of {count} failed: {errors[:1]}")
    return f"{count} accepted"


async def _at_once(writes: Sequence[Coroutine[Any, Any, Answer]], tick: Tick) -> str:
    started_s = time.monotonic()
    reasons = [reason for reason in await asyncio.gather(*(_reason(one, tick) for one in writes)) if reason]
    _demand(not reasons, f"{len(reasons)} of {len(writes)} failed: {reasons[:1]}")
    return f"{len(writes) / max(time.monotonic() - started_s, 1e-9):.0f} logs a second"


async def _reason(write: Coroutine[Any, Any, Answer], tick: Tick) -> str:
    """Why a write failed, empty if it did not."""
    try:
        answer = await write
    except CommandFailed as error:
        return str(error)
    except httpx.TransportError as error:
        return str(error) or type(error).__name__
    finally:
        tick(1)
    return "" if answer["success"] else str(answer["error_message"])


def _demand(holds: object, reason: str) -> None:
    if not holds:
        raise CheckFailed(reason)


def _entry(number: int) -> Answer:
    return {
        "message": f"logbridge check {number}",
        "service_name": _SERVICE,
        "level": "INFO",
        "trace_id": f"check-trace-{number:06}",
        "adv_id": 1_000_000 + number,
        "monitor_type": "impression",
    }
