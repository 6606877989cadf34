"""The metrics for Prometheus: its conventions, both formats, and no more series than can be told before."""

import math
import re
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from logbridge.domain.measures import OUTCOMES, SECONDS, Counts, Measures
from logbridge.domain.outcome import Cause
from logbridge.entrypoints.http.meter import METHODS, Refusal, RequestMeter
from logbridge.entrypoints.http.metrics import OPEN_METRICS, PLAIN, families, render
from logbridge.entrypoints.settings import Settings
from tests.unit.entrypoints.http.looks import NOW_S, WAITING, look, report

SETTINGS = Settings()
WITH_SPOOL = replace(SETTINGS, spool="sqlite:///spool")
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
)


def samples(metrics: Iterable[Metric]) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for metric in metrics
        for sample in metric.samples
    }


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/plain;version=0.0.4", PLAIN),
        ("text/plain;version=nonsense", PLAIN),
        ("application/json", PLAIN),
        (PROMETHEUS, OPEN_METRICS),
        ("Application/OpenMetrics-Text", OPEN_METRICS),
        ("application/openmetrics-text; version=x.y", OPEN_METRICS),
        ("application/openmetrics-text;q=0, text/plain", PLAIN),
    ],
)
def test_the_format_is_what_is_accepted(accept: str, media_type: str) -> None:
    """OpenMetrics for whoever accepts it, else the text format; a strange header is no error."""
    body, shown = render(look(waiting=WAITING), WITH_SPOOL, accept)
    assert shown == media_type
    assert body.endswith(b"# EOF\n") == (media_type == OPEN_METRICS)


@given(st.text())
def test_no_header_breaks_it(accept: str) -> None:
    """Whatever a client accepts, it has an answer in one of two formats."""
    assert render(look(), SETTINGS, accept)[1] in (PLAIN, OPEN_METRICS)


def test_both_formats_say_the_same() -> None:
    """Read by prometheus-client's own strict parsers, both give what was counted."""
    seen = look(waiting=WAITING)
    plain = samples(parse_plain(render(seen, WITH_SPOOL, "")[0].decode()))
    opened = samples(parse_open(render(seen, WITH_SPOOL, PROMETHEUS)[0].decode()))
    assert plain == opened == samples(families(seen, WITH_SPOOL))


def test_the_values_are_what_was_counted() -> None:
    """Counters, histograms and gauges of two workers, together."""
    found = samples(families(look(report(1), report(2), waiting=WAITING), WITH_SPOOL))
    write = ("200", "POST", "/api/v1/logs/write")
    wanted = {
        ("logbridge_http_request_duration_seconds_count", tuple(sorted(write))): 2,
        ("logbridge_http_request_duration_seconds_bucket", tuple(sorted((*write, "0.003")))): 0,
        ("logbridge_http_request_duration_seconds_bucket", tuple(sorted((*write, "0.005")))): 2,
        ("logbridge_http_request_duration_seconds_bucket", tuple(sorted((*write, "+Inf")))): 2,
        ("logbridge_http_refusals_total", ("unknown key",)): 2,
        ("logbridge_logs_total", ("failed",)): 2,
        ("logbridge_logs_not_acknowledged_total", ("unavailable",)): 2,
        ("logbridge_log_bytes_total", ()): 200,
        ("logbridge_batch_logs_sum", ()): 20,
        ("logbridge_upstream_call_duration_seconds_sum", ("accepted",)): 0.04,
        ("logbridge_upstream_call_logs_sum", ()): 4,
        ("logbridge_logs_retried_total", ()): 6,
        ("logbridge_workers", ()): 2,
        ("logbridge_in_flight_logs", ()): 8,
        ("logbridge_in_flight_max_logs", ()): 20_000,
        ("logbridge_spool_logs", ()): 5,
        ("logbridge_spool_oldest_age_seconds", ()): 10,
        ("logbridge_spool_dead_letters", ()): 2,
        ("logbridge_spool_delivered_logs_total", ()): 40,
        ("logbridge_start_time_seconds", ()): NOW_S - 100,
    }
    assert {name: found[name] for name in wanted} == wanted


def test_what_can_be_known_is_there_from_the_start() -> None:
    """A rate needs a 0 to begin with: every outcome, cause and reason has one."""
    found = samples(families(look(report(1, counts=Counts())), SETTINGS))
    assert {labels[0] for name, labels in found if name == "logbridge_logs_total"} == set(OUTCOMES)
    causes = {labels[0] for name, labels in found if name == "logbridge_logs_not_acknowledged_total"}
    assert causes == {cause.value for cause in Cause}
    assert {labels[0] for name, labels in found if name == "logbridge_http_refusals_total"} == set(Refusal)
    assert found[("logbridge_upstream_call_duration_seconds_count", ("failed",))] == 0


def test_a_spool_that_cannot_be_read_says_so() -> None:
    """Its values are missing rather than wrong, and one metric tells why; without a spool none is there."""
    unreadable = samples(families(look(), WITH_SPOOL))
    assert unreadable[("logbridge_spool_readable", ())] == 0
    assert ("logbridge_spool_logs", ()) not in unreadable
    assert samples(families(look(waiting=WAITING), WITH_SPOOL))[("logbridge_spool_readable", ())] == 1
    assert not [name for name, _ in samples(families(look(), SETTINGS)) if "spool_" in name]


def test_what_went_again_adds_up() -> None:
    """What the spool itself counted, and of a stream what each process did."""
    reports = [report(number, counts=Counts(resent=number)) for number in (1, 2)]
    found = samples(families(look(*reports, waiting=WAITING), WITH_SPOOL))
    assert found[("logbridge_spool_resent_logs_total", ())] == WAITING.resent + 3


def test_names_follow_the_conventions() -> None:
    """One prefix, snake case, base units at the end, counters with _total, help that is a sentence."""
    for metric in families(look(waiting=WAITING), WITH_SPOOL):
        assert re.fullmatch(r"logbridge_[a-z]+(_[a-z]+)*", metric.name)
        assert re.fullmatch(r"[A-Z0-9].*\.", metric.documentation)
        assert not re.search(r"milli|_ms|kilo|percent|minutes|_count$|_sum$|_bucket$", metric.name)
        assert metric.unit == (re.findall(r"(?<=_)(?:seconds|bytes)$", metric.name) or [""])[0]
        totals = {sample.name.endswith("_total") for sample in metric.samples}
        assert totals <= {metric.type == "counter"}
        assert {name for sample in metric.samples for name in sample.labels} <= {
            "method", "route", "status", "reason", "outcome", "cause", "le", "version",
        }  # fmt: skip


requests = st.tuples(st.text(), st.text(), st.sampled_from([200, 400, 404, 503]))


@settings(max_examples=30)
@given(st.lists(requests, max_size=200))
def test_series_are_bounded(made_up: list[tuple[str, str, int]]) -> None:
    """However many methods and paths callers invent, there are no more series than the routes allow."""
    measures = Measures()
    routes = ("/write", "/query")
    meter = RequestMeter(measures, routes)
    for method, path, status in made_up:
        meter.note({"method": method, "path": path}, status, 0.0, Refusal.INVALID)
    found = samples(families(look(report(1, counts=measures.counts)), SETTINGS))
    series = [name for name in found if name[0].startswith("logbridge_http_request")]
    assert len(series) <= (len(METHODS) + 1) * (len(routes) + 1) * 4 * (len(SECONDS) + 3)
    assert len(found) - len(series) == len(samples(families(look(), SETTINGS))) - 2 * (len(SECONDS) + 3)


def test_histograms_are_cumulative() -> None:
    """Each bucket has all that are below it, and the last one is the count."""
    for metric in families(look(), SETTINGS):
        if metric.type != "histogram":
            continue
        before, last = "", -math.inf
        for sample in metric.samples:
            series = str({name: value for name, value in sample.labels.items() if name != "le"})
            if sample.name.endswith("_bucket"):
                assert sample.value >= (last if series == before else 0)
                before, last = series, sample.value
            elif sample.name.endswith("_count"):
                assert (series, sample.value) == (before, last)
