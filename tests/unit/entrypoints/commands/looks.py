"""Made-up statistics of a bridge, as GET /stats answers them."""

from typing import Any

import msgspec

from logbridge.entrypoints.commands.top_feed import Watched, decoded

NEWEST_S = 1_725_013_845  # 2024-08-30T10:30:45Z
_LATENCY = {"p50": 1.25, "p90": 4.5, "p99": 98.7}
HOSTILE = "\x1b[31m\x1b]0;owned\x07\r\n\x9b2J\u202eevil [bold]markup[/bold]"


def stats(**changed: Any) -> dict[str, Any]:
    """The JSON of a busy bridge. changed: values by their names with two underscores: errors__last=[]."""
    made: dict[str, Any] = {
        "name": "logbridge", "version": "0.1.0", "time": "2024-08-30T10:30:46.000123+00:00",
        "started_at": "2024-08-30T07:25:46.000000+00:00", "uptime_seconds": 11_100.0, "workers": 2,
        "performance": {
            "windows": [window(1, 1234.0), window(60, 1100.0), window(300, 980.5)],
            "in_flight": {"entries": 120, "entries_max": 1000, "bytes": 65_000_000, "bytes_max": 67_108_864},
            "connections": 7, "tails": 2,
            "logs": {"accepted": 90_000, "spooled": 0, "refused": 12, "failed": 3, "unknown": 1},
            "requests": 45_000, "logs_per_batch": 20.5,
            "history": [point(NEWEST_S - age, accepted=age) for age in range(300)],
        },
        "errors": {
            "count": 16, "by_cause": {"invalid": 12, "upstream": 4},
            "requests_by_status": {"400": 2, "422": 10, "503": 3},
            "refusals": {"too many": 4},
            "last": [failure(f"reason {number}") for number in range(50)],
        },
        "upstream": {
            "address": "grpc://localhost:50051", "state": "available",
            "calls": {"accepted": 4000, "unknown": 1}, "call_latency_ms": _LATENCY,
            "logs_per_call": 22.5, "logs_sent_again": 8, "services": 1, "services_away": 0,
        },
        "spool": None,
        "spool_unreadable": False,
    }  # fmt: skip
    for path, value in changed.items():
        *parents, name = path.split("__")
        place = made
        for parent in parents:
            place = place[parent]
        place[name] = value
    return made


SPOOL = {
    "entries": 12_345, "bytes": 5_000_000, "bytes_max": 1_073_741_824, "oldest_age_seconds": 75.0,
    "dead_letters": 2, "delivered": 800, "resent": 3,
}  # fmt: skip


def window(seconds: int, logs: float) -> dict[str, Any]:
    return {
        "seconds": seconds, "logs_per_second": logs, "acknowledged_per_second": logs - 4,
        "not_acknowledged_per_second": 4.0, "requests_per_second": logs / 2, "bytes_per_second": logs * 100,
        "write_latency_ms": _LATENCY,
    }  # fmt: skip


def point(time: int, **counts: int) -> dict[str, Any]:
    """A second of the history."""
    outcomes = dict.fromkeys(("accepted", "spooled", "refused", "failed", "unknown"), 0)
    return {"time": time, **outcomes, "requests": 1, "write_latency_ms": _LATENCY, **counts}


def failure(reason: str, service_name: str = "shop", outcome: str = "refused") -> dict[str, Any]:
    return {
        "time": "2024-08-30T10:30:44.000000+00:00", "outcome": outcome, "cause": "invalid",
        "reason": reason, "service_name": service_name, "count": 12,
    }  # fmt: skip


def watched(**changed: Any) -> Watched:
    """What is known of such a bridge."""
    return Watched(decoded(msgspec.json.encode(stats(**changed))))
