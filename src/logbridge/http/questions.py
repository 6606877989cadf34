"""Questions about stored logs: their filters, and the parameters that ask for them."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict

from logbridge.domain.entry import LogLevel
from logbridge.domain.errors import InvalidRequest
from logbridge.domain.query import LogFilter, LogQuery
from logbridge.domain.timestamp import rfc3339


class Filters(TypedDict, total=False):
    """Which logs: all that are given must hold.

    level: a name or a LogLevel. start_time, end_time: RFC 3339, or a datetime (a naive one is local time), both
    included. q: text in the message, letter case ignored. metadata: names and values that a log must have.
    """

    service_name: str
    level: str | LogLevel
    start_time: str | datetime
    end_time: str | datetime
    trace_id: str
    q: str
    metadata: Mapping[str, str]


def filter_of(filters: Filters) -> LogFilter:
    """The filter, checked. Raises InvalidRequest that names the field."""
    unknown = filters.keys() - Filters.__annotations__.keys()
    if unknown:
        known = ", ".join(Filters.__annotations__)
        raise InvalidRequest(f"$.{min(unknown)}", f"no such filter; there are {known}")
    level = filters.get("level")
    try:
        parsed = LogLevel.parse(level) if isinstance(level, str) and level else level or None
    except ValueError as error:
        raise InvalidRequest("$.level", str(error)) from None
    return LogFilter(
        service_name=filters.get("service_name", ""),
        level=level if isinstance(level, LogLevel) else parsed or None,
        start_time=_time(filters.get("start_time", "")),
        end_time=_time(filters.get("end_time", "")),
        trace_id=filters.get("trace_id", ""),
        metadata=dict(filters.get("metadata", {})),
        text=filters.get("q", ""),
    )


def _time(given: str | datetime) -> str:
    return rfc3339(given) if isinstance(given, datetime) else given


def parameters_of(which: LogFilter) -> dict[str, str]:
    """The parameters of a filter, or of a query with its page; what is empty asks for nothing."""
    named = {
        "service_name": which.service_name,
        "level": "" if which.level is None else which.level.name,
        "start_time": which.start_time,
        "end_time": which.end_time,
        "trace_id": which.trace_id,
        "q": which.text,
    }
    parameters = {name: value for name, value in named.items() if value}
    if isinstance(which, LogQuery):
        parameters |= {"limit": str(which.limit), "offset": str(which.offset)}
    return parameters | {f"metadata.{name}": value for name, value in which.metadata.items()}
