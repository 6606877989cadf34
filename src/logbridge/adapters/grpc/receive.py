"""Messages of the wire → entries, by the rules that callers of the bridge know too."""

import msgspec

from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.mapping import level_of
from logbridge.domain.entry import EntryMaker, LogEntry, LogLevel, classify
from logbridge.domain.errors import InvalidEntry, ServiceForbidden
from logbridge.domain.timestamp import epoch_us

_LEVELS = {level.value: level for level in LogLevel}
_UTF8_BYTES_MAX = 4  # of one character


def received(message: pb.LogEntry, maker: EntryMaker, services: frozenset[str] = frozenset()) -> LogEntry:
    """The entry of a message, complete: ``maker`` fills in what is missing.

    services: the only ones that whoever sent it may write as. Raises InvalidEntry, ServiceForbidden.
    """
    entry = _complete(message, maker)
    if entry is None:
        return _made(message, maker, services)
    if services and entry.service_name not in services:
        raise ServiceForbidden(entry.service_name, services)
    return entry


def _complete(message: pb.LogEntry, maker: EntryMaker) -> LogEntry | None:
    """What _made() gives for a good message, at a fifth of the cost; None for any that it must judge."""
    level = _LEVELS.get(message.level)
    text, service_name, timestamp = message.message, message.service_name, message.timestamp
    if level is None or not text or not service_name or not _is_time(timestamp):
        return None
    log_id = message.id or maker.new_id()
    # A message is longer than its text.
    if message.ByteSize() + len(log_id) * _UTF8_BYTES_MAX > maker.entry_bytes_max:
        return None
    metadata = message.metadata
    return LogEntry(
        id=log_id,
        service_name=service_name,
        level=level,
        message=text,
        timestamp=timestamp,
        # dict(metadata) takes twice as long.
        metadata={key: metadata[key] for key in metadata},
        trace_id=message.trace_id,
        span_id=message.span_id,
        timestamp_assigned=message.timestamp_assigned,
    )


def _is_time(text: str) -> bool:
    try:
        epoch_us(text)
    except (ValueError, OverflowError):
        return False
    return True


def _made(message: pb.LogEntry, maker: EntryMaker, services: frozenset[str]) -> LogEntry:
    try:
        level = level_of(message.level)
    except ValueError as error:
        raise InvalidEntry("$.level", str(error)) from None
    draft = classify(
        {
            "message": message.message,
            "service_name": message.service_name,
            "level": level.name,
            "trace_id": message.trace_id,
            "span_id": message.span_id,
            "metadata": dict(message.metadata),
            "timestamp": message.timestamp or None,
            "log_id": message.id,
        }
    )
    entry = maker.make_within(services, draft) if services else maker.make(draft)
    assigned = entry.timestamp_assigned or message.timestamp_assigned
    return msgspec.structs.replace(entry, timestamp_assigned=assigned)
