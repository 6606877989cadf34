import asyncio
from itertools import islice
from random import Random

import pytest

from logbridge.domain.entry import EntryDraft
from logbridge.domain.errors import InvalidRequest, LimitExceeded
from logbridge.domain.load_run import SAMPLES_MAX, LoadTestPlan, run_load_test, sample_drafts
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
    progress: list[int] = []
    report = await run_load_test(
        LoadTestPlan(100, 7),
        write,
        drafts(),
        lambda: float(next(ticks)),
        lambda r: progress.append(r.done_count),
    )
    assert len(seen) == len(set(seen)) == 100
    assert most == 7
    assert (report.success_count, report.failed_count, report.duration_s) == (75, 25, 100.0)
    assert len(report.samples) == len(report.failures) == SAMPLES_MAX
    assert progress == list(range(1, 101))


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
