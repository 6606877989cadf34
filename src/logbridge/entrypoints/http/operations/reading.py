"""Operations that read stored logs: query, histogram, export and tail."""

from logbridge.domain.access import Scope as Right
from logbridge.domain.export import EXPORT_DEFAULT, EXPORT_MAX
from logbridge.domain.query import BUCKETS_DEFAULT, BUCKETS_MAX, LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX
from logbridge.entrypoints.http.endpoints import Plain, failed_histogram, failed_query
from logbridge.entrypoints.http.events import EVENT_STREAM
from logbridge.entrypoints.http.export import NDJSON
from logbridge.entrypoints.http.operation import STRANGERS, Operation, Parameter, Response, problems
from logbridge.entrypoints.http.parameters import FORMATS
from logbridge.entrypoints.http.schema import (
    LEVEL_NAMES,
    HistogramBucket,
    HistogramResult,
    LogRecord,
    QueryResult,
    level_pattern,
)
from logbridge.entrypoints.http.tail import PLACE_DIGITS_MAX

_TIME = "2024-08-30T10:30:45.123456+00:00"
_RECORD = LogRecord(
    "0197a2c4-5d1e-7cc3-98a8-2f1d7f6f3b10",
    "test-service",
    "INFO",
    "async test log",
    _TIME,
    {"user_id": "user123"},
    "trace-001",
    "span-001",
)
_READING = f"What a key that is bound to services sees is narrowed to these. {STRANGERS}"
# An empty value asks for nothing, as if it had been left out.
_TIME_SCHEMA = {"anyOf": [{"type": "string", "format": "date-time"}, {"const": ""}]}
_FILTERS = (
    Parameter("service_name", "Logs of this service.", {"type": "string"}),
    Parameter(
        "level",
        "Logs of this level, in any letter case.",
        {"type": "string", "pattern": f"{level_pattern()}|^$", "examples": [*LEVEL_NAMES]},
    ),
    Parameter("start_time", "Logs of this time and later, RFC 3339.", _TIME_SCHEMA),
    Parameter("end_time", "Logs of this time and earlier, RFC 3339.", _TIME_SCHEMA),
    Parameter("trace_id", "Logs of this trace.", {"type": "string"}),
    Parameter("q", "Text in the message, letter case ignored.", {"type": "string"}),
    Parameter(
        "metadata.user_id",
        "Logs whose metadata has this value. Any metadata.<key>=<value> may be given, any number of them.",
        {"type": "string"},
    ),
)
_PAGE = (
    Parameter(
        "limit",
        "Logs of one page.",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    ),
    Parameter(
        "offset", "Logs to pass over.", {"type": "integer", "minimum": 0, "maximum": OFFSET_MAX, "default": 0}
    ),
)
_BUCKETS = Parameter(
    "buckets",
    "The most buckets of the answer.",
    {"type": "integer", "minimum": 1, "maximum": BUCKETS_MAX, "default": BUCKETS_DEFAULT},
)
_EXPORT = (
    Parameter("format", "How the logs are written.", {"enum": [*FORMATS], "default": FORMATS[0]}),
    Parameter(
        "limit",
        "The most logs, the newest ones.",
        {"type": "integer", "minimum": 1, "maximum": EXPORT_MAX, "default": EXPORT_DEFAULT},
    ),
)
_HISTOGRAM = HistogramResult(
    True, _TIME, _TIME, 1.0, [HistogramBucket("2024-08-30T10:30:45.000000+00:00", 0, 1, 0, 0, 0)], 1, ""
)
_RESUME = Parameter(
    "Last-Event-ID",
    "The id of the last event seen; empty for none.",
    {"type": "string", "pattern": f"^[0-9]{{0,{PLACE_DIGITS_MAX}}}$"},
    "header",
)


def reading(prefix: str) -> tuple[Operation, ...]:
    """The operations of the API that read."""
    return (
        Operation(
            "query", "GET", f"{prefix}/query", "Find stored logs, newest first",
            lambda parts: Plain(parts.endpoints.query, failed_query),
            {
                200: Response("One page.", (QueryResult,), QueryResult(True, [_RECORD], 1, "")),
                **problems(401, 403, 422, 429, 501, 502, 503, also=QueryResult, beside=failed_query),
            },
            _READING,
            parameters=(*_FILTERS, *_PAGE),
            right=Right.READ,
        ),
        Operation(
            "histogram", "GET", f"{prefix}/histogram", "Count stored logs over time, by level",
            lambda parts: Plain(parts.endpoints.histogram, failed_histogram),
            {
                200: Response("Equal stretches of time, empty ones too.", (HistogramResult,), _HISTOGRAM),
                **problems(401, 403, 422, 429, 501, 502, 503, also=HistogramResult, beside=failed_histogram),
            },
            _READING,
            parameters=(*_FILTERS, _BUCKETS),
            right=Right.READ,
        ),
        Operation(
            "export", "GET", f"{prefix}/export", "Download stored logs, newest first",
            lambda parts: parts.export,
            {
                200: Response(
                    "A log on each line, as in query; with format=csv text/csv. X-Total-Count says how many "
                    "match. An error on the way breaks the connection off.",
                    (str,), "{\"id\":\"…\",\"message\":\"async test log\"}\n", NDJSON,
                    {"text/csv": "id,timestamp,level,service_name,message,trace_id,span_id,metadata\r\n"},
                ),
                **problems(401, 403, 422, 429, 501, 502, 503),
            },
            "In CSV a cell that a spreadsheet would take for a formula has ' before it. " + _READING,
            parameters=(*_FILTERS, *_EXPORT),
            right=Right.READ,
        ),
        Operation(
            "tail", "GET", f"{prefix}/tail", "Follow new logs as server-sent events",
            lambda parts: parts.tail,
            {
                200: Response(
                    "Events without end; the data of each is a stored log.", (str,),
                    "id: 41\n: following\n\nid: 42\ndata: {\"id\":\"…\",\"message\":\"async test log\"}\n\n",
                    EVENT_STREAM,
                ),
                **problems(401, 403, 422, 429, 501, 502, 503),
            },
            _READING,
            parameters=(*_FILTERS, _RESUME),
            right=Right.READ,
        ),
    )  # fmt: skip
