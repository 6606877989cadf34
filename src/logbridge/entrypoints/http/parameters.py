"""Query parameters and headers, checked: a slip of the pen gets no answer to another question."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Struct
from starlette.types import Scope

from logbridge.domain.entry import LogLevel
from logbridge.domain.errors import InvalidRequest
from logbridge.domain.export import EXPORT_DEFAULT, EXPORT_MAX
from logbridge.domain.policy import Asked
from logbridge.domain.query import BUCKETS_MAX, LIMIT_MAX, OFFSET_MAX, HistogramQuery, LogFilter, LogQuery
from logbridge.domain.service import NOTHING_ASKED
from logbridge.entrypoints.pulse import HISTORY_S

_FILTERS = {
    "service_name": "service_name",
    "level": "level",
    "start_time": "start_time",
    "end_time": "end_time",
    "trace_id": "trace_id",
    "q": "text",
}
# Least and most.
_PAGE = {"limit": (1, LIMIT_MAX), "offset": (0, OFFSET_MAX)}
_BUCKETS = {"buckets": (1, BUCKETS_MAX)}
_EXPORT = {"limit": (1, EXPORT_MAX)}
_HISTORY = {"history": (0, HISTORY_S)}
FORMATS = ("ndjson", "csv")
REQUEST_TIMEOUT_S_MIN, REQUEST_TIMEOUT_S_MAX = 0.001, 3600
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,30})?", re.ASCII)
# One preference among others, by comma, perhaps with parameters.
_RESPOND_ASYNC = re.compile(rb"(^|,)\s*respond-async\s*($|[,;])", re.IGNORECASE)
_METADATA = "metadata."
_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
# "+" in a query string is a space, and nearly everybody forgets to write %2B before an offset.
_SPACED_OFFSET = re.compile(r" (\d\d:\d\d)$", re.ASCII)


def read_query(scope: Scope) -> LogQuery:
    """The query of ``/query``. Raises InvalidRequest that names the parameter."""
    return LogQuery(**_read(scope, _PAGE))


def read_filter(scope: Scope) -> LogFilter:
    """The filter of ``/tail``. Raises InvalidRequest that names the parameter."""
    return LogFilter(**_read(scope))


def read_histogram(scope: Scope) -> HistogramQuery:
    """The question of ``/histogram``. Raises InvalidRequest that names the parameter."""
    return HistogramQuery(**_read(scope, _BUCKETS))


class ExportAsked(Struct, frozen=True):
    """What ``/export`` is asked for. form: one of FORMATS."""

    which: LogFilter
    limit: int
    form: str


def read_export(scope: Scope) -> ExportAsked:
    """The question of ``/export``. Raises InvalidRequest that names the parameter."""
    fields = _read(scope, _EXPORT, {"format": FORMATS})
    limit, form = fields.pop("limit", EXPORT_DEFAULT), fields.pop("format", FORMATS[0])
    return ExportAsked(LogFilter(**fields), limit, form)


def read_history_s(scope: Scope) -> int:
    """The parameter of ``/stats``: seconds of the past, 0 without it. Raises InvalidRequest."""
    return int(_only(scope, _HISTORY).get("history", 0))


def read_nothing(scope: Scope) -> None:
    """For what has no parameter. Raises InvalidRequest."""
    _only(scope, {})


def _only(scope: Scope, numbers: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in _once(scope):
        if name not in numbers:
            raise InvalidRequest(name[:100], f"no such parameter; there is {', '.join(numbers) or 'none'}")
        found[name] = _number(name, value, *numbers[name])
    return found


def read_asked(scope: Scope, services: frozenset[str]) -> Asked:
    """What the headers of a write ask: Request-Timeout (seconds) and Prefer: respond-async (RFC 7240).

    services: the only ones whose logs the caller may write. Raises InvalidRequest for a Request-Timeout that
    is no time.
    """
    durable, timeout_s = False, None
    for name, value in scope["headers"]:
        if name == b"prefer":
            durable = durable or _RESPOND_ASYNC.search(value) is not None
        elif name == b"request-timeout":
            timeout_s = _seconds(value.decode("latin-1").strip())
    if not durable and timeout_s is None and not services:
        return NOTHING_ASKED
    return Asked(durable, timeout_s, services)


def _seconds(text: str) -> float:
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    if not REQUEST_TIMEOUT_S_MIN <= seconds <= REQUEST_TIMEOUT_S_MAX:
        reason = f"expected {REQUEST_TIMEOUT_S_MIN} to {REQUEST_TIMEOUT_S_MAX} seconds, got {text[:40]!r}"
        raise InvalidRequest("Request-Timeout", reason)
    return seconds


def _read(
    scope: Scope,
    numbers: Mapping[str, tuple[int, int]] = {},
    choices: Mapping[str, tuple[str, ...]] = {},
) -> dict[str, Any]:
    """Fields by name: those of a filter, numbers between two others, and one of several words."""
    fields: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    for name, value in _once(scope):
        if name.startswith(_METADATA) and name != _METADATA:
            metadata[name.removeprefix(_METADATA)] = value
        elif name in _FILTERS:
            fields[_FILTERS[name]] = _filter_value(name, value)
        elif name in numbers:
            fields[name] = _number(name, value, *numbers[name])
        elif name in choices:
            fields[name] = _choice(name, value, choices[name])
        else:
            known = ", ".join([*_FILTERS, *numbers, *choices, "metadata.<key>"])
            raise InvalidRequest(name[:100], f"no such parameter; there are {known}")
    return fields | {"metadata": metadata}


def _pairs(scope: Scope) -> list[tuple[str, str]]:
    try:
        query = scope["query_string"].decode("ascii")
        return parse_qsl(query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest("query string", "it is not UTF-8 in percent encoding") from None


def _once(scope: Scope) -> Iterator[tuple[str, str]]:
    """The parameters; none is there twice."""
    seen: set[str] = set()
    for name, value in _pairs(scope):
        if name in seen:
            raise InvalidRequest(name[:100], "given more than once")
        seen.add(name)
        yield name, value


def _filter_value(name: str, value: str) -> str | LogLevel | None:
    if name == "level":
        try:
            return LogLevel.parse(value) if value else None
        except ValueError as error:
            raise InvalidRequest(name, str(error)) from None
    return _SPACED_OFFSET.sub(r"+\1", value) if name.endswith("_time") else value


def _choice(name: str, value: str, words: tuple[str, ...]) -> str:
    if value not in words:
        raise InvalidRequest(name, f"expected one of {', '.join(words)}, got {value[:40]!r}")
    return value


def _number(name: str, value: str, least: int, most: int) -> int:
    number = int(value) if _NUMBER.fullmatch(value) else None
    if number is None or not least <= number <= most:
        raise InvalidRequest(name, f"expected {least} to {most}, got {value[:40]!r}")
    return number
