"""An entry → a LogRecord, and what its resource and its scope are."""

import json
from collections.abc import Mapping

from google.protobuf import json_format
from msgspec import Struct, field
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    EntityRef,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from logbridge.adapters.otlp import names
from logbridge.adapters.otlp.incoming import (
    EMPTY,
    NO_BODY,
    OBSERVED,
    SEVERITIES,
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    is_id,
    severity_text,
)
from logbridge.adapters.otlp.values import STRING, value_of
from logbridge.domain.entry import LogEntry
from logbridge.domain.timestamp import epoch_ns, rfc3339_ns_utc

NS_MAX = 2**64 - 1


class Sorted(Struct, frozen=True):
    """The metadata of an entry by what it is of. facts: fields of the record. attributes: of the record."""

    kinds: dict[str, str] = {}
    resource: dict[str, str] = field(default_factory=dict)
    scope: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, AnyValue] = field(default_factory=dict)

    def key(self, of: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
        """Equal for entries of one resource, or scope."""
        return tuple(sorted((name, text, self.kinds.get(name, STRING)) for name, text in of.items()))

    def pairs(self, prefix: str, of: Mapping[str, str]) -> list[KeyValue]:
        """The attributes of a resource, or scope. Raises ValueError."""
        return [
            KeyValue(key=name.removeprefix(prefix), value=value_of(text, self.kinds.get(name, STRING)))
            for name, text in of.items()
            if name.startswith(prefix)
        ]


def sorted_metadata(entry: LogEntry) -> Sorted:
    """Raises ValueError where it is not as draft_of() makes it."""
    kinds = _kinds(entry.metadata.get(names.TYPES, "{}"))
    found = Sorted(kinds)
    found.resource[names.RESOURCE + names.SERVICE_NAME] = entry.service_name
    for name, text in entry.metadata.items():
        if name.startswith(names.RESOURCE) or name in names.OF_RESOURCE:
            found.resource[name] = text
        elif name.startswith(names.SCOPE) or name in names.OF_SCOPE:
            found.scope[name] = text
        elif (attribute := names.attribute_of(name)) is None:
            found.facts[name] = text
        else:
            found.attributes[attribute] = value_of(text, kinds.get(name, STRING))
    return found


def verbatim_metadata(entry: LogEntry) -> Sorted:
    """What every entry can be said with: all its metadata is one attribute, a map."""
    pairs = [KeyValue(key=name, value=AnyValue(string_value=text)) for name, text in entry.metadata.items()]
    return Sorted(
        resource={names.RESOURCE + names.SERVICE_NAME: entry.service_name},
        attributes={names.METADATA: AnyValue(kvlist_value=KeyValueList(values=pairs))} if pairs else {},
    )


def _kinds(text: str) -> dict[str, str]:
    kinds = json.loads(text)
    if not isinstance(kinds, dict):
        raise ValueError(f"{names.TYPES} is not an object")
    return kinds


def resource_logs(metadata: Sorted) -> ResourceLogs:
    """The resource alone. Raises ValueError."""
    texts = metadata.resource
    entities = json.loads(texts.get(names.RESOURCE_ENTITIES, "[]"))
    resource = Resource(
        attributes=metadata.pairs(names.RESOURCE, texts),
        dropped_attributes_count=int(texts.get(names.RESOURCE_DROPPED, "0")),
        entity_refs=[json_format.ParseDict(entity, EntityRef()) for entity in entities],
    )
    return ResourceLogs(resource=resource, schema_url=texts.get(names.RESOURCE_SCHEMA_URL, ""))


def scope_logs(metadata: Sorted) -> ScopeLogs:
    """The scope alone. Raises ValueError."""
    texts = metadata.scope
    scope = InstrumentationScope(
        name=texts.get(names.SCOPE_NAME, ""),
        version=texts.get(names.SCOPE_VERSION, ""),
        attributes=metadata.pairs(names.SCOPE, texts),
        dropped_attributes_count=int(texts.get(names.SCOPE_DROPPED, "0")),
    )
    return ScopeLogs(scope=scope, schema_url=texts.get(names.SCOPE_SCHEMA_URL, ""))


def record_of(entry: LogEntry, metadata: Sorted) -> LogRecord:
    """The record of an entry. Raises ValueError for metadata that is not as draft_of() makes it."""
    facts = metadata.facts
    number = int(facts.get(names.SEVERITY_NUMBER, SEVERITIES[entry.level]))
    record = LogRecord(
        severity_number=SeverityNumber.ValueType(number),
        severity_text=facts.get(names.SEVERITY_TEXT, severity_text(number)),
        flags=int(facts.get(names.FLAGS, "0")),
        event_name=facts.get(names.EVENT_NAME, ""),
        dropped_attributes_count=int(facts.get(names.DROPPED, "0")),
        body=_body(entry, facts.get(names.BODY)),
    )
    attributes = metadata.attributes.copy()
    _set_times(record, entry, facts, attributes)
    record.trace_id = _id(
        entry.trace_id, TRACE_ID_BYTES, facts.get(names.TRACE_ID, ""), names.TRACE_ID_TEXT, attributes
    )
    record.span_id = _id(
        entry.span_id, SPAN_ID_BYTES, facts.get(names.SPAN_ID, ""), names.SPAN_ID_TEXT, attributes
    )
    attributes[names.RECORD_UID] = AnyValue(string_value=entry.id)
    record.attributes.extend(KeyValue(key=name, value=value) for name, value in attributes.items())
    return record


def _body(entry: LogEntry, kind: str | None) -> AnyValue | None:
    if kind is None:
        return AnyValue(string_value=entry.message)
    if kind == NO_BODY:
        return None
    if kind.startswith(EMPTY):
        return value_of("", kind.removeprefix(EMPTY))
    return value_of(entry.message, kind)


def _set_times(
    record: LogRecord, entry: LogEntry, facts: Mapping[str, str], attributes: dict[str, AnyValue]
) -> None:
    time_ns = _ns(entry.timestamp)
    if not time_ns or rfc3339_ns_utc(time_ns) != entry.timestamp:
        attributes[names.TIMESTAMP] = AnyValue(string_value=entry.timestamp)
    if entry.timestamp_assigned:
        attributes[names.TIMESTAMP_ASSIGNED] = AnyValue(bool_value=True)
    if entry.timestamp_assigned or facts.get(names.TIME) == OBSERVED:
        record.observed_time_unix_nano = time_ns
        return
    record.time_unix_nano = time_ns
    if names.OBSERVED_TIME in facts:
        record.observed_time_unix_nano = _ns(facts[names.OBSERVED_TIME])


def _ns(text: str) -> int:
    """0, OTLP's word for an unknown time, for what its 64 bits do not hold."""
    try:
        time_ns = epoch_ns(text)
    except (ValueError, OverflowError):
        return 0
    return time_ns if 0 < time_ns <= NS_MAX else 0


def _id(text: str, length: int, other: str, text_name: str, attributes: dict[str, AnyValue]) -> bytes:
    if is_id(text, length):
        return bytes.fromhex(text)
    if text:
        attributes[text_name] = AnyValue(string_value=text)
    return bytes.fromhex(other)
