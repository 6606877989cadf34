"""The concurrent test as events: progress, a result or a problem; and its plain answer as ever."""

import asyncio
import json
from typing import Any

import pytest

from logbridge.adapters.memory import MemorySink, fail, hang
from logbridge.domain.load_run import LATENCIES_S, LoadTestPlan, LoadTestReport
from logbridge.domain.outcome import Accepted
from logbridge.entrypoints.container import Container
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.lifecycle import Lifecycle
from logbridge.entrypoints.http.load_test import LoadTest
from logbridge.entrypoints.http.schema import measured_load_test
from logbridge.entrypoints.http.sessions import Sessions
from logbridge.entrypoints.rates import Rates
from logbridge.entrypoints.settings import Settings
from tests.unit.entrypoints.http.serving import API, FAST, serving

EVENTS = {"accept": "text/event-stream"}
PATIENT = Settings(request_timeout_s=300.0, attempt_timeout_s=300.0)


def events_of(text: str) -> list[tuple[str, Any]]:
    """Names and data of a whole stream."""
    events = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        events.append((fields["event"], json.loads(fields["data"])))
    return events


async def test_progress_comes_before_the_result() -> None:
    """The last event is the plain answer and what was measured; the ones before say how far it is."""
    plan = {"count": 300, "max_workers": 7}
    async with serving(MemorySink()) as client:
        answer = await client.post(f"{API}/concurrent-test", json=plan, headers=EVENTS)
        plain = (await client.post(f"{API}/concurrent-test", json=plan)).json()
    assert answer.headers["content-type"].startswith("text/event-stream")
    *progress, (name, result) = events_of(answer.text)
    assert [name for name, _ in progress] == ["progress"] * len(progress)
    assert progress
    assert list(progress[0][1]) == [
        "done", "total", "success_count", "failed_count", "duration_seconds", "logs_per_second",
    ]  # fmt: skip
    assert progress[0][1]["total"] == 300
    assert name == "result"
    assert list(result) == [*plain, "latency_ms", "latency_histogram", "throughput"]
    assert result["success_count"] == sum(bar["count"] for bar in result["latency_histogram"]) == 300
    assert sum(second["count"] for second in result["throughput"]) == 300
    latency = result["latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]


async def test_the_plain_answer_has_the_contracts_members_only() -> None:
    """Nothing that was measured gets into it."""
    async with serving(MemorySink()) as client:
        answer = (await client.post(f"{API}/concurrent-test", json={"count": 2})).json()
    assert list(answer) == [
        "success", "total_count", "success_count", "failed_count", "duration_seconds", "logs_per_second",
        "max_workers", "sample_results", "error_summary",
    ]  # fmt: skip


async def test_a_test_of_which_nothing_was_written_is_a_problem() -> None:
    """It carries the status that the plain answer would have had, and the report beside it."""
    async with serving(MemorySink([fail("full")] * 3)) as client:
        answer = await client.post(f"{API}/concurrent-test", json={"count": 3}, headers=EVENTS)
    name, problem = events_of(answer.text)[-1]
    assert (answer.status_code, name) == (200, "problem")
    assert (problem["status"], problem["failed_count"]) == (503, 3)
    assert "full" in problem["detail"]


@pytest.mark.parametrize(("body", "status"), [('{"count": 0}', 422), ('{"count": 10001}', 400), ("{", 400)])
async def test_a_wrong_plan_is_told_by_its_status(body: str, status: int) -> None:
    """What is wrong from the start begins no stream."""
    async with serving() as client:
        headers = EVENTS | {"content-type": "application/json"}
        answer = await client.post(f"{API}/concurrent-test", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


class Wire:
    """One request for events, read message by message; hang up with ``left.set()``."""

    def __init__(self, plan: Any) -> None:
        self.scope = {
            "type": "http", "method": "POST", "path": "/", "query_string": b"", "client": ("127.0.0.1", 1),
            "headers": [(b"host", b"localhost"), (b"accept", b"text/event-stream"),
                        (b"content-type", b"application/json")],
        }  # fmt: skip
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        self.left = asyncio.Event()
        self._body = [json.dumps(plan).encode()]

    async def receive(self) -> Any:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.sent.put(message)

    async def next(self) -> Any:
        return await asyncio.wait_for(self.sent.get(), 30)


def load_test_of(sink: MemorySink, lifecycle: Lifecycle) -> LoadTest:
    gate = Gate(PATIENT, None, Sessions(b""), Rates())
    bridge = Container(PATIENT, sink).bridge
    return LoadTest(bridge, gate, PATIENT, lifecycle, lambda: "2024-08-30T10:30:45Z")


async def test_a_stop_ends_it_with_a_problem() -> None:
    """The last event of a test that the stop cut off says so, and the answer ends."""
    lifecycle, wire = Lifecycle(), Wire({"count": 3})
    test = load_test_of(MemorySink([hang] * 3), lifecycle)
    task = asyncio.create_task(test(wire.scope, wire.receive, wire.send))
    assert (await wire.next())["status"] == 200
    assert (await wire.next())["body"].startswith(b"event: progress\n")
    await lifecycle.drain(0)
    await asyncio.wait_for(task, 30)
    last = await wire.next()
    while last.get("more_body"):
        last = await wire.next()
    ((name, problem),) = events_of(last["body"].decode())
    assert (name, problem["status"]) == ("problem", 503)
    assert "stopping" in problem["detail"]


async def test_hanging_up_cancels_it() -> None:
    """No write is begun after the client has left."""
    sink, wire = MemorySink([hang] * 2), Wire({"count": 100, "max_workers": 2})
    task = asyncio.create_task(load_test_of(sink, Lifecycle())(wire.scope, wire.receive, wire.send))
    await wire.next()
    await wire.next()
    wire.left.set()
    await asyncio.wait_for(task, 30)
    assert sink.entries == []


async def test_a_test_that_hangs_tells_that_time_goes_by() -> None:
    """Where no write has its answer, progress still comes, with more seconds."""
    wire = Wire({"count": 1})
    test = load_test_of(MemorySink([hang]), Lifecycle())
    task = asyncio.create_task(test(wire.scope, wire.receive, wire.send))
    await wire.next()
    first, second = [events_of((await wire.next())["body"].decode())[0] for _ in range(2)]
    wire.left.set()
    await asyncio.wait_for(task, 30)
    assert (first[1]["done"], second[1]["done"]) == (0, 0)
    assert second[1]["duration_seconds"] > first[1]["duration_seconds"]


def test_a_fault_is_a_problem_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected ends the stream with 500, and says nothing of its inside."""
    sink = MemorySink()

    async def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(sink, "write", broken)

    async def asked() -> str:
        async with serving(sink, FAST) as client:
            return (await client.post(f"{API}/concurrent-test", json={"count": 1}, headers=EVENTS)).text

    name, problem = events_of(asyncio.run(asked()))[-1]
    assert (name, problem["status"]) == ("problem", 500)
    assert "secret" not in json.dumps(problem)


def test_bars_and_percentiles() -> None:
    """Bars go from the fastest to the slowest write; beyond the last bound a bar ends with the slowest."""
    report = LoadTestReport(LoadTestPlan(4, 1))
    for took_s in (0.001, 0.0011, 0.0031, 500.0):
        report.add(Accepted("x"), took_s, 1.5)
    shown = measured_load_test(report)
    assert [(bar.le_ms, bar.count) for bar in shown.latency_histogram if bar.count] == [
        (1.0, 1), (1.25, 1), (3.2, 1), (500_000.0, 1),
    ]  # fmt: skip
    assert shown.latency_ms["max"] == 500_000.0
    assert shown.latency_ms["p50"] == 1.25
    assert len(shown.latency_histogram) <= len(LATENCIES_S) + 1
    assert [(each.second, each.count) for each in shown.throughput] == [(0, 0), (1, 4)]


def test_an_empty_report_has_no_bars() -> None:
    """Before the first answer there is nothing to divide by."""
    report = LoadTestReport(LoadTestPlan(1, 1))
    shown = measured_load_test(report)
    assert (shown.latency_histogram, shown.latency_ms["p99"], shown.logs_per_second) == ([], 0.0, 0.0)
