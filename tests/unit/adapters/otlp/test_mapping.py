"""OTLP's log data model and entries: each into the other, and back."""

from typing import Any

from google.protobuf.json_format import MessageToDict
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from logbridge.adapters.otlp import names
from logbridge.adapters.otlp.mapping import drafts_of, to_request
from logbridge.domain.entry import EntryDraft, EntryMaker, LogEntry, LogLevel
from logbridge.domain.timestamp import rfc3339_utc
from tests.factories import make_entry

NOW = "2026-01-02T03:04:05.000006+00:00"
DEPTH_MAX = 20
MAKER = EntryMaker("here", 10**9, DEPTH_MAX, lambda: NOW, lambda: "new-id", 10**6, 10**6)


def entries_of(request: ExportLogsServiceRequest) -> list[LogEntry]:
    """The entries of a request, of which all records are good."""
    entries = []
    for draft in drafts_of(request, DEPTH_MAX):
        assert isinstance(draft, EntryDraft), draft
        entries.append(MAKER.make(draft))
    return entries


def request_of(record: LogRecord, **resource: Any) -> ExportLogsServiceRequest:
    """A request of one record."""
    logs = ResourceLogs(scope_logs=[ScopeLogs(log_records=[record])], resource=Resource(**resource))
    return ExportLogsServiceRequest(resource_logs=[logs])


def entry_of(record: LogRecord, **resource: Any) -> LogEntry:
    """The entry of a record."""
    (entry,) = entries_of(request_of(record, **resource))
    return entry


def string(key: str, text: str) -> KeyValue:
    """An attribute that is a string."""
    return KeyValue(key=key, value=AnyValue(string_value=text))


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
scalars = st.one_of(
    st.builds(lambda text: AnyValue(string_value=text), texts),
    st.builds(lambda truth: AnyValue(bool_value=truth), st.booleans()),
    st.builds(lambda number: AnyValue(int_value=number), st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda number: AnyValue(double_value=number), st.floats(allow_nan=False)),
    st.builds(lambda raw: AnyValue(bytes_value=raw), st.binary(max_size=8)),
    st.just(AnyValue()),
)


def _containers(inner: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
    pairs = st.builds(lambda key, value: KeyValue(key=key, value=value), texts, inner)
    return st.one_of(
        st.lists(inner, max_size=3).map(lambda items: AnyValue(array_value=ArrayValue(values=items))),
        st.lists(pairs, max_size=3).map(lambda items: AnyValue(kvlist_value=KeyValueList(values=items))),
    )


values = st.recursive(scalars, _containers, max_leaves=6)
taken = st.sampled_from(
    [
        *sorted(names.OF_RECORD | names.OF_SCOPE | names.OF_RESOURCE),
        "resource.a",
        "scope.attributes.a",
        "attribute.a",
        "attribute.otel.types",
        "trace_id",
        "span_id",
        "a",
    ]
)
keys = st.one_of(texts, taken)
attributes = st.dictionaries(keys, values, max_size=4).map(
    lambda found: [KeyValue(key=key, value=value) for key, value in found.items()]
)
u32 = st.integers(0, 2**32 - 1)
u64 = st.one_of(st.just(0), st.integers(0, 2**64 - 1))
records = st.builds(
    LogRecord,
    time_unix_nano=u64,
    observed_time_unix_nano=u64,
    severity_number=st.one_of(st.integers(0, 24), st.integers(-(2**31), 2**31 - 1)),
    severity_text=st.one_of(texts, st.sampled_from(["INFO", "warn", "TRACE", "Fatal"])),
    body=st.one_of(st.none(), values),
    attributes=attributes,
    dropped_attributes_count=u32,
    flags=u32,
    trace_id=st.one_of(st.just(b""), st.binary(min_size=16, max_size=16), st.binary(max_size=20)),
    span_id=st.one_of(st.just(b""), st.binary(min_size=8, max_size=8), st.binary(max_size=20)),
    event_name=texts,
)
service = texts.filter(bool).map(lambda text: string("service.name", text))
resources = st.builds(
    lambda name, pairs, dropped: Resource(
        attributes=[name, *(pair for pair in pairs if pair.key != "service.name")],
        dropped_attributes_count=dropped,
    ),
    service,
    attributes,
    u32,
)
scopes = st.builds(
    InstrumentationScope, name=texts, version=texts, attributes=attributes, dropped_attributes_count=u32
)
requests = st.builds(
    lambda resource, scope, record, url, other: ExportLogsServiceRequest(
        resource_logs=[
            ResourceLogs(
                resource=resource,
                schema_url=url,
                scope_logs=[ScopeLogs(scope=scope, schema_url=other, log_records=[record])],
            )
        ]
    ),
    resources,
    scopes,
    records,
    texts,
    texts,
)


def normalised(request: ExportLogsServiceRequest) -> dict[str, Any]:
    """A request of one record, without what docs/otlp-in.md lists."""
    request = ExportLogsServiceRequest.FromString(request.SerializeToString())
    (of_resource,) = request.resource_logs
    (of_scope,) = of_resource.scope_logs
    (record,) = of_scope.log_records
    if not record.severity_text and 1 <= record.severity_number <= 24:
        record.severity_text = ("DEBUG", *LogLevel.__members__)[(record.severity_number - 1) // 4]
    if not (record.time_unix_nano or record.observed_time_unix_nano):
        record.observed_time_unix_nano = 1
    for pairs in (record.attributes, of_resource.resource.attributes, of_scope.scope.attributes):
        kept = sorted(
            (pair for pair in pairs if pair.key not in ("log.record.uid", "logbridge.timestamp_assigned")),
            key=lambda pair: pair.key,
        )
        del pairs[:]
        pairs.extend(kept)
    return MessageToDict(request)


@given(requests)
def test_a_record_comes_out_as_it_came_in(request: ExportLogsServiceRequest) -> None:
    """Whatever a record has comes out again, but for what the page lists as normalised."""
    again = to_request(entries_of(request))
    (record,) = again.resource_logs[0].scope_logs[0].log_records
    if any(pair.key == "logbridge.timestamp_assigned" for pair in record.attributes):
        record.observed_time_unix_nano = 1
    assert normalised(again) == normalised(request)


moments = st.one_of(
    st.integers(-(10**15), 10**16).map(rfc3339_utc),
    st.sampled_from(
        [
            "2024-08-30T10:30:45Z",
            "2024-08-30T10:30:45.123456789+00:00",
            "2024-08-30T10:30:45.123456000+00:00",
            "2024-08-30t12:30:45.1234567891+02:00",
            "1970-01-01T00:00:00.000000+00:00",
            "1969-12-31T23:59:59.999999999+00:00",
            "9999-12-31T23:59:59Z",
            "2016-12-31T23:59:60Z",
        ]
    ),
)
facts = st.one_of(
    texts,
    st.sampled_from(
        [
            '{"a":"int"}',
            "{}",
            "[]",
            '{"a":5}',
            "int",
            "none",
            "empty string",
            "5",
            "0",
            "true",
            "NaN",
            NOW,
            "[" * 5000,
            '{"b":"array"}',
            '{"resource.service.name":"map"}',
            "00" * 16,
            "-1",
            "observed",
        ]
    ),
)
ids = st.one_of(texts, st.sampled_from(["ab" * 16, "AB" * 16, "00" * 16, "ab" * 8, "1 " * 16]))
entries = st.builds(
    LogEntry,
    id=texts.filter(bool),
    service_name=texts.filter(bool),
    level=st.sampled_from(LogLevel),
    message=texts.filter(bool),
    timestamp=moments,
    metadata=st.dictionaries(
        st.one_of(
            keys, st.sampled_from(["b", "log.record.uid", "logbridge.timestamp", "logbridge.metadata"])
        ),
        facts,
        max_size=5,
    ),
    trace_id=ids,
    span_id=ids,
    timestamp_assigned=st.booleans(),
)


@given(st.lists(entries, max_size=5, unique_by=lambda entry: entry.id))
@example([make_entry(metadata={"otel.types": '{"a":"array"}', "a": "[" * 100_000})])
@example([make_entry(metadata={"otel.types": '{"a":"array"}', "a": "[" * 47 + "]" * 47})])
@example([make_entry(metadata={"otel.types": '{"a":"array"}', "a": "[" * 60 + "]" * 60})])
def test_an_entry_comes_in_as_it_went_out(sent: list[LogEntry]) -> None:
    """Any entry survives OTLP, whatever its metadata is called and holds."""
    request = ExportLogsServiceRequest.FromString(to_request(sent).SerializeToString())
    found = {entry.id: entry for entry in entries_of(request)}
    assert found == {entry.id: entry for entry in sent}
