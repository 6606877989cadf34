"""OTLP over HTTP: logs of any OpenTelemetry exporter, by the OTLP specification, "OTLP/HTTP"."""

import asyncio
import json
import math
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from msgspec import Struct
from starlette.types import Receive, Scope, Send

from logbridge.adapters.otlp.receive import Reader, identify
from logbridge.domain.access import Scope as Right
from logbridge.domain.entry import EntryDraft
from logbridge.domain.errors import InvalidEntry, InvalidRequest, LogbridgeError
from logbridge.domain.outcome import Failed, Outcome, Refused, Unknown
from logbridge.domain.policy import Asked
from logbridge.domain.service import LogBridge
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.decode import decode_json, read_body
from logbridge.entrypoints.http.lifecycle import ClientLeft
from logbridge.entrypoints.http.parameters import read_asked
from logbridge.entrypoints.http.problems import (
    JSON,
    RETRY_AFTER_S,
    STATUS_OF_CAUSE,
    Answer,
    RequestRejected,
    error_answer,
    fault,
)
from logbridge.entrypoints.otlp import NotTaken, in_turns, summed_up
from logbridge.entrypoints.settings import Settings

# Exporters add it to the address that they are given (OTLP specification, "OTLP/HTTP Request"), so that it
# does not follow LOGBRIDGE_API_PREFIX.
PATH = "/v1/logs"
PROTOBUF = "application/x-protobuf"
EXAMPLE: dict[str, Any] = {
    "resourceLogs": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeLogs": [
                {
                    "logRecords": [
                        {
                            "timeUnixNano": "1725013845123456789",
                            "severityNumber": 9,
                            "body": {"stringValue": "async test log"},
                            "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
                        }
                    ]
                }
            ],
        }
    ]
}
_CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    413: Code.INVALID_ARGUMENT,
    415: Code.INVALID_ARGUMENT,
    429: Code.RESOURCE_EXHAUSTED,
    500: Code.INTERNAL,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}
# The only ones with which an exporter does not send the same again.
_PERMANENT = {403: 403, 413: 413}


class ExportLogs(Struct, rename="camel"):
    """An ExportLogsServiceRequest in OTLP/JSON. Unknown names are passed over, as OTLP has it."""

    resource_logs: list[dict[str, Any]] | None = None


class PartialSuccess(Struct, rename="camel"):
    """How many records were refused, as text of a number, and why."""

    rejected_log_records: str = "0"
    error_message: str = ""


class ExportedLogs(Struct, rename="camel", omit_defaults=True):
    """An ExportLogsServiceResponse in OTLP/JSON. Without a partial success all records are acknowledged."""

    partial_success: PartialSuccess | None = None


class OtlpStatus(Struct):
    """A google.rpc.Status in JSON. code: as in gRPC."""

    code: int
    message: str


class Otlp:
    """The endpoint. Each answer, of an error too, is a message in the encoding of the request."""

    def __init__(self, bridge: LogBridge, gate: Gate, settings: Settings) -> None:
        self._bridge = bridge
        self._gate = gate
        self._body_bytes_max = settings.body_bytes_max
        self._batch_entries_max = bridge.limits.batch_entries_max
        self._reader = Reader(settings.entry_bytes_max, settings.metadata_depth_max)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        media_type = PROTOBUF if _media_type(scope) == PROTOBUF else JSON
        try:
            answer = await self._answer(scope, receive, media_type)
        except ClientLeft:
            return
        except LogbridgeError as error:
            answer = _failed(error_answer(error, lambda _: {}), str(error), media_type)
        except Exception as error:
            answer = _failed(fault(scope, error), "a fault of the bridge; its own log says more", media_type)
        await answer.send(send, scope.get("extensions", ()))

    async def _answer(self, scope: Scope, receive: Receive, media_type: str) -> Answer:
        asked = read_asked(scope, self._gate.admit(scope, Right.WRITE).services)
        if not _media_type(scope):
            _check_media_type(b"")
        body = await read_body(scope, receive, self._body_bytes_max, _check_media_type)
        drafts = await in_turns(
            self._reader.of_protobuf(body)
            if media_type == PROTOBUF
            else self._reader.of_json(decode_json(body, InvalidRequest))
        )
        identify(drafts, body)
        summary = summed_up(await self._written(drafts, asked))
        if isinstance(summary, NotTaken):
            return _not_taken(summary, media_type)
        return Answer(200, _encoded(summary, media_type), media_type)

    async def _written(self, drafts: list[EntryDraft | InvalidEntry], asked: Asked) -> list[Outcome]:
        """The outcomes, of batches at once: MAX_BATCH_SIZE is not known to exporters."""
        size = self._batch_entries_max
        batches = [drafts[start : start + size] for start in range(0, len(drafts), size)]
        written = await asyncio.gather(*(self._bridge.write_batch(batch, asked) for batch in batches))
        return [outcome for outcomes in written for outcome in outcomes]


def _media_type(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    return str(given.decode("latin-1")).partition(";")[0].strip().lower()


def _check_media_type(value: bytes) -> None:
    media_type = value.decode("latin-1").partition(";")[0].strip().lower()
    if media_type not in (PROTOBUF, JSON):
        raise RequestRejected(
            415,
            f"Content-Type {media_type[:100]!r} is not supported; send {PROTOBUF} or {JSON}",
            {"Accept": f"{PROTOBUF}, {JSON}"},
        )


def _encoded(message: Message, media_type: str) -> bytes:
    if media_type == PROTOBUF:
        return message.SerializeToString()
    return json.dumps(json_format.MessageToDict(message), ensure_ascii=False).encode()


def _failed(problem: Answer, reason: str, media_type: str) -> Answer:
    """A problem as OTLP has it: a Status, and 400 for whatever the client can mend."""
    status = 400 if problem.status == 422 else problem.status
    body = _encoded(Status(code=_CODES.get(status, Code.UNKNOWN), message=reason), media_type)
    return Answer(status, body, media_type, problem.headers, problem.refusal)


def _not_taken(summary: NotTaken, media_type: str) -> Answer:
    outcome = summary.outcome
    status = STATUS_OF_CAUSE[outcome.cause]
    headers = {}
    if isinstance(outcome, Refused):
        # 502 would have it sent again.
        status = _PERMANENT.get(status, 400)
    elif isinstance(outcome, Failed | Unknown):
        pause_s = max(RETRY_AFTER_S, math.ceil(outcome.retry_after_s or 0))
        headers = {"Retry-After": str(pause_s)}
    return _failed(Answer(status, b"", headers=headers), summary.reason, media_type)
