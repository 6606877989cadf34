"""The concurrent test of the REST contract: realistic logs, each a write of its own, some at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from random import Random

from msgspec import Struct, field

from logbridge.domain.entry import EntryDraft, EntryFields, LogLevel
from logbridge.domain.errors import InvalidRequest, LimitExceeded
from logbridge.domain.measures import Distribution
from logbridge.domain.outcome import Accepted, Outcome
from logbridge.domain.policy import RequestLimits

SAMPLES_MAX = 10
# An hour: of what a longer test does after it, only the counts are kept.
THROUGHPUT_SECONDS_MAX = 3600
# Ten upper ends for each power of ten, from a tenth of a millisecond to 100 seconds.
LATENCIES_S = (
    *(
        float(f"{first}e{power}")
        for power in range(-4, 2)
        for first in ("1", "1.25", "1.6", "2", "2.5", "3.2", "4", "5", "6.3", "8")
    ),
    100.0,
)
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


def _latencies() -> Distribution:
    return Distribution.of(LATENCIES_S)


class LoadTestReport(Struct):
    """What came of a test so far: counts, seconds, and the first few outcomes and failures.

    latencies: seconds of each write. latency_max_s: of the slowest one. throughput: writes that ended in each
    second of the test, of its first hour.
    """

    plan: LoadTestPlan
    success_count: int = 0
    duration_s: float = 0.0
    samples: list[Outcome] = []
    failures: list[Outcome] = []
    done_count: int = 0
    latencies: Distribution = field(default_factory=_latencies)
    latency_max_s: float = 0.0
    throughput: list[int] = []

    @property
    def failed_count(self) -> int:
        return self.done_count - self.success_count

    def add(self, outcome: Outcome, took_s: float, at_s: float) -> None:
        """Count one outcome, and keep it if there are few yet. at_s: seconds since the test began."""
        self.done_count += 1
        self.duration_s = at_s
        self.latencies.observe(took_s)
        self.latency_max_s = max(self.latency_max_s, took_s)
        second = int(at_s)
        if second < THROUGHPUT_SECONDS_MAX:
            self.throughput += [0] * (second + 1 - len(self.throughput))
            self.throughput[second] += 1
        if len(self.samples) < SAMPLES_MAX:
            self.samples.append(outcome)
        if isinstance(outcome, Accepted):
            self.success_count += 1
        elif len(self.failures) < SAMPLES_MAX:
            self.failures.append(outcome)


async def run_load_test(
    report: LoadTestReport,
    write: Callable[[EntryDraft], Awaitable[Outcome]],
    drafts: Iterator[EntryDraft],
    monotonic: Callable[[], float],
) -> LoadTestReport:
    """Write as many drafts as the plan of the report says, and count in it what comes of each; gives it back.

    It can be looked at meanwhile. Cancelling stops every worker; writes in flight are then unknown.
    """
    started_s = monotonic()
    numbered = iter(range(report.plan.count))

    async def worker() -> None:
        for _ in numbered:
            began_s = monotonic()
            outcome = await write(next(drafts))
            ended_s = monotonic()
            report.add(outcome, ended_s - began_s, ended_s - started_s)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(report.plan.workers, report.plan.count)):
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
