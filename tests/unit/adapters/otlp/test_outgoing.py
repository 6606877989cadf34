"""What of an entry goes where in a record."""

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from logbridge.adapters.otlp.mapping import to_request
from logbridge.domain.entry import LogEntry, LogLevel
from tests.factories import make_entry


def record_of(entry: LogEntry) -> LogRecord:
    """The record of one entry."""
    (of_resource,) = to_request([entry]).resource_logs
    (of_scope,) = of_resource.scope_logs
    (record,) = of_scope.log_records
    return record


def attributes_of(entry: LogEntry) -> dict[str, str]:
    """Its attributes that are strings."""
    return {pair.key: pair.value.string_value for pair in record_of(entry).attributes}


def test_an_entry_of_another_origin_is_told_in_the_fields_of_the_model() -> None:
    """Level, message, time and trace have fields, metadata are attributes, the service is the resource's."""
    entry = make_entry(id="x", level=LogLevel.WARN, trace_id="ab" * 16, span_id="cd" * 8)
    (of_resource,) = to_request([entry]).resource_logs
    assert MessageToDict(of_resource.resource) == {
        "attributes": [{"key": "service.name", "value": {"stringValue": "test-service"}}]
    }
    record = record_of(entry)
    assert (record.severity_number, record.severity_text) == (13, "WARN")
    assert (record.body.string_value, record.time_unix_nano) == ("async test log", 1725013845123456000)
    assert (record.trace_id.hex(), record.span_id.hex()) == ("ab" * 16, "cd" * 8)
    assert attributes_of(entry) == {
        "user_id": "user123",
        "log.record.uid": "x",
        # Written otherwise than the bridge writes times.
        "logbridge.timestamp": "2024-08-30T10:30:45.123456Z",
    }


def test_ids_that_are_no_bytes_are_attributes() -> None:
    """A trace id of another form than OTLP has is kept as text."""
    entry = make_entry(trace_id="trace-001", span_id="AB" * 8)
    assert not record_of(entry).trace_id
    found = attributes_of(entry)
    assert (found["trace_id"], found["span_id"]) == ("trace-001", "AB" * 8)


def test_an_assigned_time_is_one_of_observation() -> None:
    """What a bridge assigned on arrival is not said to be the time of the log."""
    record = record_of(make_entry(timestamp="2024-08-30T10:30:45.123456+00:00", timestamp_assigned=True))
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (0, 1725013845123456000)


def test_metadata_that_only_looks_like_ours_goes_as_it_is() -> None:
    """Names of ours with values that are not make one map of all metadata."""
    entry = make_entry(metadata={"otel.severity_number": "high", "a": "1"})
    (pair, *_) = record_of(entry).attributes
    assert pair.key == "logbridge.metadata"
    assert {inner.key: inner.value.string_value for inner in pair.value.kvlist_value.values} == entry.metadata


def test_entries_are_grouped_by_resource_and_scope() -> None:
    """One ResourceLogs for each resource, one ScopeLogs for each scope of it, in the order of coming."""
    entries = [
        make_entry(id="1", service_name="a", metadata={}),
        make_entry(id="2", service_name="b", metadata={"scope.name": "s"}),
        make_entry(id="3", service_name="a", metadata={}),
        make_entry(id="4", service_name="b", metadata={}),
    ]
    request = to_request(entries)
    found = [
        [[uid_of(record) for record in of_scope.log_records] for of_scope in of_resource.scope_logs]
        for of_resource in request.resource_logs
    ]
    assert found == [[["1", "3"]], [["2"], ["4"]]]
    assert not to_request([]).resource_logs


def uid_of(record: LogRecord) -> str:
    """The id of its log."""
    return next(pair.value.string_value for pair in record.attributes if pair.key == "log.record.uid")
