import asyncio
from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.domain.entry import EntryDraft
from logbridge.domain.errors import InvalidRequest, LimitExceeded
from logbridge.domain.load_run import (
    LATENCIES_S,
    SAMPLES_MAX,
    THROUGHPUT_SECONDS_MAX,
    LoadTestPlan,
    LoadTestReport,
    run_load_test,
    sample_drafts,
)
from logbridge.domain.outcome import Accepted, Failed, Outcome
from logbridge.domain.policy import RequestLimits


def drafts():
    return sample_drafts("shop", lambda: "2024-08-30T10:30:45Z", Random(7), "test")


async def test_every_log_is_a_write_of_its_own_and_workers_are_bounded() -> None:
    """count writes are made, each once, never more at a time than workers, and all workers are used."""
    at_once = 0
    most = 0
    seen: list[str] = []

    async def write(draft: EntryDraft) -> Outcome:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        seen.append(draft.fields.trace_id or "")
        return Accepted("x") if len(seen) % 4 else Failed("x", "away")

    ticks = iter(range(1000))
    report = LoadTestReport(LoadTestPlan(100, 7))
    assert await run_load_test(report, write, drafts(), lambda: float(next(ticks))) is report
    assert len(seen) == len(set(seen)) == 100
    assert most == 7
    # Two looks at the clock for each write, and one before them all.
    assert (report.success_count, report.failed_count, report.duration_s) == (75, 25, 200.0)
    assert len(report.samples) == len(report.failures) == SAMPLES_MAX
    assert report.latencies.count == sum(report.throughput) == 100


async def test_cancelling_stops_every_worker() -> None:
    """A test that is cancelled begins no further write, and what it counted can still be read."""
    begun, hanging = 0, asyncio.Event()

    async def write(_: EntryDraft) -> Outcome:
        nonlocal begun
        begun += 1
        if begun == 17:
            hanging.set()
        if begun > 10:
            await asyncio.Event().wait()
        return Accepted("x")

    report = LoadTestReport(LoadTestPlan(100, 7))
    running = asyncio.ensure_future(run_load_test(report, write, drafts(), lambda: 0.0))
    await asyncio.wait_for(hanging.wait(), 30)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert (begun, report.done_count) == (17, 10)


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 2 * THROUGHPUT_SECONDS_MAX)), max_size=50))
def test_what_is_measured_is_bounded(writes: list[tuple[float, float]]) -> None:
    """Every latency is counted, every second of the first hour too, and no list grows with the writes."""
    report = LoadTestReport(LoadTestPlan(100, 7))
    for took_s, at_s in writes:
        report.add(Accepted("x"), took_s, at_s)
    assert report.latencies.count == len(writes)
    assert report.latency_max_s == max((took_s for took_s, _ in writes), default=0.0)
    assert sum(report.throughput) == sum(at_s < THROUGHPUT_SECONDS_MAX for _, at_s in writes)
    assert len(report.throughput) <= THROUGHPUT_SECONDS_MAX
    assert len(report.latencies.counts) == len(LATENCIES_S) + 1


def test_generated_logs() -> None:
    """Generated logs have the shape that the contract names, numbered, in every level."""
    some = list(islice(drafts(), 200))
    assert some[12].fields.trace_id == "shop-trace-000012"
    assert some[12].fields.span_id == "shop-span-000012"
    assert some[0].fields.service_name == "shop-concurrent-test"
    assert {draft.fields.level for draft in some} == {"DEBUG", "INFO", "WARN", "ERROR", "FATAL"}
    assert all(draft.unknown == {"client_type": "test"} for draft in some)


@pytest.mark.parametrize(
    ("plan", "error", "text"),
    [
        (LoadTestPlan(0, 1), InvalidRequest, "count"),
        (LoadTestPlan(1, 0), InvalidRequest, "max_workers"),
        (LoadTestPlan(10_001, 1), LimitExceeded, "MAX_CONCURRENT_REQUESTS=10000"),
        (LoadTestPlan(1, 51), LimitExceeded, "MAX_CONCURRENT_WORKERS=50"),
    ],
)
def test_limits(plan: LoadTestPlan, error: type[Exception], text: str) -> None:
    """Too little is invalid; too much names the setting and its value."""
    with pytest.raises(error, match=text):
        plan.check(RequestLimits())
    LoadTestPlan(1, 1).check(RequestLimits())
