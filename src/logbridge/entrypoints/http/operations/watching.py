"""Operations that tell how the bridge is: statistics and metrics."""

from logbridge.domain.access import Scope as Right
from logbridge.entrypoints.http.endpoints import Plain
from logbridge.entrypoints.http.metrics import OPEN_METRICS, PLAIN
from logbridge.entrypoints.http.operation import STRANGERS, Operation, Parameter, Response, problems
from logbridge.entrypoints.http.stats import (
    Errors,
    FailureShown,
    InFlight,
    Latency,
    Performance,
    Point,
    SpoolShown,
    Stats,
    Upstream,
    Window,
)
from logbridge.entrypoints.pulse import HISTORY_S

_LATENCY = Latency(2.1, 4.8, 11.3)
_COUNTED = {"accepted": 5121, "spooled": 0, "refused": 3, "failed": 0, "unknown": 0}
_STATS = Stats(
    "logbridge", "0.1.0", "2024-08-30T10:30:45.123456+00:00", "2024-08-30T10:00:00.000000+00:00", 1845.1, 1,
    Performance(
        [Window(1, 512.0, 512.0, 0.0, 498.0, 66560.0, _LATENCY)],
        InFlight(12, 10000, 1560, 67108864), 40, 1, _COUNTED, 5130, 1.0,
        [Point(1725013844, 512, 0, 0, 0, 0, 498, _LATENCY)],
    ),
    Errors(
        3, {"invalid": 3}, {"422": 3}, {},
        [FailureShown(
            "2024-08-30T10:30:40.000000+00:00", "refused", "invalid",
            "$.message: Expected `str` of length >= 1", "shop", 3,
        )],
    ),
    Upstream("grpc://localhost:50051", "available", {"accepted": 640}, _LATENCY, 8.0, 0),
    SpoolShown(0, 0, 1073741824, 0.0, 0, 0, 0),
)  # fmt: skip
_HISTORY = Parameter(
    "history",
    "Seconds of the past to show, one point each.",
    {"type": "integer", "minimum": 0, "maximum": HISTORY_S, "default": 0},
)


def watching(prefix: str) -> tuple[Operation, ...]:
    """The operations that watch."""
    return (
        Operation(
            "stats", "GET", f"{prefix}/stats", "How the bridge is: rates, latencies, failures, spool",
            lambda parts: parts.stats,
            {200: Response("All workers together.", (Stats,), _STATS), **problems(401, 403, 422, 429)},
            "With Accept: text/event-stream an event like it each second, whose history is the last second. "
            "Failures of other services than a key's own are not shown to it. " + STRANGERS,
            parameters=(_HISTORY,),
            right=Right.READ,
        ),
        Operation(
            "metrics", "GET", "/metrics", "The metrics for Prometheus",
            lambda parts: Plain(parts.metrics.show),
            {
                200: Response("All workers together.", (str,), "logbridge_upstream_away 0.0\n", PLAIN),
                **problems(401, 403, 422, 429),
            },
            "In the text format of Prometheus; where application/openmetrics-text is accepted as "
            f"{OPEN_METRICS}. {STRANGERS}",
            right=Right.READ,
        ),
    )  # fmt: skip
