"""Requests of OTLP, read a record at a time."""

import contextlib
import json
import tracemalloc
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from logbridge.adapters.otlp.mapping import drafts_of
from logbridge.adapters.otlp.receive import RECORDS_MAX, VALUES_MAX, Reader, identify
from logbridge.adapters.otlp.wire import NotProtobufError, TooManyError, split
from logbridge.domain.entry import EntryDraft
from logbridge.domain.errors import EntryTooLarge, InvalidEntry, InvalidRequest
from tests.unit.adapters.otlp.test_mapping import DEPTH_MAX, request_of, requests

READER = Reader(1000, DEPTH_MAX)


def otlp_json(request: ExportLogsServiceRequest) -> Any:
    """A request as OTLP/JSON has it: ids are hexadecimal."""
    document = json_format.MessageToDict(request)
    for resource, of_resource in zip(document.get("resourceLogs", ()), request.resource_logs, strict=True):
        for scope, of_scope in zip(resource.get("scopeLogs", ()), of_resource.scope_logs, strict=True):
            for record, of_record in zip(scope.get("logRecords", ()), of_scope.log_records, strict=True):
                record |= {"traceId": of_record.trace_id.hex(), "spanId": of_record.span_id.hex().upper()}
    return json.loads(json.dumps(document))


def document(*records: Any) -> Any:
    """A request of these records, as JSON."""
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [*records]}]}]}


@given(st.lists(requests, max_size=2))
def test_both_encodings_say_the_same(parts: list[ExportLogsServiceRequest]) -> None:
    """A record at a time, from protobuf or JSON, is what protobuf reads as a whole."""
    request = ExportLogsServiceRequest(resource_logs=[of for part in parts for of in part.resource_logs])
    expected = drafts_of(request, DEPTH_MAX)
    assert [*Reader(10**6, DEPTH_MAX).of_protobuf(request.SerializeToString())] == expected
    assert [*Reader(10**6, DEPTH_MAX).of_json(otlp_json(request))] == expected


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Bytes that are no request are an InvalidRequest, whatever they are."""
    try:
        drafts = [*READER.of_protobuf(body)]
    except InvalidRequest:
        return
    whole = ExportLogsServiceRequest.FromString(body)
    assert len(drafts) == sum(len(scope.log_records) for of in whole.resource_logs for scope in of.scope_logs)


JSON_NAMES = (
    *("resourceLogs", "scopeLogs", "logRecords", "body", "attributes", "traceId", "key", "value"),
    *("stringValue", "arrayValue", "values", "kvlistValue", "bytesValue", "intValue", "resource"),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(JSON_NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.one_of(json_values, json_values.map(document)))
def test_any_json_is_read_or_refused(given_document: Any) -> None:
    """JSON that is no request is an InvalidRequest, whatever it is."""
    with contextlib.suppress(InvalidRequest):
        assert all(isinstance(draft, EntryDraft | InvalidEntry) for draft in READER.of_json(given_document))


@pytest.mark.parametrize(
    ("record", "where"),
    [
        ({"traceId": "zz"}, "$.resourceLogs[0].scopeLogs[0].logRecords[1].traceId"),
        ({"spanId": 5}, "$.resourceLogs[0].scopeLogs[0].logRecords[1].spanId"),
        ({"body": 5}, "$.resourceLogs[0].scopeLogs[0].logRecords[1]"),
        ([], "$.resourceLogs[0].scopeLogs[0].logRecords[1]"),
    ],
)
def test_json_that_cannot_be_read_says_where(record: Any, where: str) -> None:
    """The path leads to the record, or to its field."""
    with pytest.raises(InvalidRequest) as raised:
        [*READER.of_json(document({"unknown": 1}, record))]
    assert raised.value.path == where


def test_more_records_than_allowed_are_refused_unread() -> None:
    """One more than RECORDS_MAX is refused, and five million of two bytes take no memory to speak of."""
    records = RECORDS_MAX - 1  # beside one scope
    scope = ScopeLogs(log_records=[LogRecord()] * records)
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[scope])])
    assert len([*READER.of_protobuf(request.SerializeToString())]) == records
    assert len([*READER.of_json(document(*[{}] * records))]) == records
    request.resource_logs[0].scope_logs[0].log_records.add()
    with pytest.raises(InvalidRequest, match=f"more than {RECORDS_MAX} "):
        [*READER.of_protobuf(request.SerializeToString())]
    with pytest.raises(InvalidRequest, match=f"more than {RECORDS_MAX} "):
        [*READER.of_json(document(*[{}] * (records + 1)))]
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[ScopeLogs()])] * RECORDS_MAX)
    assert [*READER.of_protobuf(request.SerializeToString())] == []
    request.resource_logs.add()
    with pytest.raises(InvalidRequest, match=f"more than {RECORDS_MAX} "):
        [*READER.of_protobuf(request.SerializeToString())]
    many = b"\x12\x00" * 5_000_000
    inner = b"\x12" + _varint(len(many)) + many
    body = b"\x0a" + _varint(len(inner)) + inner
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest, match=f"more than {RECORDS_MAX} "):
            [*READER.of_protobuf(body)]
        assert tracemalloc.get_traced_memory()[1] < 3 * len(body)
    finally:
        tracemalloc.stop()


def _varint(number: int) -> bytes:
    more, last = divmod(number, 128)
    return bytes([last]) if not more else bytes([last | 128]) + _varint(more)


def test_a_large_record_is_refused_alone() -> None:
    """A record too large for any entry is refused unread; its neighbour is not."""
    large = LogRecord(body=AnyValue(bytes_value=b"0" * 100_000))
    scope = ScopeLogs(log_records=[large, LogRecord(event_name="b")])
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[scope])])
    first, second = READER.of_protobuf(request.SerializeToString())
    assert isinstance(first, EntryTooLarge)
    assert isinstance(second, EntryDraft)


def test_a_large_resource_is_refused() -> None:
    """A resource too large for any entry ends the request."""
    pair = KeyValue(key="a", value=AnyValue(string_value="0" * 100_000))
    body = request_of(LogRecord(), attributes=[pair]).SerializeToString()
    with pytest.raises(InvalidRequest, match="fits into no entry"):
        [*READER.of_protobuf(body)]


def test_a_record_of_many_values_is_refused_alone() -> None:
    """In JSON, where each value takes time, there are VALUES_MAX."""
    many = {"body": {"arrayValue": {"values": [{"intValue": 1}] * VALUES_MAX}}}
    first, second = READER.of_json(document(many, {}))
    assert isinstance(first, InvalidEntry)
    assert f"more than {VALUES_MAX} values" in first.reason
    assert isinstance(second, EntryDraft)


def test_the_same_request_has_the_same_ids() -> None:
    """What is sent again is the same log, what is another request another; without a time there is none."""

    def ids(record: LogRecord) -> list[str | None]:
        body = request_of(record).SerializeToString()
        drafts = [*READER.of_protobuf(body)]
        identify(drafts, body)
        return [draft.fields.log_id for draft in drafts if isinstance(draft, EntryDraft)]

    one, other = LogRecord(time_unix_nano=1), LogRecord(time_unix_nano=2)
    assert ids(one) == ids(one) != ids(other)
    assert ids(LogRecord()) == [None]
    uid = KeyValue(key="log.record.uid", value=AnyValue(string_value="mine"))
    assert ids(LogRecord(time_unix_nano=1, attributes=[uid])) == ["mine"]


@pytest.mark.parametrize("message", [b"\x0a", b"\x0a\x05a", b"\x0b", b"\xff" * 11, b"\x09\x00"])
def test_what_is_cut_short_is_no_message(message: bytes) -> None:
    """A message that ends in the middle, or has fields of other kinds, is not cut apart."""
    with pytest.raises(NotProtobufError):
        split(message, 1, 10)


def test_a_message_is_cut_apart() -> None:
    """The inner messages, and the rest as it was; no more fields than asked for."""
    message = b"\x08\x05\x0a\x01a\x15\x00\x00\x00\x00\x0a\x00\x11" + b"\x00" * 8
    assert split(message, 1, 5) == (b"\x08\x05\x15\x00\x00\x00\x00\x11" + b"\x00" * 8, [b"a", b""])
    with pytest.raises(TooManyError):
        split(message, 1, 4)
