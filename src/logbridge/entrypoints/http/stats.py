"""The statistics for people, as JSON: how fast, what failed and why, and where logs wait."""

from collections.abc import Collection, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from logbridge import __version__
from logbridge.domain.measures import FAILURES_MAX, SECONDS, Counts, Distribution, Waiting, quantile
from logbridge.domain.timestamp import epoch_us, rfc3339_utc
from logbridge.entrypoints.board import Report
from logbridge.entrypoints.pulse import Second, by_outcome, merged, window
from logbridge.entrypoints.settings import Settings
from logbridge.entrypoints.vitals import Look

WINDOWS_S = (1, 60, 300)


class Latency(Struct, frozen=True):
    """Milliseconds, estimated from a histogram; 0 where there was nothing to measure."""

    p50: float
    p90: float
    p99: float


class Window(Struct, frozen=True):
    """What came in the last so many seconds, per second; of a younger bridge, per second of its life."""

    seconds: int
    logs_per_second: Annotated[float, Meta(description="Of every outcome.")]
    acknowledged_per_second: Annotated[float, Meta(description="Answered 200, or 202 from the spool.")]
    not_acknowledged_per_second: float
    requests_per_second: float
    bytes_per_second: Annotated[float, Meta(description="Bytes of the text of logs.")]
    write_latency_ms: Latency


class Point(Struct, frozen=True):
    """One second of the past. time: seconds since 1970."""

    time: int
    accepted: int
    spooled: int
    refused: int
    failed: int
    unknown: int
    requests: int
    write_latency_ms: Latency


class InFlight(Struct, frozen=True):
    """What is under way now, and the most that may be, of all workers."""

    entries: int
    entries_max: int
    bytes: int
    bytes_max: int


class Performance(Struct, frozen=True):
    """How much comes in, and how fast it is answered."""

    windows: list[Window]
    in_flight: InFlight
    connections: int
    tails: Annotated[int, Meta(description="Clients that follow new logs.")]
    logs: Annotated[dict[str, int], Meta(description="Since the start, by outcome.")]
    requests: Annotated[int, Meta(description="Since the start.")]
    logs_per_batch: Annotated[float, Meta(description="Of the batches that clients sent, since the start.")]
    history: Annotated[list[Point], Meta(description="The last seconds, oldest first, as asked for.")]


class FailureShown(Struct, frozen=True):
    """Logs that came to the same end for the same reason. time: of the last one."""

    time: str
    outcome: str
    cause: str
    reason: str
    service_name: str
    count: int


class Errors(Struct, frozen=True):
    """What was not acknowledged, and why."""

    count: Annotated[int, Meta(description="Logs that were not acknowledged, since the start.")]
    by_cause: dict[str, int]
    requests_by_status: Annotated[dict[str, int], Meta(description="Requests answered with 4xx and 5xx.")]
    refusals: Annotated[
        dict[str, int], Meta(description="By why: requests and connections refused before they were logs.")
    ]
    last: Annotated[list[FailureShown], Meta(description=f"The newest first, at most {FAILURES_MAX} kinds.")]


class Upstream(Struct, frozen=True):
    """The log service, as the attempts to hand logs on show it."""

    address: str
    state: Annotated[
        str,
        Meta(
            description="away: several attempts in a row failed, and writes fail at once until one succeeds.",
            extra_json_schema={"enum": ["available", "away", "not asked yet"]},
        ),
    ]
    calls: Annotated[dict[str, int], Meta(description="Attempts since the start, by outcome.")]
    call_latency_ms: Annotated[Latency, Meta(description="Of all attempts since the start.")]
    logs_per_call: Annotated[float, Meta(description="How many logs went together, since the start.")]
    logs_sent_again: int
    services: Annotated[int, Meta(description="Log services that are delivered to.")] = 1
    services_away: Annotated[
        int, Meta(description="Of these the most that count as away in any worker; the others do the work.")
    ] = 0


class SpoolShown(Struct, frozen=True):
    """What waits on the disk of the bridge."""

    entries: int
    bytes: int
    bytes_max: Annotated[int, Meta(description="Of all workers together.")]
    oldest_age_seconds: float
    dead_letters: int
    delivered: int
    resent: Annotated[int, Meta(description="Sent again though they may have been written.")]


class Stats(Struct, frozen=True):
    """The bridge at work, all workers together."""

    name: str
    version: str
    time: str
    started_at: str
    uptime_seconds: float
    workers: int
    performance: Performance
    errors: Errors
    upstream: Upstream
    spool: Annotated[SpoolShown | None, Meta(description="null without a spool, or while it cannot be read.")]
    spool_unreadable: Annotated[
        bool, Meta(description="There is one that cannot be read; the bridge's own log says why.")
    ] = False


def make_stats(look: Look, settings: Settings, *, history_s: int, services: Collection[str] = ()) -> Stats:
    """The statistics of all workers together. services: whose failures may be shown, empty for any.

    history_s: how many of the last seconds are shown, one by one.
    """
    counts, running, started_s = look.seen.counts, look.seen.running, look.seen.started_s
    return Stats(
        name=settings.app_name,
        version=__version__,
        time=_time(look.now_s),
        started_at=_time(started_s),
        uptime_seconds=max(0.0, round(look.now_s - started_s, 3)),
        workers=len(running),
        performance=_performance(look, counts, settings, history_s),
        errors=_errors(running, counts, services),
        upstream=_upstream(running, counts, settings),
        spool=None if look.waiting is None else _spool(look, look.waiting, settings),
        spool_unreadable=bool(settings.spool_url) and look.waiting is None,
    )


def _performance(look: Look, counts: Counts, settings: Settings, history_s: int) -> Performance:
    running, until_s = look.seen.running, look.until_s
    lived_s = max(1, until_s - int(look.seen.started_s))
    seconds = [second for second in merged(report.history for report in running) if second.at_s < until_s]
    workers = len(running)
    return Performance(
        windows=[_window(window(seconds, until_s, length_s), length_s, lived_s) for length_s in WINDOWS_S],
        in_flight=InFlight(
            sum(report.in_flight_entries for report in running),
            settings.max_concurrent_requests * workers,
            sum(report.in_flight_bytes for report in running),
            settings.in_flight_bytes_max * workers,
        ),
        connections=sum(report.connections for report in running),
        tails=sum(report.tails for report in running),
        logs=counts.entries,
        requests=sum(distribution.count for distribution in counts.requests.values()),
        logs_per_batch=_mean(counts.batches),
        history=[_point(second) for second in seconds if second.at_s >= until_s - history_s],
    )


def _window(together: Second, length_s: int, lived_s: int) -> Window:
    # A bridge that is a minute old has no rate of five.
    counted_s = min(length_s, lived_s)
    logs = sum(together.entries)
    outcomes = by_outcome(together)
    acknowledged = outcomes["accepted"] + outcomes["spooled"]
    return Window(
        length_s,
        round(logs / counted_s, 2),
        round(acknowledged / counted_s, 2),
        round((logs - acknowledged) / counted_s, 2),
        round(together.requests / counted_s, 2),
        round(together.bytes / counted_s, 1),
        _latency(together.latencies),
    )


def _point(second: Second) -> Point:
    return Point(
        time=second.at_s,
        requests=second.requests,
        write_latency_ms=_latency(second.latencies),
        **by_outcome(second),
    )


def _latency(counts: Sequence[int]) -> Latency:
    return Latency(*(round(1000 * quantile(SECONDS, counts, share), 3) for share in (0.5, 0.9, 0.99)))


def _mean(distribution: Distribution) -> float:
    count = distribution.count
    return round(distribution.total / count, 2) if count else 0.0


def _errors(running: Sequence[Report], counts: Counts, services: Collection[str]) -> Errors:
    failures = [
        failure
        for report in running
        for failure in report.failures
        if not services or failure.service_name in services
    ]
    failures.sort(key=lambda failure: failure.last_s, reverse=True)
    by_status: dict[str, int] = {}
    for (_, _, status), distribution in sorted(counts.requests.items()):
        if status >= 400:
            by_status[str(status)] = by_status.get(str(status), 0) + distribution.count
    return Errors(
        count=sum(counts.causes.values()),
        by_cause=counts.causes,
        requests_by_status=by_status,
        refusals=counts.refusals,
        last=[
            FailureShown(
                _time(failure.last_s),
                failure.outcome,
                failure.cause,
                failure.reason,
                failure.service_name,
                failure.count,
            )
            for failure in failures[:FAILURES_MAX]
        ],
    )


def _upstream(running: Sequence[Report], counts: Counts, settings: Settings) -> Upstream:
    calls = Distribution.of(SECONDS)
    for distribution in counts.calls.values():
        calls.add(distribution)
    asked = calls.count > 0
    # One worker that cannot reach it is one too many.
    state = "away" if any(report.away for report in running) else "available" if asked else "not asked yet"
    return Upstream(
        address=settings.sink_url,
        state=state,
        calls={name: distribution.count for name, distribution in counts.calls.items()},
        call_latency_ms=_latency(calls.counts),
        logs_per_call=_mean(counts.call_entries),
        logs_sent_again=counts.retried,
        services=max(report.services for report in running),
        services_away=max(report.services_away for report in running),
    )


def _spool(look: Look, status: Waiting, settings: Settings) -> SpoolShown:
    return SpoolShown(
        entries=status.entries,
        bytes=status.bytes,
        bytes_max=spool_bytes_max(look, settings),
        oldest_age_seconds=oldest_age_s(status, look.now_s),
        dead_letters=status.dead,
        delivered=status.delivered,
        resent=look.resent,
    )


def spool_bytes_max(look: Look, settings: Settings) -> int:
    """The most that the spool may have: of a stream that all share once, else for each worker."""
    return settings.spool_bytes_max * (1 if settings.spool_is_shared else len(look.seen.running))


def oldest_age_s(status: Waiting, now_s: float) -> float:
    """For how long the oldest entry has waited, 0 without one."""
    return max(0.0, round(now_s - epoch_us(status.oldest) / 1e6, 3)) if status.oldest else 0.0


def _time(seconds: float) -> str:
    return rfc3339_utc(int(seconds * 1_000_000))
