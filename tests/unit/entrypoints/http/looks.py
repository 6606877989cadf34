"""Looks at a bridge that has something to tell."""

from typing import Any

from logbridge.domain.measures import SECONDS, Measures, Waiting
from logbridge.domain.outcome import Accepted, Cause, Failed, Refused
from logbridge.entrypoints.board import Report, Seen
from logbridge.entrypoints.http.meter import Refusal
from logbridge.entrypoints.pulse import Second
from logbridge.entrypoints.vitals import Look

NOW_S = 1_725_013_845.5
WAITING = Waiting(5, 600, "2024-08-30T10:30:35.5+00:00", 2, 40, 1, 3)


def counted() -> Measures:
    """One of each thing that is counted."""
    measures = Measures(lambda: NOW_S)
    measures.request("POST", "/api/v1/logs/write", 200, 0.004)
    measures.request("POST", "/api/v1/logs/write", 422, 0.001)
    measures.refusal(Refusal.UNKNOWN_KEY)
    measures.outcome(Accepted("a"), "shop")
    measures.outcome(Accepted("a", spooled=True), "shop")
    measures.outcome(Refused("a", "why", Cause.INVALID), "shop")
    measures.outcome(Failed("a", "away"), "pay")
    measures.call([Accepted("a"), Accepted("b")], 0.02)
    measures.retry(3)
    measures.counts.batches.observe(10)
    measures.counts.bytes += 100
    return measures


def second(at_s: int, count: int) -> Second:
    """A second with so many accepted logs, each a request of 2 to 3 ms with 10 bytes."""
    latencies = [0] * (len(SECONDS) + 1)
    latencies[SECONDS.index(0.003)] = count
    return Second(at_s, [count, 0, 0, 0, 0], count, 10 * count, latencies)


def report(pid: int, **changes: Any) -> Report:
    """Of a worker that started 100 seconds ago."""
    measures = counted()
    fields: dict[str, Any] = {
        "started_s": NOW_S - 100,
        "counts": measures.counts,
        "failures": measures.failures,
        "history": [second(int(NOW_S) - ago, 10) for ago in (3, 2, 1)],
        "in_flight_entries": 4,
        "in_flight_bytes": 40,
        "connections": 2,
        "tails": 1,
    }
    return Report(pid=pid, **fields | changes)


def look(*reports: Report, waiting: Waiting | None = None) -> Look:
    """What these workers tell."""
    return Look(Seen(list(reports) or [report(1)]), waiting, NOW_S, int(NOW_S))
