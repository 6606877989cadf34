"""The bytes, or the JSON, of an ExportLogsServiceRequest → drafts, one record at a time.

A request is never read as a whole: two bytes of it may stand for a record that takes a hundred in memory, and
a body of the size that is allowed would take gigabytes.
"""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from logbridge.adapters.otlp.mapping import drafts_of_scope
from logbridge.adapters.otlp.wire import NotProtobufError, TooManyError, split
from logbridge.domain.entry import EntryDraft
from logbridge.domain.errors import EntryTooLarge, InvalidEntry, InvalidRequest

M = TypeVar("M", bound=Message)
Drafts = Iterator[EntryDraft | InvalidEntry]

# Of one request, with their scopes, and as many resources. A Collector's own batches have 8,192 records.
RECORDS_MAX = 10_000
# Of one record, resource or scope in JSON, with what is nested in it: each takes microseconds to read.
VALUES_MAX = 10_000
# A record is larger than the text of its entry: each attribute has frames.
FRAMES_FACTOR, FRAMES_BYTES = 4, 65_536


class Reader:
    """Reads requests. entry_bytes_max: of the text of one entry. depth_max: levels of nesting of a value."""

    def __init__(self, entry_bytes_max: int, depth_max: int) -> None:
        self._entry_bytes_max = entry_bytes_max
        self._message_bytes_max = entry_bytes_max * FRAMES_FACTOR + FRAMES_BYTES
        self._depth_max = depth_max

    def of_protobuf(self, body: bytes) -> Drafts:
        """The drafts of a request, as they are asked for; an InvalidEntry stands for a bad record.

        Raises InvalidRequest where it is no such request, or has too much in it.
        """
        left = RECORDS_MAX
        common, resources = _split(body, 1, left)
        _parsed(common, ExportLogsServiceRequest())
        for resource in resources:
            common, scopes = _split(resource, 2, left)
            of_resource = self._common(common, ResourceLogs())
            left -= len(scopes)
            for scope in scopes:
                common, records = _split(scope, 2, left)
                left -= len(records)
                of_scope = self._common(common, ScopeLogs())
                yield from drafts_of_scope(of_resource, of_scope, map(self._record, records), self._depth_max)

    def _common(self, raw: bytes, message: M) -> M:
        if len(raw) > self._message_bytes_max:
            raise InvalidRequest("$", f"a resource or scope of {len(raw)} bytes fits into no entry")
        return _parsed(raw, message)

    def _record(self, raw: bytes) -> LogRecord | InvalidEntry:
        if len(raw) > self._message_bytes_max:
            return EntryTooLarge(len(raw), self._entry_bytes_max)
        return _parsed(raw, LogRecord())

    def of_json(self, document: object) -> Drafts:
        """As of_protobuf(), for the document of a request in OTLP/JSON."""
        left = RECORDS_MAX
        _, resources = _split_json(document, "resourceLogs", "$", left)
        for index, resource in enumerate(resources):
            path = f"$.resourceLogs[{index}]"
            common, scopes = _split_json(resource, "scopeLogs", path, left)
            of_resource = _from_json(common, ResourceLogs(), path)
            left -= len(scopes)
            for inner, scope in enumerate(scopes):
                inner_path = f"{path}.scopeLogs[{inner}]"
                common, records = _split_json(scope, "logRecords", inner_path, left)
                left -= len(records)
                of_scope = _from_json(common, ScopeLogs(), inner_path)
                read = (
                    _record_from_json(record, f"{inner_path}.logRecords[{place}]")
                    for place, record in enumerate(records)
                )
                yield from drafts_of_scope(of_resource, of_scope, read, self._depth_max)


def identify(drafts: list[EntryDraft | InvalidEntry], body: bytes) -> None:
    """Give each log without an id one that is the same when the same request comes again.

    An exporter that got no answer sends the same bytes again, and OTLP has no ids: with these each log is
    stored once. A log without a time gets none, since a request of such logs may be repeated on purpose.
    """
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    for index, draft in enumerate(drafts):
        if isinstance(draft, EntryDraft) and draft.fields.timestamp and not draft.fields.log_id:
            draft.fields.log_id = f"{digest}-{index}"


def _split(message: bytes, number: int, inner_max: int) -> tuple[bytes, list[bytes]]:
    try:
        # Beside the inner messages there are two fields of resources and scopes.
        common, inner = split(message, number, inner_max + 2)
    except TooManyError:
        raise _too_many() from None
    except NotProtobufError as error:
        raise InvalidRequest("$", f"these bytes are not an ExportLogsServiceRequest: {error}") from None
    if len(inner) > inner_max:
        raise _too_many()
    return common, inner


def _too_many() -> InvalidRequest:
    return InvalidRequest("$.resourceLogs", f"more than {RECORDS_MAX} resources, or records and scopes")


def _parsed(raw: bytes, message: M) -> M:
    try:
        message.ParseFromString(raw)
    except DecodeError:
        kind = type(message).__name__
        reason = f"these bytes are not a {kind} (a string may not be UTF-8, or it is nested too deep)"
        raise InvalidRequest("$", reason) from None
    return message


def _split_json(
    document: object, name: str, path: str, inner_max: int
) -> tuple[dict[str, Any], list[object]]:
    if not isinstance(document, dict):
        raise InvalidRequest(path, "expected an object")
    inner = document.get(name)
    if inner is None:
        inner = []
    if not isinstance(inner, list):
        raise InvalidRequest(f"{path}.{name}", "expected an array")
    if len(inner) > inner_max:
        raise _too_many()
    return {key: value for key, value in document.items() if key != name}, inner


_IDS = ("traceId", "spanId")


def _record_from_json(record: object, path: str) -> LogRecord | InvalidEntry:
    if not isinstance(record, dict):
        raise InvalidRequest(path, "expected an object")
    # OTLP/JSON has these in hexadecimal, where protobuf's JSON has base64.
    ids = {name: _base64_of(record[name], f"{path}.{name}") for name in _IDS if record.get(name)}
    if _values(record, VALUES_MAX) > VALUES_MAX:
        return InvalidEntry(path, f"more than {VALUES_MAX} values in one record")
    return _from_json({**record, **ids}, LogRecord(), path)


def _base64_of(text: object, path: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(text if isinstance(text, str) else "?")).decode()
    except ValueError:
        raise InvalidRequest(path, "expected an id in hexadecimal") from None


def _from_json(document: dict[str, Any], message: M, path: str) -> M:
    if _values(document, VALUES_MAX) > VALUES_MAX:
        raise InvalidRequest(path, f"more than {VALUES_MAX} values")
    try:
        # "Receivers MUST ignore message fields with unknown names" (OTLP specification).
        json_format.ParseDict(document, message, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidRequest(path, f"not as OTLP/JSON has it: {str(error)[:200]}") from None
    return message


def _values(value: object, stop: int) -> int:
    """How many values there are in it, counted no further than ``stop``."""
    waiting, count = [value], 0
    while waiting and count + len(waiting) <= stop:
        inner = waiting.pop()
        count += 1
        if isinstance(inner, dict):
            waiting.extend(inner.values())
        elif isinstance(inner, list):
            waiting.extend(inner)
    return count + len(waiting)
