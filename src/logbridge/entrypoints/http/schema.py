"""What requests and answers look like: these types check, encode and describe them, all three."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from logbridge import __version__
from logbridge.domain.entry import EntryFields, LogEntry, LogLevel
from logbridge.domain.load_run import LoadTestReport
from logbridge.domain.measures import quantile
from logbridge.domain.query import LogHistogram, LogPage
from logbridge.domain.timestamp import nearest_rfc3339
from logbridge.entrypoints.results import WriteResult, write_result
from logbridge.entrypoints.settings import Settings, sink_address

WRITE_EXAMPLE: dict[str, Any] = {
    "message": "async test log",
    "service_name": "test-service",
    "level": "INFO",
    "trace_id": "trace-001",
    "span_id": "span-001",
    "adv_id": 1234567,
    "aweme_id": 987654321,
    "plan_id": 12345,
    "monitor_type": "impression",
    "co_id": 5678,
    "metadata": {"user_id": "user123", "session_id": "session456"},
}
LEVEL_NAMES = (*LogLevel.__members__, "WARNING", "CRITICAL")


class WriteRequest(EntryFields):
    """One log. Any other name goes into metadata: nothing that is sent is dropped."""


class StrictWriteRequest(EntryFields, forbid_unknown_fields=True):
    """The common case, decoded in one pass: only names that the contract knows."""


class BatchRequest(Struct):
    """Several logs, written at once; a bad one fails by itself."""

    log_entries: Annotated[list[WriteRequest], Meta(min_length=1, description="1 to MAX_BATCH_SIZE logs.")]


class StrictBatchRequest(Struct, forbid_unknown_fields=True):
    """A batch of the common case, decoded in one pass."""

    log_entries: list[StrictWriteRequest]


class ConcurrentTestRequest(Struct):
    """How large a concurrent test to run. What is left out is the contract's 10,000 and 50, or the limit."""

    count: Annotated[
        int | None, Meta(description="Logs to write, 1 to MAX_CONCURRENT_REQUESTS.", examples=[500])
    ] = None
    max_workers: Annotated[
        int | None, Meta(description="Writes at once, 1 to MAX_CONCURRENT_WORKERS.", examples=[50])
    ] = None


class ErrorSummary(Struct, frozen=True):
    """Failures of a concurrent test, and the reasons of the first few."""

    total_errors: int
    sample_errors: list[str]


class LoadTestResult(Struct, frozen=True):
    """What came of a concurrent test."""

    success: Annotated[bool, Meta(description="True if any log was accepted.")]
    total_count: int
    success_count: int
    failed_count: int
    duration_seconds: float
    logs_per_second: float
    max_workers: int
    sample_results: Annotated[list[WriteResult], Meta(max_length=10)]
    error_summary: ErrorSummary


class LoadTestProgress(Struct, frozen=True):
    """How far a concurrent test is."""

    done: int
    total: int
    success_count: int
    failed_count: int
    duration_seconds: float
    logs_per_second: float


class LatencyBar(Struct, frozen=True):
    """Writes that took at most so many milliseconds, and longer than the bar before."""

    le_ms: float
    count: int


class Second(Struct, frozen=True):
    """Writes that ended in one second of a concurrent test, counted from 0."""

    second: int
    count: int


class MeasuredLoadTest(LoadTestResult, frozen=True):
    """What came of a concurrent test, with what each write took and how many ended in each second."""

    latency_ms: dict[str, float]
    latency_histogram: list[LatencyBar]
    throughput: list[Second]


class ServiceInfo(Struct, frozen=True):
    """Which bridge answers, and what it is set to."""

    name: str
    version: str
    grpc_server: Annotated[str, Meta(description="Where logs go.")]
    max_workers: int
    max_batch_size: int


class Health(Struct, frozen=True):
    """Whether logs can be written now."""

    status: Annotated[str, Meta(extra_json_schema={"enum": ["healthy", "unhealthy"]})]
    timestamp: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
    grpc_connection: bool
    service_info: ServiceInfo
    detail: Annotated[str, Meta(description="For people: which log service, and what is wrong.")]


class Probe(Struct, frozen=True):
    """The answer of a probe."""

    status: str


class LogRecord(Struct, frozen=True):
    """A stored log."""

    id: str
    service_name: str
    level: Annotated[str, Meta(extra_json_schema={"enum": list(LogLevel.__members__)})]
    message: str
    timestamp: str
    metadata: dict[str, str]
    trace_id: str
    span_id: str


# Not there where everything is in the answer, as with a single log service always.
Missing = Annotated[
    tuple[str, ...] | UnsetType,
    Meta(description="Of several log services those whose logs are not in the answer, each with the reason."),
]


class QueryResult(Struct, frozen=True):
    """One page of stored logs, newest first; total_count counts all that match."""

    success: bool
    logs: list[LogRecord]
    total_count: int
    error_message: str
    missing: Missing = UNSET


class HistogramBucket(Struct, frozen=True):
    """How many logs there are of each level in one stretch of time."""

    time: Annotated[str, Meta(description="When it begins, RFC 3339.")]
    DEBUG: int
    INFO: int
    WARN: int
    ERROR: int
    FATAL: int


class HistogramResult(Struct, frozen=True):
    """Counts over time, oldest first; total_count is the sum of all."""

    success: bool
    start_time: Annotated[str, Meta(description="As asked, or of the oldest log that matches; or empty.")]
    end_time: Annotated[str, Meta(description="As asked, or of the newest log that matches; or empty.")]
    bucket_seconds: float
    buckets: list[HistogramBucket]
    total_count: int
    error_message: str
    missing: Missing = UNSET


class Endpoint(Struct, frozen=True):
    """One thing that the bridge can be asked."""

    method: str
    path: str
    summary: str


class Root(Struct, frozen=True):
    """What this is, and where to go from here."""

    name: str
    version: str
    docs: str
    endpoints: list[Endpoint]


class Problem(Struct, frozen=True):
    """Why a request failed (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Meta(description="What is wrong, and what is allowed.")]
    request_id: Annotated[
        str | UnsetType,
        Meta(description="Of 5xx: the X-Request-ID; the log of the bridge has it."),
    ] = UNSET


def log_record(entry: LogEntry) -> LogRecord:
    """An entry as the contract shows it."""
    return LogRecord(
        entry.id,
        entry.service_name,
        entry.level.name,
        entry.message,
        entry.timestamp,
        entry.metadata,
        entry.trace_id,
        entry.span_id,
    )


def query_result(page: LogPage) -> QueryResult:
    """A page as the contract shows it."""
    logs = [log_record(entry) for entry in page.entries]
    return QueryResult(True, logs, page.total_count, "", page.missing or UNSET)


def histogram_result(found: LogHistogram) -> HistogramResult:
    """A histogram as the API shows it."""
    buckets = [
        HistogramBucket(nearest_rfc3339(found.first_us + number * found.bucket_us), *counts)
        for number, counts in enumerate(found.counts)
    ]
    start, end = ("" if us is None else nearest_rfc3339(us) for us in (found.start_us, found.end_us))
    seconds, missing = found.bucket_us / 1e6, found.missing or UNSET
    return HistogramResult(True, start, end, seconds, buckets, found.total_count, "", missing)


def load_test_result(report: LoadTestReport) -> LoadTestResult:
    """A report as the contract shows it."""
    return LoadTestResult(
        success=report.success_count > 0,
        total_count=report.plan.count,
        success_count=report.success_count,
        failed_count=report.failed_count,
        duration_seconds=round(report.duration_s, 6),
        logs_per_second=_per_second(report.done_count, report.duration_s),
        max_workers=report.plan.workers,
        sample_results=[write_result(outcome) for outcome in report.samples],
        error_summary=ErrorSummary(
            report.failed_count, [write_result(outcome).error_message for outcome in report.failures]
        ),
    )


def load_test_progress(report: LoadTestReport, duration_s: float) -> LoadTestProgress:
    """How far a test is, as the API shows it, so many seconds after its begin."""
    return LoadTestProgress(
        done=report.done_count,
        total=report.plan.count,
        success_count=report.success_count,
        failed_count=report.failed_count,
        duration_seconds=round(duration_s, 6),
        logs_per_second=_per_second(report.done_count, duration_s),
    )


def measured_load_test(report: LoadTestReport) -> MeasuredLoadTest:
    """A report with its latencies and its throughput."""
    return MeasuredLoadTest(
        **msgspec.structs.asdict(load_test_result(report)),
        latency_ms=_latency_ms(report),
        latency_histogram=_latency_bars(report),
        throughput=[Second(second, count) for second, count in enumerate(report.throughput)],
    )


def _latency_ms(report: LoadTestReport) -> dict[str, float]:
    seen, most_s = report.latencies, report.latency_max_s
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    # What is taken as even between two bounds can be no more than the slowest write.
    shown = {name: min(most_s, quantile(seen.bounds, seen.counts, share)) for name, share in shares.items()}
    return {name: round(1000 * value_s, 3) for name, value_s in (shown | {"max": most_s}).items()}


def _latency_bars(report: LoadTestReport) -> list[LatencyBar]:
    """From the first to the last that has a write; what lies beyond all bounds ends with the slowest one."""
    bounds_s = (*report.latencies.bounds, report.latency_max_s)
    bars = [
        LatencyBar(round(1000 * bound_s, 3), count)
        for bound_s, count in zip(bounds_s, report.latencies.counts, strict=True)
    ]
    filled = [number for number, bar in enumerate(bars) if bar.count]
    return bars[filled[0] : filled[-1] + 1] if filled else []


def _per_second(count: int, duration_s: float) -> float:
    return round(count / duration_s, 2) if duration_s else 0.0


class Session(Struct, frozen=True):
    """Who a caller is to the bridge."""

    keys: Annotated[bool, Meta(description="Whether this bridge asks for keys.")]
    name: Annotated[str, Meta(description="The name of the key; empty without one.")]
    scopes: Annotated[list[str], Meta(description="What you may do: write, read, test, admin.")]
    services: Annotated[list[str], Meta(description="Whose logs you may write and read; empty for any.")]


def service_info(settings: Settings) -> ServiceInfo:
    """Which bridge this is."""
    return ServiceInfo(
        name=settings.app_name,
        version=__version__,
        grpc_server=sink_address(settings.sink_url),
        max_workers=settings.max_concurrent_workers,
        max_batch_size=settings.max_batch_size,
    )


def level_pattern() -> str:
    """A regular expression for the names of levels in any letter case; JSON Schema has no flag for that."""
    names = ("".join(f"[{letter}{letter.lower()}]" for letter in name) for name in LEVEL_NAMES)
    return f"^({'|'.join(names)})$"
