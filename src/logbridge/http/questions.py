"""Questions about stored logs: their filters, and the parameters that ask for them."""

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict

import msgspec

from logbridge.domain.entry import LogLevel
from logbridge.domain.errors import InvalidRequest
from logbridge.domain.query import LogFilter, LogQuery
from logbridge.domain.timestamp import rfc3339

ALL_LOGS = sys.maxsize


class Filters(TypedDict, total=False):
    """Which logs: all that are given must hold.

    level: a name or a LogLevel. start_time, end_time: RFC 3339, or a datetime (a naive one is local time),
    both included. q: text in the message, letter case ignored. metadata: names and values that a log must
    have.
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
    return LogFilter(
        service_name=filters.get("service_name", ""),
        level=_level(filters.get("level", "")),
        start_time=_time(filters.get("start_time", "")),
        end_time=_time(filters.get("end_time", "")),
        trace_id=filters.get("trace_id", ""),
        metadata=dict(filters.get("metadata", {})),
        text=filters.get("q", ""),
    )


def _level(given: str | LogLevel) -> LogLevel | None:
    if isinstance(given, LogLevel):
        return given
    try:
        return LogLevel.parse(given) if given else None
    except ValueError as error:
        raise InvalidRequest("$.level", str(error)) from None


def _time(given: str | datetime) -> str:
    return rfc3339(given) if isinstance(given, datetime) else given


def page_of(which: LogFilter, limit: int, offset: int) -> LogQuery:
    """The question for one page. Raises InvalidRequest for a limit or an offset that there is not."""
    return LogQuery(**msgspec.structs.asdict(which), limit=limit, offset=offset)


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
