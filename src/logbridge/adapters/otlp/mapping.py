"""OTLP's log data model ↔ entries, both ways without loss where an entry can hold it (docs/otlp-in.md).

An entry that goes out and comes in again is the same entry, always. A record that comes in and goes out again
is the same record, but for what docs/otlp-in.md lists as normalised. Pure: messages in, drafts out, and back.
"""

from collections.abc import Iterable, Iterator, Sequence

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from msgspec import Struct, field
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from logbridge.adapters.otlp.incoming import Told, draft_of, resource_told, scope_told
from logbridge.adapters.otlp.outgoing import (
    Sorted,
    record_of,
    resource_logs,
    scope_logs,
    sorted_metadata,
    verbatim_metadata,
)
from logbridge.domain.entry import EntryDraft, LogEntry
from logbridge.domain.errors import InvalidEntry

# Protobuf reads 100 messages within each other, and a map within a map is three: what is deeper goes out as
# text.
OUT_DEPTH_MAX = 25


def drafts_of(request: ExportLogsServiceRequest, depth_max: int) -> list[EntryDraft | InvalidEntry]:
    """What each record of a request says, in its order; an InvalidEntry stands for a bad one.

    depth_max: levels of arrays and maps in one value (LOGBRIDGE_METADATA_DEPTH_MAX).
    """
    drafts: list[EntryDraft | InvalidEntry] = []
    for of_resource in request.resource_logs:
        for of_scope in of_resource.scope_logs:
            drafts += drafts_of_scope(of_resource, of_scope, of_scope.log_records, depth_max)
    return drafts


def drafts_of_scope(
    of_resource: ResourceLogs,
    of_scope: ScopeLogs,
    records: Iterable[LogRecord | InvalidEntry],
    depth_max: int,
) -> Iterator[EntryDraft | InvalidEntry]:
    """As drafts_of(), for records that come one at a time; an InvalidEntry among them stays one."""
    common: tuple[Told, Told] | InvalidEntry
    try:
        common = resource_told(of_resource, depth_max), scope_told(of_scope, depth_max)
    except InvalidEntry as error:
        common = error
    for record in records:
        if isinstance(record, InvalidEntry):
            yield record
        elif isinstance(common, InvalidEntry):
            yield common
        else:
            yield _draft_or_error(record, *common, depth_max)


def _draft_or_error(
    record: LogRecord, resource: Told, scope: Told, depth_max: int
) -> EntryDraft | InvalidEntry:
    try:
        return draft_of(record, resource, scope, depth_max)
    except InvalidEntry as error:
        return error


def to_request(entries: Sequence[LogEntry]) -> ExportLogsServiceRequest:
    """The entries by resource and scope, each in the order given; drafts_of() of it gives the same entries.

    What did not come by OTLP is told in OTLP's own fields and in attributes that are strings. An entry whose
    metadata would come back as something else has it in one attribute, ``logbridge.metadata``.
    """
    groups = _Groups()
    for entry in entries:
        if not groups.add_sorted(entry):
            groups.add(entry, verbatim_metadata(entry))
    return groups.request()


class _Scope(Struct):
    logs: ScopeLogs
    told: Told


class _Resource(Struct):
    logs: ResourceLogs
    told: Told
    scopes: dict[object, _Scope] = field(default_factory=dict)


class _Groups:
    def __init__(self) -> None:
        self._resources: dict[object, _Resource] = {}

    def add_sorted(self, entry: LogEntry) -> bool:
        """Whether the entry was added: not where it would come back as another one."""
        try:
            metadata = sorted_metadata(entry)
            resource, scope = self._place(metadata)
            record = record_of(entry, metadata)
            draft = draft_of(record, resource.told, scope.told, OUT_DEPTH_MAX)
        except (ValueError, TypeError, json_format.Error, DecodeError, RecursionError, InvalidEntry):
            return False
        if not _is(draft, entry):
            return False
        scope.logs.log_records.append(record)
        return True

    def add(self, entry: LogEntry, metadata: Sorted) -> None:
        self._place(metadata)[1].logs.log_records.append(record_of(entry, metadata))

    def _place(self, metadata: Sorted) -> tuple[_Resource, _Scope]:
        resource = self._resources.get(key := metadata.key(metadata.resource))
        if resource is None:
            logs = resource_logs(metadata)
            resource = self._resources[key] = _Resource(logs, resource_told(logs, OUT_DEPTH_MAX))
        scope = resource.scopes.get(key := metadata.key(metadata.scope))
        if scope is None:
            scoped = scope_logs(metadata)
            scope = resource.scopes[key] = _Scope(scoped, scope_told(scoped, OUT_DEPTH_MAX))
        return resource, scope

    def request(self) -> ExportLogsServiceRequest:
        request = ExportLogsServiceRequest()
        for resource in self._resources.values():
            filled = [scope.logs for scope in resource.scopes.values() if scope.logs.log_records]
            if filled:
                resource.logs.scope_logs.extend(filled)
                request.resource_logs.append(resource.logs)
        return request


def _is(draft: EntryDraft, entry: LogEntry) -> bool:
    fields = draft.fields
    return (
        fields.log_id == entry.id
        and fields.message == entry.message
        and fields.timestamp == entry.timestamp
        and fields.level == entry.level.name
        and fields.service_name == entry.service_name
        and fields.metadata == entry.metadata
        and (fields.trace_id, fields.span_id) == (entry.trace_id, entry.span_id)
        and draft.timestamp_assigned == entry.timestamp_assigned
    )
