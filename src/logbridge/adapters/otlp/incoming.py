"""A LogRecord, with its resource and scope → what an EntryMaker makes an entry of."""

import json
from collections.abc import Iterable

from google.protobuf import json_format
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from logbridge.adapters.otlp import names
from logbridge.adapters.otlp.values import STRING, deeper_than, string_map, text_of
from logbridge.domain.entry import EntryDraft, EntryFields, LogLevel
from logbridge.domain.errors import InvalidEntry
from logbridge.domain.timestamp import rfc3339_ns_utc

# An entry needs a message: a record without a text is called by its event's name, or this.
NO_MESSAGE = "-"
NO_BODY = "none"
EMPTY = "empty "  # before the kind of a body that has a kind, but no text
OBSERVED = "observed"
TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
SEVERITIES = {
    LogLevel.DEBUG: 5,
    LogLevel.INFO: 9,
    LogLevel.WARN: 13,
    LogLevel.ERROR: 17,
    LogLevel.FATAL: 21,
}
# By the log data model, "Field: SeverityNumber": four numbers each. TRACE and DEBUG are both DEBUG here.
_LEVELS = dict(
    zip(
        range(1, 25),
        (level for level in (LogLevel.DEBUG, *LogLevel) for _ in range(4)),
        strict=True,
    )
)


class Told:
    """Metadata on the way in. depth_max: levels of arrays and maps in one value."""

    def __init__(self, depth_max: int) -> None:
        self.service_name: str | None = None
        self.texts: dict[str, str] = {}
        self.kinds: dict[str, str] = {}
        self._depth_max = depth_max

    def value(self, value: AnyValue, path: str) -> tuple[str, str]:
        """Its text and kind. Raises InvalidEntry for one that nests too deep."""
        if deeper_than(value, self._depth_max):
            limit = f"LOGBRIDGE_METADATA_DEPTH_MAX={self._depth_max}"
            raise InvalidEntry(path, f"nested deeper than {limit} allows")
        return text_of(value)

    def attribute(self, name: str, value: AnyValue, path: str) -> None:
        text, kind = self.value(value, path)
        self.texts[name] = text
        if kind != STRING:
            self.kinds[name] = kind
        else:
            self.kinds.pop(name, None)

    def attributes(self, prefix: str, pairs: Iterable[KeyValue], path: str) -> None:
        for pair in pairs:
            self.attribute(prefix + pair.key, pair.value, f"{path}.{pair.key[:100]}")

    def fact(self, name: str, value: str | int) -> None:
        """Note a field of the model; what has its default needs no note."""
        if value:
            self.texts[name] = str(value)


def resource_told(of: ResourceLogs, depth_max: int) -> Told:
    """What all records of a resource have in common. Raises InvalidEntry."""
    told = Told(depth_max)
    told.attributes(names.RESOURCE, of.resource.attributes, "$.resource.attributes")
    # Without a name, or with an empty one, it is the default that the entry gets.
    told.service_name = told.texts.pop(names.RESOURCE + names.SERVICE_NAME, "") or None
    if told.service_name is None:
        told.kinds.pop(names.RESOURCE + names.SERVICE_NAME, None)
    told.fact(names.RESOURCE_DROPPED, of.resource.dropped_attributes_count)
    told.fact(names.RESOURCE_SCHEMA_URL, of.schema_url)
    if of.resource.entity_refs:
        told.fact(
            names.RESOURCE_ENTITIES, json.dumps([*map(json_format.MessageToDict, of.resource.entity_refs)])
        )
    return told


def scope_told(of: ScopeLogs, depth_max: int) -> Told:
    """What all records of a scope have in common. Raises InvalidEntry."""
    told = Told(depth_max)
    told.attributes(names.SCOPE, of.scope.attributes, "$.scope.attributes")
    told.fact(names.SCOPE_NAME, of.scope.name)
    told.fact(names.SCOPE_VERSION, of.scope.version)
    told.fact(names.SCOPE_DROPPED, of.scope.dropped_attributes_count)
    told.fact(names.SCOPE_SCHEMA_URL, of.schema_url)
    return told


def draft_of(record: LogRecord, resource: Told, scope: Told, depth_max: int) -> EntryDraft:
    """What a record says. Raises InvalidEntry."""
    told = Told(depth_max)
    given = {pair.key: pair.value for pair in record.attributes}
    log_id = _taken(given, names.RECORD_UID)
    trace_id = _id(told, record.trace_id, TRACE_ID_BYTES, names.TRACE_ID, given, names.TRACE_ID_TEXT)
    span_id = _id(told, record.span_id, SPAN_ID_BYTES, names.SPAN_ID, given, names.SPAN_ID_TEXT)
    assigned = names.TIMESTAMP_ASSIGNED in given and given.pop(names.TIMESTAMP_ASSIGNED).bool_value
    timestamp = _time(told, record, _taken(given, names.TIMESTAMP), assigned)
    verbatim = _verbatim(given)
    for key, value in given.items():
        told.attribute(names.of_attribute(key), value, f"$.attributes.{key[:100]}")
    level = _level(told, record)
    told.fact(names.FLAGS, record.flags)
    told.fact(names.EVENT_NAME, record.event_name)
    told.fact(names.DROPPED, record.dropped_attributes_count)
    message = _message(told, record)
    metadata = {**told.texts, **scope.texts, **resource.texts}
    kinds = {**told.kinds, **scope.kinds, **resource.kinds}
    if kinds:
        metadata[names.TYPES] = json.dumps(kinds, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    fields = EntryFields(
        message=message,
        service_name=resource.service_name,
        level=level.name,
        trace_id=trace_id,
        span_id=span_id,
        metadata={**metadata, **verbatim},
        timestamp=timestamp,
        log_id=log_id,
    )
    return EntryDraft(fields, timestamp_assigned=assigned)


def _taken(given: dict[str, AnyValue], name: str) -> str | None:
    """The text of an attribute that is not metadata; one of another kind, or empty, stays where it is."""
    text = given[name].string_value if name in given else ""
    if not text:
        return None
    del given[name]
    return text


def _verbatim(given: dict[str, AnyValue]) -> dict[str, str]:
    """The metadata of an entry that to_request() could not say in any other way."""
    value = given.get(names.METADATA)
    texts = string_map(value.kvlist_value) if value is not None and value.HasField("kvlist_value") else None
    if texts is None:
        return {}
    del given[names.METADATA]
    return texts


def _id(told: Told, raw: bytes, length: int, name: str, given: dict[str, AnyValue], text_name: str) -> str:
    if len(raw) == length:
        return raw.hex()
    if raw:
        # By logs.proto such a record belongs to no trace.
        told.fact(name, raw.hex())
        return ""
    # Ids that are no bytes travel as text; what are bytes would have come as such.
    text = given[text_name].string_value if text_name in given else ""
    return "" if is_id(text, length) else _taken(given, text_name) or ""


def is_id(text: str, length: int) -> bool:
    """Whether it is so many bytes in hexadecimal, in lower case."""
    try:
        return bytes.fromhex(text).hex() == text and len(text) == 2 * length
    except ValueError:
        return False


def _time(told: Told, record: LogRecord, text: str | None, assigned: bool) -> str | None:
    time_ns, observed_ns = record.time_unix_nano, record.observed_time_unix_nano
    if not time_ns and observed_ns and not text:
        if not assigned:
            told.fact(names.TIME, OBSERVED)
        return rfc3339_ns_utc(observed_ns)
    if observed_ns and not assigned:
        told.fact(names.OBSERVED_TIME, rfc3339_ns_utc(observed_ns))
    return text or (rfc3339_ns_utc(time_ns) if time_ns else None)


def _level(told: Told, record: LogRecord) -> LogLevel:
    number, text = int(record.severity_number), record.severity_text
    level = _LEVELS.get(number)
    if level is None:
        try:
            level = LogLevel.parse(text)
        except ValueError:
            level = LogLevel.INFO
    if number != SEVERITIES[level]:
        told.texts[names.SEVERITY_NUMBER] = str(number)
    if text != severity_text(number):
        told.fact(names.SEVERITY_TEXT, text)
    return level


def severity_text(number: int) -> str:
    """What a severity is called when nobody says otherwise: nothing, for a number without a meaning."""
    return _LEVELS[number].name if number in _LEVELS else ""


def _message(told: Told, record: LogRecord) -> str:
    text, kind = told.value(record.body, "$.body") if record.HasField("body") else ("", NO_BODY)
    if text and kind == STRING:
        return text
    told.fact(names.BODY, kind if text or kind == NO_BODY else EMPTY + kind)
    return text or record.event_name or NO_MESSAGE
