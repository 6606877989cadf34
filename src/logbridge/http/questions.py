"""Questions about stored logs: their filters, and the place in their answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict

from logbridge.domain.entry import LogLevel


class Filters(TypedDict, total=False):
    """Which logs: all that are given must hold. q: text in the message. Times: RFC 3339, both included."""

    service_name: str
    level: str | LogLevel
    start_time: str | datetime
    end_time: str | datetime
    trace_id: str
    q: str
    metadata: Mapping[str, str]
