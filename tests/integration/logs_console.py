"""The console's search and live tail in a browser: the logs that their tests share."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.integration.processes import Bridge, bridge, free_port, log_service
from tests.integration.served import API

BATCH = 1000
LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")
SERVICES = ("shop", "pay", "api")
BULK = 2400
# The newest of the bulk; each one after it is a second older.
BASE = datetime(2024, 8, 30, 10, 0, tzinfo=UTC)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOSTILE = "user \x1b[31mroot\x1b[0m \u202egnp.exe <img src=x onerror=alert(1)>\u200b\x00 done"
# What it looks like.
HARMLESS = "user ␛[31mroot␛[0m U+202Egnp.exe <img src=x onerror=alert(1)>U+200B␀ done"
LONG = "payment failed\n" + "  at shop.pay (line 1)\n" * 40 + "the end"


def stored_logs() -> list[dict[str, Any]]:
    """As many logs as make several pages, a trace, and some that are hard to show."""
    bulk = [
        {
            "message": f"order {number} placed",
            "level": LEVELS[number % 5],
            "service_name": SERVICES[number % 3],
            "timestamp": (BASE - timedelta(seconds=number)).isoformat(),
            "metadata": {"region": ("eu", "cn")[number % 2], "lane": str(number % 4)},
        }
        for number in range(BULK)
    ]
    return bulk + _trace() + _hard_to_show()


def _trace() -> list[dict[str, Any]]:
    steps = [
        (0, "gateway", "span-a", "request received"),
        (2_500, "shop", "span-b", "cart loaded"),
        (4_000, "pay", "span-c", "card charged"),
        (1_200_000, "pay", "span-c", "receipt printed"),
        (1_300_000, "shop", "span-b", "cart closed"),
        (61_000_000, "gateway", "span-a", "request answered"),
    ]
    return [
        {
            "message": message,
            "service_name": service,
            "span_id": span,
            "trace_id": TRACE,
            "timestamp": (datetime(2024, 8, 1, tzinfo=UTC) + timedelta(microseconds=offset_us)).isoformat(),
        }
        for offset_us, service, span, message in steps
    ]


def _hard_to_show() -> list[dict[str, Any]]:
    rows = [(HOSTILE, "WARN"), (LONG, "ERROR"), ("订单已支付 🎉 👨‍👩‍👧", "INFO")]
    return [
        {
            "message": message,
            "level": level,
            "service_name": "hostile",
            "timestamp": (datetime(2024, 7, 1, tzinfo=UTC) + timedelta(seconds=second)).isoformat(),
            "metadata": {"<b>key</b>": "\u2066isolated\u2069"},
        }
        for second, (message, level) in enumerate(rows)
    ]


def write_all(running: Bridge, logs: list[dict[str, Any]]) -> None:
    """Store logs, in batches."""
    for start in range(0, len(logs), BATCH):
        answer = running.client.post(f"{API}/batch", json={"log_entries": logs[start : start + BATCH]})
        assert answer.json()["success_count"] == len(logs[start : start + BATCH]), answer.text


@contextlib.contextmanager
def bridge_with_store(folder: Path, **variables: str) -> Iterator[Bridge]:
    """A bridge that lets everybody read, and its log service."""
    port = free_port()
    settings = {"LOGBRIDGE_OPEN": "read", **variables}
    with log_service(folder, port), bridge(folder, f"grpc://127.0.0.1:{port}", **settings) as running:
        yield running
