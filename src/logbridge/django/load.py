"""Generated logs, written through a synchronous client and counted as the concurrent test of REST does."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from random import Random
from typing import Any

import msgspec

from logbridge.domain.entry import EntryDraft, split_path
from logbridge.domain.errors import InvalidRequest
from logbridge.domain.load_run import LoadTestPlan, LoadTestReport, run_load_test, sample_drafts
from logbridge.domain.outcome import Accepted, Failed, Outcome
from logbridge.domain.policy import RequestLimits
from logbridge.entrypoints.clock import utc_now
from logbridge.entrypoints.http.decode import decode_json
from logbridge.entrypoints.http.schema import ConcurrentTestRequest, load_test_result
from logbridge.entrypoints.python.sync_client import LogServiceClient

_CLIENT_TYPE = "logbridge-django"
# As of the threads that send: what is logged in them is about sending (handlers/log_client.py).
_THREADS = "logbridge-load"


def plan_of(body: bytes, limits: RequestLimits, count: int, workers: int) -> LoadTestPlan:
    """What a request asks for; count and workers where it does not say, or the limit where that is lower.

    Raises NotJson, and InvalidRequest or LimitExceeded that names the field.
    """
    try:
        asked = msgspec.convert(decode_json(body or b"{}", InvalidRequest), ConcurrentTestRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequest(*split_path(str(error))) from None
    plan = LoadTestPlan(
        min(count, limits.test_writes_max) if asked.count is None else asked.count,
        min(workers, limits.test_workers_max) if asked.max_workers is None else asked.max_workers,
    )
    plan.check(limits)
    return plan


def run_batches(
    plan: LoadTestPlan, client: LogServiceClient, service_name: str, batch_entries_max: int
) -> LoadTestReport:
    """Write so many logs in batches, one after the other. A log took as long as its batch."""
    report = LoadTestReport(plan)
    entries = map(_as_dict, islice(_drafts(service_name), plan.count))
    started_s = time.monotonic()
    while batch := list(islice(entries, batch_entries_max)):
        began_s = time.monotonic()
        answer = client.batch_write_logs(batch)
        ended_s = time.monotonic()
        for result in answer["results"]:
            report.add(_outcome(result), ended_s - began_s, ended_s - started_s)
    return report


def run_single_writes(plan: LoadTestPlan, client: LogServiceClient, service_name: str) -> LoadTestReport:
    """Write so many logs, each a write of its own, in as many threads as the plan has workers."""

    async def run() -> LoadTestReport:
        loop = asyncio.get_running_loop()

        async def write(draft: EntryDraft) -> Outcome:
            return _outcome(await loop.run_in_executor(pool, partial(client.write_log, **_as_dict(draft))))

        return await run_load_test(LoadTestReport(plan), write, _drafts(service_name), time.monotonic)

    with ThreadPoolExecutor(plan.workers, thread_name_prefix=_THREADS) as pool:
        return asyncio.run(run())


def shown(report: LoadTestReport) -> dict[str, Any]:
    """A report as the concurrent test of REST answers it."""
    content: dict[str, Any] = msgspec.to_builtins(load_test_result(report))
    return content


def _drafts(service_name: str) -> Iterator[EntryDraft]:
    return sample_drafts(service_name, utc_now, Random(), _CLIENT_TYPE)  # noqa: S311 (sample data, no secrets)


def _as_dict(draft: EntryDraft) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(draft.fields)
    return fields | draft.unknown


def _outcome(result: Mapping[str, Any]) -> Outcome:
    """What an answer says of one log; why it failed is only told in words."""
    if result["success"]:
        return Accepted(result["log_id"])
    return Failed(result["log_id"], result["error_message"])
