"""One table of operations: the routes and the OpenAPI document are both made from it."""

import msgspec
from starlette.routing import Route

from logbridge.domain.access import Scope as Right
from logbridge.domain.export import EXPORT_DEFAULT, EXPORT_MAX
from logbridge.domain.query import BUCKETS_DEFAULT, BUCKETS_MAX, LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX
from logbridge.entrypoints.http.endpoints import (
    Plain,
    failed_batch,
    failed_histogram,
    failed_query,
    failed_write,
)
from logbridge.entrypoints.http.events import EVENT_STREAM
from logbridge.entrypoints.http.export import NDJSON
from logbridge.entrypoints.http.metrics import OPEN_METRICS, PLAIN
from logbridge.entrypoints.http.operation import REFUSALS, Operation, Parameter, Parts, Response, problems
from logbridge.entrypoints.http.parameters import FORMATS, REQUEST_TIMEOUT_S_MAX, REQUEST_TIMEOUT_S_MIN
from logbridge.entrypoints.http.schema import (
    LEVEL_NAMES,
    WRITE_EXAMPLE,
    BatchRequest,
    ConcurrentTestRequest,
    Endpoint,
    ErrorSummary,
    Health,
    HistogramBucket,
    HistogramResult,
    LoadTestResult,
    LogRecord,
    Probe,
    QueryResult,
    Root,
    ServiceInfo,
    Session,
    WriteRequest,
    level_pattern,
)
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
from logbridge.entrypoints.http.stream import MEDIA_TYPES, failed_stream
from logbridge.entrypoints.http.tally import LineError, StreamResult
from logbridge.entrypoints.pulse import HISTORY_S
from logbridge.entrypoints.results import BatchResult, WriteResult
from logbridge.entrypoints.settings import Settings

_ID = "0197a2c4-5d1e-7cc3-98a8-2f1d7f6f3b10"
_WRITTEN = WriteResult(True, _ID, "")
_BATCH = BatchResult(
    2,
    1,
    1,
    ["Entry 1: $.message: Expected `str` of length >= 1"],
    [
        _WRITTEN,
        WriteResult(False, "", "$.message: Expected `str` of length >= 1"),
    ],
)
_LINES = '{"message":"one"}\n{"message":"two","level":"ERROR"}\n'
_STREAMED = StreamResult(
    2, 1, 1, [LineError(2, "", "$.message: Expected `str` of length >= 1")], False, 2, ""
)
_TEST = LoadTestResult(True, 500, 499, 1, 1.25, 400.0, 50, [_WRITTEN], ErrorSummary(1, ["queue is full"]))
_RECORD = LogRecord(
    _ID,
    "test-service",
    "INFO",
    "async test log",
    "2024-08-30T10:30:45.123456+00:00",
    {"user_id": "user123"},
    "trace-001",
    "span-001",
)
_SERVICE = ServiceInfo("logbridge", "0.1.0", "localhost:50051", 50, 1000)
_TIME = "2024-08-30T10:30:45.123456+00:00"
_HEALTHY = Health("healthy", _TIME, True, _SERVICE, "")
_UNHEALTHY = Health("unhealthy", _TIME, False, _SERVICE, "nothing listens at localhost:50051")

_SESSION = Session(keys=True, name="shop", scopes=["read", "write"], services=["shop"])
_STRANGERS = "Without keys it answers callers on this machine only, unless LOGBRIDGE_OPEN has read."
_READING = f"What a key that is bound to services sees is narrowed to these. {_STRANGERS}"
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
_RESUME = Parameter(
    "Last-Event-ID",
    "The id of the last event seen.",
    {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    "header",
)

_ASKED = (
    Parameter(
        "Request-Timeout",
        "Seconds that you wait for the answer; without it LOGBRIDGE_REQUEST_TIMEOUT_S.",
        {"type": "number", "minimum": REQUEST_TIMEOUT_S_MIN, "maximum": REQUEST_TIMEOUT_S_MAX},
        "header",
    ),
    Parameter(
        "Prefer",
        "respond-async: answer 202 as soon as the log is on the disk here, where a spool is configured.",
        {"type": "string", "examples": ["respond-async"]},
        "header",
    ),
)


# Of whoever sends a body.
def operations(prefix: str) -> tuple[Operation, ...]:
    """Every operation of the API under its base path."""
    groups = {
        "write": _writing(prefix),
        "read": _reading(prefix),
        "watch": _watching(prefix),
        "session": _session(prefix),
        "health": _about(prefix),
    }
    return tuple(
        msgspec.structs.replace(operation, tag=tag) for tag, group in groups.items() for operation in group
    )


def _writing(prefix: str) -> tuple[Operation, ...]:
    return (
        Operation(
            "write", "POST", f"{prefix}/write", "Write one log",
            lambda parts: Plain(parts.endpoints.write, failed_write),
            {
                200: Response("The log service acknowledged it.", (WriteResult,), _WRITTEN),
                202: Response("It is on the disk here, and will be delivered.", (WriteResult,), _WRITTEN),
                **problems(*REFUSALS, 409, 502, 503, 504, also=WriteResult, beside=failed_write),
            },
            "Any name that is not listed goes into metadata. null in an optional field means leaving it out.",
            WriteRequest, WRITE_EXAMPLE, _ASKED, Right.WRITE,
        ),
        Operation(
            "batch", "POST", f"{prefix}/batch", "Write several logs",
            lambda parts: Plain(parts.endpoints.batch, failed_batch),
            {
                200: Response("The log service acknowledged some of it.", (BatchResult,), _BATCH),
                202: Response("Some of it is on the disk here, to be delivered.", (BatchResult,), _BATCH),
                **problems(*REFUSALS, 502, 503, 504, also=BatchResult, beside=failed_batch),
            },
            "One result for every log, in the order of the request. A bad one does not sink the others.",
            BatchRequest, {"log_entries": [WRITE_EXAMPLE, {"message": "two", "level": "ERROR"}]}, _ASKED,
            Right.WRITE,
        ),
        Operation(
            "stream", "POST", f"{prefix}/stream", "Write any number of logs, one a line",
            lambda parts: Plain(parts.stream.write, failed_stream),
            {
                200: Response("The log service acknowledged some of it.", (StreamResult,), _STREAMED),
                202: Response("Some of it is on the disk here, to be delivered.", (StreamResult,), _STREAMED),
                **problems(
                    400, 401, 403, 408, 415, 422, 429, 502, 503, 504, also=StreamResult, beside=failed_stream,
                ),
            },
            "Each line is an entry as in write; blank lines are passed over. It is written as it comes, "
            "however long it is. Where it was not read to its end, stopped says why, and lines_read up to "
            "which line the counts hold. Request-Timeout is for each batch of lines; without it "
            "LOGBRIDGE_STREAM_BATCH_TIMEOUT_S.",
            request_texts=dict.fromkeys(MEDIA_TYPES, _LINES), parameters=_ASKED, right=Right.WRITE,
        ),
        Operation(
            "concurrent-test", "POST", f"{prefix}/concurrent-test", "Write many generated logs at once",
            lambda parts: parts.load_test,
            {
                200: Response(
                    "The test ran, and something was written.", (LoadTestResult,), _TEST,
                    texts={EVENT_STREAM: "event: progress\ndata: {\"done\":120,\"total\":500}\n\n"},
                ),
                **problems(*REFUSALS, 502, 503, 504),
            },
            "Each log is a write of its own. Without keys it answers callers on this machine only, unless "
            "LOGBRIDGE_OPEN has test. When nothing was written, the report stands beside the problem. With "
            "Accept: text/event-stream there are events: progress, at most ten a second, and at the end "
            "result (this answer, with latency_ms, latency_histogram and throughput) or problem.",
            ConcurrentTestRequest, {"count": 500, "max_workers": 50}, right=Right.TEST,
        ),
    )  # fmt: skip


def _reading(prefix: str) -> tuple[Operation, ...]:
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


def _watching(prefix: str) -> tuple[Operation, ...]:
    return (
        Operation(
            "stats", "GET", f"{prefix}/stats", "How the bridge is: rates, latencies, failures, spool",
            lambda parts: parts.stats,
            {200: Response("All workers together.", (Stats,), _STATS), **problems(401, 403, 422, 429)},
            "With Accept: text/event-stream an event like it each second, whose history is the last second. "
            "Failures of other services than a key's own are not shown to it. " + _STRANGERS,
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
            f"{OPEN_METRICS}. {_STRANGERS}",
            right=Right.READ,
        ),
    )  # fmt: skip


def _session(prefix: str) -> tuple[Operation, ...]:
    path = f"{prefix}/session"
    return (
        Operation(
            "session", "GET", path, "Who you are to the bridge, and what you may do",
            lambda parts: Plain(parts.sessions.show),
            {200: Response("You.", (Session,), _SESSION), **problems(401, 429)},
            asks_who=True,
        ),
        Operation(
            "session-begin", "POST", path, "Begin a session: a cookie that stands for the key you send",
            lambda parts: Plain(parts.sessions.begin),
            {200: Response("Begun; the cookie is set.", (Session,), _SESSION), **problems(400, 401, 429)},
            "For browsers: server-sent events carry no headers. The cookie lets in GET, and POST and DELETE "
            "of pages of this bridge itself, for twelve hours or until the bridge restarts. A session "
            "begins no other one.",
            asks_who=True,
        ),
        Operation(
            "session-end", "DELETE", path, "Have the browser forget the session",
            lambda parts: Plain(parts.sessions.end),
            {200: Response("The cookie is taken back.", (Probe,), Probe("ended"))},
        ),
    )  # fmt: skip


def _about(prefix: str) -> tuple[Operation, ...]:
    return (
        Operation(
            "health", "GET", f"{prefix}/health", "Whether logs can be written now; writes none",
            lambda parts: Plain(parts.endpoints.health),
            {
                200: Response("Healthy.", (Health,), _HEALTHY),
                503: Response("Unhealthy.", (Health,), _UNHEALTHY),
                **problems(429),
            },
        ),
        Operation(
            "livez", "GET", "/livez", "Whether the process serves",
            lambda parts: Plain(parts.endpoints.livez),
            {200: Response("It does.", (Probe,), Probe("alive"))},
        ),
        Operation(
            "readyz", "GET", "/readyz", "Whether new work is welcome",
            lambda parts: Plain(parts.endpoints.readyz),
            {200: Response("It is.", (Probe,), Probe("ready")), **problems(503)},
        ),
    )  # fmt: skip


def api_routes(table: tuple[Operation, ...], parts: Parts) -> list[Route]:
    """A Starlette route for every operation."""
    return [
        Route(
            operation.path,
            operation.handler(parts),
            methods=[operation.method],
            name=operation.name,
        )
        for operation in table
    ]


def root_of(table: tuple[Operation, ...], settings: Settings, version: str) -> Root:
    """What the root address answers."""
    endpoints = [Endpoint(operation.method, operation.path, operation.summary) for operation in table]
    return Root(settings.app_name, version, settings.docs_path, endpoints)
