"""The metrics for Prometheus, all workers together, named by its conventions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from logbridge import __version__
from logbridge.domain.measures import Counts, Distribution, Waiting
from logbridge.entrypoints.board import Report
from logbridge.entrypoints.http.stats import oldest_age_s
from logbridge.entrypoints.settings import Settings
from logbridge.entrypoints.vitals import Look


def render(look: Look, settings: Settings, accept: str) -> tuple[bytes, str]:
    """The metrics as text, and its content type. accept: the Accept header of the request."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(look, settings))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Families(Collector):
    def __init__(self, look: Look, settings: Settings) -> None:
        self._look = look
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        return families(self._look, self._settings)


def families(look: Look, settings: Settings) -> Iterator[Metric]:
    """Every metric, with or without values yet."""
    counts = Counts()
    for report in look.reports:
        counts.add(report.counts)
    running = [report for report in look.reports if report.pid]
    yield from _requests(counts)
    yield from _logs(counts)
    yield from _upstream(counts, running)
    yield from _gauges(running, settings)
    if look.waiting is not None:
        yield from _spool(look.waiting, settings, look.now_s)
    yield InfoMetricFamily("logbridge_build", "Which logbridge this is.", {"version": __version__})
    started_s = min(report.started_s for report in look.reports)
    yield GaugeMetricFamily(
        "logbridge_start_time_seconds", "When the bridge started, in seconds since 1970.", started_s
    )


def _requests(counts: Counts) -> Iterator[Metric]:
    durations = HistogramMetricFamily(
        "logbridge_http_request_duration_seconds",
        "From a request's head to the beginning of its answer.",
        labels=("method", "route", "status"),
    )
    for (method, route, status), distribution in counts.requests.items():
        durations.add_metric((method, route, str(status)), *_buckets(distribution))
    yield durations
    yield _counter(
        "logbridge_http_refusals",
        "Answers to what was no request, or one connection too many.",
        "reason",
        counts.refusals,
    )


def _logs(counts: Counts) -> Iterator[Metric]:
    yield _counter("logbridge_logs", "Logs, by what became of them.", "outcome", counts.entries)
    yield _counter(
        "logbridge_logs_not_acknowledged", "Logs that were not acknowledged, by why.", "cause", counts.causes
    )
    yield CounterMetricFamily("logbridge_log_bytes", "Bytes of the text of logs that came.", counts.bytes)
    yield _histogram("logbridge_batch_logs", "Logs of each batch that a client sent.", counts.batches)


def _upstream(counts: Counts, running: Iterable[Report]) -> Iterator[Metric]:
    durations = HistogramMetricFamily(
        "logbridge_upstream_call_duration_seconds",
        "Each attempt to hand logs on to the log service.",
        labels=("outcome",),
    )
    for outcome, distribution in counts.calls.items():
        durations.add_metric((outcome,), *_buckets(distribution))
    yield durations
    yield _histogram(
        "logbridge_upstream_call_logs", "Logs that went together, coalesced or not.", counts.call_entries
    )
    yield CounterMetricFamily("logbridge_logs_retried", "Logs that were handed on again.", counts.retried)
    yield GaugeMetricFamily(
        "logbridge_upstream_away",
        "1 while the log service counts as away in any worker: writes fail at once.",
        int(any(report.away for report in running)),
    )


def _gauges(running: Sequence[Report], settings: Settings) -> Iterator[Metric]:
    gauges = (
        ("workers", "Processes that serve.", len(running)),
        ("http_connections", "Open connections.", sum(report.connections for report in running)),
        ("tails", "Clients that follow new logs.", sum(report.tails for report in running)),
        ("in_flight_logs", "Logs under way.", sum(report.in_flight_entries for report in running)),
        ("in_flight_logs_max", "The most that may be.", settings.max_concurrent_requests * len(running)),
        ("in_flight_bytes", "Bytes of logs under way.", sum(report.in_flight_bytes for report in running)),
        ("in_flight_bytes_max", "The most that may be.", settings.in_flight_bytes_max * len(running)),
    )
    for name, text, value in gauges:
        yield GaugeMetricFamily(f"logbridge_{name}", text, value)


def _spool(status: Waiting, settings: Settings, now_s: float) -> Iterator[Metric]:
    gauges = (
        ("logs", "Logs that wait in the spool.", status.entries),
        ("bytes", "Bytes of the spool.", status.bytes),
        ("bytes_max", "The most that it may have, of each worker.", settings.spool_bytes_max),
        ("oldest_age_seconds", "For how long the oldest log has waited.", oldest_age_s(status, now_s)),
        ("dead_letters", "Logs that the log service refused for good, kept here.", status.dead),
    )
    for name, text, value in gauges:
        yield GaugeMetricFamily(f"logbridge_spool_{name}", text, value)
    yield CounterMetricFamily("logbridge_spool_delivered", "Logs delivered from the spool.", status.delivered)
    yield CounterMetricFamily(
        "logbridge_spool_resent", "Logs sent again though they may have been written.", status.resent
    )


def _counter(name: str, text: str, label: str, numbers: Mapping[str, int]) -> Metric:
    counter = CounterMetricFamily(name, text, labels=(label,))
    for value, number in numbers.items():
        counter.add_metric((value,), number)
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
