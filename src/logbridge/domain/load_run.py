"""The concurrent test of the REST contract: realistic logs, each a write of its own, some at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from random import Random

from msgspec import Struct

from logbridge.domain.entry import EntryDraft, EntryFields, LogLevel
from logbridge.domain.errors import InvalidRequest, LimitExceeded
from logbridge.domain.outcome import Accepted, Outcome
from logbridge.domain.policy import RequestLimits

SAMPLES_MAX = 10
_MONITOR_TYPES = ("impression", "click", "conversion", "view")


class LoadTestPlan(Struct, frozen=True):
    """count: writes in all. workers: writes at once."""

    count: int
    workers: int

    def check(self, limits: RequestLimits) -> None:
        """Raises InvalidRequest for less than one, LimitExceeded for more than the limits allow."""
        checks = (
            ("count", self.count, "MAX_CONCURRENT_REQUESTS", limits.test_writes_max),
            ("max_workers", self.workers, "MAX_CONCURRENT_WORKERS", limits.test_workers_max),
        )
        for name, asked, setting, maximum in checks:
            if asked < 1:
                raise InvalidRequest(f"$.{name}", f"expected 1 or more, got {asked}")
            if asked > maximum:
                raise LimitExceeded(f"$.{name}", setting, asked, maximum)


class LoadTestReport(Struct):
    """What came of a test so far: counts, seconds, and the first few outcomes and failures."""

    plan: LoadTestPlan
    success_count: int = 0
    duration_s: float = 0.0
    samples: list[Outcome] = []
    failures: list[Outcome] = []
    done_count: int = 0

    @property
    def failed_count(self) -> int:
        return self.done_count - self.success_count

    def add(self, outcome: Outcome) -> None:
        """Count one outcome, and keep it if there are few yet."""
        self.done_count += 1
        if len(self.samples) < SAMPLES_MAX:
            self.samples.append(outcome)
        if isinstance(outcome, Accepted):
            self.success_count += 1
        elif len(self.failures) < SAMPLES_MAX:
            self.failures.append(outcome)


async def run_load_test(
    plan: LoadTestPlan,
    write: Callable[[EntryDraft], Awaitable[Outcome]],
    drafts: Iterator[EntryDraft],
    monotonic: Callable[[], float],
    on_progress: Callable[[LoadTestReport], None] = lambda _: None,
) -> LoadTestReport:
    """Write ``plan.count`` drafts, at most ``plan.workers`` at a time, and report what came of each.

    Cancelling it stops every worker; writes in flight are then unknown.
    """
    report = LoadTestReport(plan)
    started_s = monotonic()
    numbered = iter(range(plan.count))

    async def worker() -> None:
        for _ in numbered:
            report.add(await write(next(drafts)))
            report.duration_s = monotonic() - started_s
            on_progress(report)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(plan.workers, plan.count)):
            group.create_task(worker())
    return report


def test_service(service_name: str) -> str:
    """The service that generated logs are of."""
    return f"{service_name}-concurrent-test"


def sample_drafts(
    service_name: str, now: Callable[[], str], random: Random, client_type: str
) -> Iterator[EntryDraft]:
    """Generated logs of the contract's shape, without end; the traces count from 000000."""
    levels = tuple(LogLevel.__members__)
    # Not randint() and choice(): fair to the last bit, they would be a tenth of the price of a write.
    draw = random.random
    number = 0
    while True:
        monitor_type = _MONITOR_TYPES[int(draw() * len(_MONITOR_TYPES))]
        fields = EntryFields(
            message=f"concurrent test log {number}: {monitor_type} handled",
            service_name=test_service(service_name),
            level=levels[int(draw() * len(levels))],
            trace_id=f"{service_name}-trace-{number:06}",
            span_id=f"{service_name}-span-{number:06}",
            adv_id=1_000_000 + int(draw() * 9_000_000),
            aweme_id=100_000_000 + int(draw() * 900_000_000),
            plan_id=10_000 + int(draw() * 90_000),
            monitor_type=monitor_type,
            co_id=1_000 + int(draw() * 9_000),
            timestamp=now(),
        )
        yield EntryDraft(fields, {"client_type": client_type})
        number += 1
