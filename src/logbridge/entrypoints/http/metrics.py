"""The metrics for Prometheus, all workers together, named by its conventions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition
from prometheus_client.registry import Collector

from logbridge import __version__
from logbridge.domain.measures import OUTCOMES, SECONDS, Counts, Distribution, Waiting
from logbridge.domain.outcome import Cause
from logbridge.entrypoints.board import Report
from logbridge.entrypoints.http.meter import Refusal
from logbridge.entrypoints.http.stats import oldest_age_s, spool_bytes_max
from logbridge.entrypoints.settings import Settings
from logbridge.entrypoints.vitals import Look

PLAIN = CONTENT_TYPE_PLAIN_0_0_4
OPEN_METRICS = exposition.CONTENT_TYPE_LATEST
_OPEN_METRICS_TYPE = "application/openmetrics-text"
# An attempt that is spooled is none: the spool is on this side of it.
_CALL_OUTCOMES = tuple(outcome for outcome in OUTCOMES if outcome != "spooled")


def render(look: Look, settings: Settings, accept: str) -> tuple[bytes, str]:
    """The metrics as text, and its media type. accept: the Accept header of the request."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(look, settings))
    if _accepts_open_metrics(accept):
        text: bytes = exposition.generate_latest(registry)  # type: ignore[no-untyped-call]  # it has no types
        return text, OPEN_METRICS
    return generate_latest(registry), PLAIN


def _accepts_open_metrics(accept: str) -> bool:
    # Not prometheus-client's own choice: it fails at a version that is no number, and repeats others.
    for preference in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in preference.split(";"))
        if media_type == _OPEN_METRICS_TYPE:
            return not {"q=0", "q=0.0", "q=0.00", "q=0.000"} & set(parameters)
    return False


class _Families(Collector):
    def __init__(self, look: Look, settings: Settings) -> None:
        self._look = look
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        return families(self._look, self._settings)


def families(look: Look, settings: Settings) -> Iterator[Metric]:
    """Every metric; what can be known before it is counted is there from the start, as 0."""
    counts, running = look.seen.counts, look.seen.running
    yield from _requests(counts)
    yield from _logs(counts)
    yield from _upstream(counts, running)
    yield from _gauges(running, settings)
    if settings.spool_url:
        yield _gauge(
            "logbridge_spool_readable",
            "1 while the spool can be read; without it the other values of the spool are missing.",
            int(look.waiting is not None),
        )
    if look.waiting is not None:
        yield from _spool(look.waiting, settings, look)
    yield InfoMetricFamily("logbridge_build", "Which logbridge this is.", {"version": __version__})
    yield _gauge("logbridge_start_time_seconds", "When the bridge started, since 1970.", look.seen.started_s)


def _requests(counts: Counts) -> Iterator[Metric]:
    durations = HistogramMetricFamily(
        "logbridge_http_request_duration_seconds",
        "From a request's head to the beginning of its answer.",
        labels=("method", "route", "status"),
        unit="seconds",
    )
    for (method, route, status), distribution in sorted(counts.requests.items()):
        durations.add_metric((method, route, str(status)), *_buckets(distribution))
    yield durations
    yield _counters(
        "logbridge_http_refusals",
        "Requests and connections that were refused before they were logs, by why.",
        "reason",
        counts.refusals,
        Refusal,
    )


def _logs(counts: Counts) -> Iterator[Metric]:
    yield _counters("logbridge_logs", "Logs, by what became of them.", "outcome", counts.entries, OUTCOMES)
    yield _counters(
        "logbridge_logs_not_acknowledged",
        "Logs that were not acknowledged, by why.",
        "cause",
        counts.causes,
        (cause.value for cause in Cause),
    )
    yield _counter("logbridge_log_bytes", "Bytes of the text of logs that came.", counts.bytes)
    yield _histogram("logbridge_batch_logs", "Logs of each batch that a client sent.", counts.batches)


def _upstream(counts: Counts, running: Iterable[Report]) -> Iterator[Metric]:
    durations = HistogramMetricFamily(
        "logbridge_upstream_call_duration_seconds",
        "Each attempt to hand logs on to the log service, by what became of its last log.",
        labels=("outcome",),
        unit="seconds",
    )
    for outcome in _CALL_OUTCOMES:
        distribution = counts.calls.get(outcome) or Distribution.of(SECONDS)
        durations.add_metric((outcome,), *_buckets(distribution))
    yield durations
    yield _histogram(
        "logbridge_upstream_call_logs", "Logs that went together, coalesced or not.", counts.call_entries
    )
    yield _counter("logbridge_logs_retried", "Logs that were handed on again.", counts.retried)
    yield _gauge(
        "logbridge_upstream_away",
        "1 while the log service counts as away in any worker: writes fail at once.",
        int(any(report.away for report in running)),
    )
    yield _gauge(
        "logbridge_upstream_services",
        "Log services that are delivered to.",
        max((report.services for report in running), default=0),
    )
    yield _gauge(
        "logbridge_upstream_services_away",
        "Of these the most that count as away in any worker.",
        max((report.services_away for report in running), default=0),
    )


def _gauges(running: Sequence[Report], settings: Settings) -> Iterator[Metric]:
    workers = len(running)
    gauges = (
        ("workers", "Processes that serve.", workers),
        ("http_connections", "Open connections.", sum(report.connections for report in running)),
        ("tails", "Clients that follow new logs.", sum(report.tails for report in running)),
        ("in_flight_logs", "Logs under way.", sum(report.in_flight_entries for report in running)),
        ("in_flight_max_logs", "The most that may be.", settings.max_concurrent_requests * workers),
        ("in_flight_bytes", "Text of logs under way.", sum(report.in_flight_bytes for report in running)),
        ("in_flight_max_bytes", "The most that may be.", settings.in_flight_bytes_max * workers),
    )
    for name, text, value in gauges:
        yield _gauge(f"logbridge_{name}", text, value)


def _spool(status: Waiting, settings: Settings, look: Look) -> Iterator[Metric]:
    bytes_max = spool_bytes_max(look, settings)
    gauges = (
        ("logs", "Logs that wait in the spool.", status.entries),
        ("bytes", "Bytes of the spool.", status.bytes),
        ("max_bytes", "The most that it may have.", bytes_max),
        ("oldest_age_seconds", "How long the oldest log has waited.", oldest_age_s(status, look.now_s)),
        ("dead_letters", "Logs that the log service refused for good, kept here.", status.dead),
        ("damaged_files", "Files that were damaged and set aside.", status.damaged),
    )
    for name, text, value in gauges:
        yield _gauge(f"logbridge_spool_{name}", text, value)
    yield _counter("logbridge_spool_delivered_logs", "Logs delivered from the spool.", status.delivered)
    yield _counter(
        "logbridge_spool_resent_logs", "Logs sent again though they may have been written.", look.resent
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value, unit=_unit_of(name))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value, unit=_unit_of(name))


def _unit_of(name: str) -> str:
    unit = name.rpartition("_")[2]
    return unit if unit in ("seconds", "bytes") else ""


def _counters(
    name: str, text: str, label: str, numbers: Mapping[str, int], possible: Iterable[str]
) -> Metric:
    """possible: every value of the label."""
    counter = CounterMetricFamily(name, text, labels=(label,))
    for value in possible:
        counter.add_metric((str(value),), numbers.get(value, 0))
    return counter


def _histogram(name: str, text: str, distribution: Distribution) -> Metric:
    histogram = HistogramMetricFamily(name, text)
    histogram.add_metric((), *_buckets(distribution))
    return histogram


def _buckets(distribution: Distribution) -> tuple[list[tuple[str, float]], float]:
    """As prometheus-client wants them: each bucket with all that are below it, the last one without end."""
    buckets, seen = [], 0
    for bound, count in zip((*map(str, distribution.bounds), "+Inf"), distribution.counts, strict=True):
        seen += count
        buckets.append((bound, float(seen)))
    return buckets, distribution.total
