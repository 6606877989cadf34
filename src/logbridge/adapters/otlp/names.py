"""What an entry's metadata calls the parts of OTLP's log data model that LogEntry has no field for."""

RESOURCE = "resource."
SCOPE = "scope.attributes."
SCOPE_NAME = "scope.name"
SCOPE_VERSION = "scope.version"
# The record's own attributes have no prefix, unless they would be taken for one of the others.
ATTRIBUTE = "attribute."

SEVERITY_NUMBER = "otel.severity_number"
SEVERITY_TEXT = "otel.severity_text"
BODY = "otel.body"
TYPES = "otel.types"
TIME = "otel.time"
OBSERVED_TIME = "otel.observed_time"
FLAGS = "otel.flags"
EVENT_NAME = "otel.event_name"
DROPPED = "otel.dropped_attributes_count"
TRACE_ID = "otel.trace_id"
SPAN_ID = "otel.span_id"
RESOURCE_DROPPED = "otel.resource_dropped_attributes_count"
RESOURCE_SCHEMA_URL = "otel.resource_schema_url"
RESOURCE_ENTITIES = "otel.resource_entity_refs"
SCOPE_DROPPED = "otel.scope_dropped_attributes_count"
SCOPE_SCHEMA_URL = "otel.scope_schema_url"

OF_RESOURCE = frozenset((RESOURCE_DROPPED, RESOURCE_SCHEMA_URL, RESOURCE_ENTITIES))
OF_SCOPE = frozenset((SCOPE_NAME, SCOPE_VERSION, SCOPE_DROPPED, SCOPE_SCHEMA_URL))
OF_RECORD = frozenset(
    (
        SEVERITY_NUMBER,
        SEVERITY_TEXT,
        BODY,
        TYPES,
        TIME,
        OBSERVED_TIME,
        FLAGS,
        EVENT_NAME,
        DROPPED,
        TRACE_ID,
        SPAN_ID,
    )
)
_TAKEN = OF_RESOURCE | OF_SCOPE | OF_RECORD

# Attributes on the wire. The id of a log is one of the semantic conventions; the others are ours, for what
# OTLP has no field for.
SERVICE_NAME = "service.name"
RECORD_UID = "log.record.uid"
TRACE_ID_TEXT = "trace_id"
SPAN_ID_TEXT = "span_id"
TIMESTAMP = "logbridge.timestamp"
TIMESTAMP_ASSIGNED = "logbridge.timestamp_assigned"
METADATA = "logbridge.metadata"


def is_taken(name: str) -> bool:
    """Whether metadata of this name does not mean the record's attribute of the same name."""
    while name.startswith(ATTRIBUTE):
        name = name[len(ATTRIBUTE) :]
    return name in _TAKEN or name.startswith((RESOURCE, SCOPE))


def of_attribute(name: str) -> str:
    """What metadata calls an attribute of the record."""
    return ATTRIBUTE + name if is_taken(name) else name


def attribute_of(name: str) -> str | None:
    """The attribute that metadata means with a name; None where it means something else."""
    if not is_taken(name):
        return name
    return name[len(ATTRIBUTE) :] if name.startswith(ATTRIBUTE) else None
