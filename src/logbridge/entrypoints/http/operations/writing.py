"""Operations that write: write, batch, stream, the concurrent test, and OpenTelemetry's logs."""

from logbridge.domain.access import Scope as Right
from logbridge.entrypoints.http.endpoints import Plain, failed_batch, failed_write
from logbridge.entrypoints.http.events import EVENT_STREAM
from logbridge.entrypoints.http.operation import REFUSALS, Operation, Parameter, Response, problems
from logbridge.entrypoints.http.otlp import (
    EXAMPLE,
    PATH,
    PROTOBUF,
    ExportedLogs,
    ExportLogs,
    OtlpStatus,
    PartialSuccess,
)
from logbridge.entrypoints.http.parameters import REQUEST_TIMEOUT_S_MAX, REQUEST_TIMEOUT_S_MIN
from logbridge.entrypoints.http.schema import (
    WRITE_EXAMPLE,
    BatchRequest,
    ConcurrentTestRequest,
    ErrorSummary,
    LoadTestResult,
    WriteRequest,
)
from logbridge.entrypoints.http.stream import MEDIA_TYPES, failed_stream
from logbridge.entrypoints.http.tally import LineError, StreamResult
from logbridge.entrypoints.results import BatchResult, WriteResult

_WRITTEN_ID = "0197a2c4-5d1e-7cc3-98a8-2f1d7f6f3b10"
_WRITTEN = WriteResult(True, _WRITTEN_ID, "")
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

_EXPORTED = ExportedLogs(PartialSuccess("1", "record 0: $.body: nested deeper than …"))
_PROTOBUF_TOO = f"In the encoding of the request: {PROTOBUF}, too."
OTLP = Operation(
    "otlp-logs", "POST", PATH, "Write logs of an OpenTelemetry exporter or Collector",
    lambda parts: parts.otlp,
    {
        200: Response(
            f"All records are acknowledged but those that partialSuccess counts. {_PROTOBUF_TOO}",
            (ExportedLogs,), _EXPORTED, texts={PROTOBUF: ""},
        ),
        **{
            status: Response(
                f"{why} {_PROTOBUF_TOO}", (OtlpStatus,), OtlpStatus(code, "why"), texts={PROTOBUF: ""}
            )
            for status, code, why in (
                (400, 3, "It cannot be read, or every record is refused."),
                (401, 16, "No key, or one that is unknown, revoked or expired."),
                (403, 7, "The key may not write, or not for that service."),
                (413, 3, "The body is too large, or every record is."),
                (415, 3, "A media type or an encoding that is not supported."),
                (429, 8, "More requests than this key or this address may make."),
                (503, 14, "Too much in flight, or the log service is not reachable: send it again."),
                (504, 4, "The log service did not answer in time: send it again."),
            )
        },
    },
    "OTLP/HTTP, binary or JSON, compressed or not. A status that asks for it has an exporter send the same "
    "again: each log is stored once, by its id.",
    ExportLogs, EXAMPLE, _ASKED, Right.WRITE, request_texts={PROTOBUF: ""},
)  # fmt: skip


def writing(prefix: str) -> tuple[Operation, ...]:
    """The operations of the API that write."""
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
