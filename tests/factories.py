"""Entries and deadlines for tests: valid ones, of which a test changes only what it is about."""

import os
import time
from typing import Any
from uuid import uuid4

from logbridge.domain.entry import LogEntry, LogLevel
from logbridge.domain.ports import Deadline


def make_entry(**changes: Any) -> LogEntry:
    """A valid entry with an id of its own; ``changes`` replace its fields."""
    fields: dict[str, Any] = {
        "id": uuid4().hex,
        "service_name": "test-service",
        "level": LogLevel.INFO,
        "message": "async test log",
        "timestamp": "2024-08-30T10:30:45.123456Z",
        "metadata": {"user_id": "user123"},
        "trace_id": "trace-001",
        "span_id": "span-001",
    }
    return LogEntry(**fields | changes)


def soon(seconds: float = 60) -> Deadline:
    """A deadline so many seconds from now."""
    return Deadline(time.monotonic() + seconds)


def coalesces() -> bool:
    """Whether the bridges of this test coalesce: the fixture each_way says no for one of its two ways."""
    return os.environ.get("LOGBRIDGE_COALESCE") != "false"
