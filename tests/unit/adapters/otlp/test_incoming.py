"""What of a record goes where in an entry."""

import math

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from logbridge.adapters.otlp.mapping import drafts_of
from logbridge.domain.entry import EntryDraft, LogLevel
from logbridge.domain.errors import InvalidEntry
from tests.unit.adapters.otlp.test_mapping import NOW, entry_of, request_of, string

SHOP = {"attributes": [string("service.name", "shop")]}
TIME_NS = 1_725_013_845_123_456_789
TIME = "2024-08-30T10:30:45.123456789+00:00"


@pytest.mark.parametrize(
    ("numbers", "level"),
    [
        (range(1, 9), LogLevel.DEBUG),
        (range(9, 13), LogLevel.INFO),
        (range(13, 17), LogLevel.WARN),
        (range(17, 21), LogLevel.ERROR),
        (range(21, 25), LogLevel.FATAL),
    ],
)
def test_levels_follow_the_ranges_of_the_specification(numbers: range, level: LogLevel) -> None:
    """Each number has its level, and stays known where it is not the level's own."""
    for number in numbers:
        entry = entry_of(LogRecord(severity_number=SeverityNumber.ValueType(number)))
        assert entry.level is level
        usual = number in (5, 9, 13, 17, 21)
        assert entry.metadata.get("otel.severity_number") == (None if usual else str(number))


@pytest.mark.parametrize(
    ("text", "level"), [("warning", LogLevel.WARN), ("Fatal", LogLevel.FATAL), ("odd", LogLevel.INFO)]
)
def test_without_a_number_the_text_says_the_level(text: str, level: LogLevel) -> None:
    """severity_text counts where it names a level; else it is INFO."""
    entry = entry_of(LogRecord(severity_text=text))
    assert entry.level is level
    assert entry.metadata["otel.severity_text"] == text


@pytest.mark.parametrize(
    ("value", "message", "kind"),
    [
        (AnyValue(string_value="hi"), "hi", None),
        (AnyValue(bool_value=True), "true", "bool"),
        (AnyValue(int_value=-5), "-5", "int"),
        (AnyValue(double_value=0.1), "0.1", "double"),
        (AnyValue(double_value=math.nan), "NaN", "double"),
        (AnyValue(bytes_value=b"\xff"), "/w==", "bytes"),
        (AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue()])), "[1,null]", "array"),
        (AnyValue(kvlist_value=KeyValueList(values=[string("é", "x")])), '{"é":"x"}', "map"),
        (
            AnyValue(array_value=ArrayValue(values=[AnyValue(bytes_value=b"\xff")])),
            '{"arrayValue":{"values":[{"bytesValue":"/w=="}]}}',
            "otlp-json",
        ),
        (AnyValue(string_value=""), "-", "empty string"),
        (AnyValue(bytes_value=b""), "-", "empty bytes"),
        (AnyValue(), "-", "empty null"),
        (None, "-", "none"),
    ],
)
def test_a_body_of_any_kind_is_a_message(value: AnyValue | None, message: str, kind: str | None) -> None:
    """A string as it is, anything else as text that says which kind it was."""
    entry = entry_of(LogRecord(severity_number=SeverityNumber.SEVERITY_NUMBER_INFO, body=value))
    assert entry.message == message
    assert entry.metadata == ({} if kind is None else {"otel.body": kind})


def test_an_event_without_a_body_is_called_by_its_name() -> None:
    """The message of an event is its name where it has no other."""
    entry = entry_of(LogRecord(event_name="device.app.lifecycle"))
    assert entry.message == entry.metadata["otel.event_name"] == "device.app.lifecycle"


def test_ids_and_times() -> None:
    """Trace ids are lower-case hexadecimal, nanoseconds are kept, an id that a log brings is its own."""
    record = LogRecord(
        time_unix_nano=TIME_NS,
        observed_time_unix_nano=TIME_NS + 211,
        trace_id=b"\xab" * 16,
        span_id=b"\xcd" * 8,
        attributes=[string("log.record.uid", "mine")],
    )
    entry = entry_of(record, **SHOP)
    assert (entry.id, entry.service_name, entry.timestamp) == ("mine", "shop", TIME)
    assert (entry.trace_id, entry.span_id) == ("ab" * 16, "cd" * 8)
    assert entry.metadata["otel.observed_time"] == "2024-08-30T10:30:45.123457+00:00"
    assert not entry.timestamp_assigned


def test_without_a_time_it_is_the_observed_one() -> None:
    """The observed time stands in for the time; without either it is the time of arrival."""
    observed = entry_of(LogRecord(observed_time_unix_nano=TIME_NS))
    assert (observed.timestamp, observed.metadata["otel.time"]) == (TIME, "observed")
    arrived = entry_of(LogRecord())
    assert (arrived.timestamp, arrived.timestamp_assigned) == (NOW, True)


def test_attributes_keep_their_kinds() -> None:
    """Metadata has the text, and otel.types what it was; strings need no mention."""
    record = LogRecord(attributes=[KeyValue(key="n", value=AnyValue(int_value=5)), string("s", "5")])
    entry = entry_of(record, attributes=[KeyValue(key="pid", value=AnyValue(int_value=7))])
    assert {name: entry.metadata[name] for name in ("n", "s", "resource.pid", "otel.types")} == {
        "n": "5",
        "s": "5",
        "resource.pid": "7",
        "otel.types": '{"n":"int","resource.pid":"int"}',
    }


def test_an_attribute_is_not_taken_for_something_else() -> None:
    """One that is called like a part of the model is told apart."""
    entry = entry_of(LogRecord(attributes=[string("resource.pid", "mine")]), attributes=[string("pid", "7")])
    assert (entry.metadata["attribute.resource.pid"], entry.metadata["resource.pid"]) == ("mine", "7")


def test_too_deep_a_value_is_refused_alone() -> None:
    """Deeper than LOGBRIDGE_METADATA_DEPTH_MAX, in a body or an attribute, is that record's fault only."""
    inner = AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1)]))
    deep = AnyValue(array_value=ArrayValue(values=[inner]))
    for record in (LogRecord(body=deep), LogRecord(attributes=[KeyValue(key="a", value=deep)])):
        (allowed,) = drafts_of(request_of(record), 2)
        assert isinstance(allowed, EntryDraft)
        (refused,) = drafts_of(request_of(record), 1)
        assert isinstance(refused, InvalidEntry)
        assert "LOGBRIDGE_METADATA_DEPTH_MAX=1" in refused.reason


def test_a_resource_that_is_too_deep_refuses_its_records() -> None:
    """What belongs to all records of a resource is the fault of each."""
    deep = AnyValue(array_value=ArrayValue(values=[AnyValue()]))
    request = request_of(LogRecord(), attributes=[KeyValue(key="a", value=deep)])
    (refused,) = drafts_of(request, 0)
    assert isinstance(refused, InvalidEntry)
    assert refused.path == "$.resource.attributes.a"
