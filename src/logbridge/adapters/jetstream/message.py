"""An entry as a message of a stream, and its id there."""

from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Refused

ID = "Nats-Msg-Id"
FORMAT = "Logbridge-Entry"
REASON = "Logbridge-Reason"
_VERSION = "1"
_REASON_CHARACTERS_MAX = 1000

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LogEntry).decode


class Unreadable(Exception):
    """A message that is no entry, or one of a newer logbridge."""


def message_id(entry: LogEntry) -> str:
    """What a stream knows an entry by, and drops it by if it comes again.

    An id is unique for its service only, and other content under a taken id must reach the log service, which
    refuses it by name: so all of it counts, except a time that the bridge assigned (LogEntry.same_content).
    """
    told = "" if entry.timestamp_assigned else entry.timestamp
    metadata = sorted(entry.metadata.items())
    content = (
        entry.service_name,
        entry.id,
        entry.level,
        entry.message,
        metadata,
        entry.trace_id,
        entry.span_id,
    )
    return blake2b(_encode((told, *content)), digest_size=16).hexdigest()


def encode_entry(entry: LogEntry) -> bytes:
    """The payload of an entry."""
    return _encode(entry)


def entry_headers(known_by: str) -> dict[str, str]:
    """The headers of an entry. known_by: see message_id."""
    return {ID: known_by, FORMAT: _VERSION}


def dead_headers(known_by: str, refused: Refused) -> dict[str, str]:
    """The headers of a dead letter, with the reason."""
    reason = " ".join(refused.reason.split())[:_REASON_CHARACTERS_MAX]
    return {ID: known_by, FORMAT: _VERSION, REASON: reason or refused.cause.value}


def decode_entry(data: bytes, headers: Mapping[str, str]) -> LogEntry:
    """The entry of a message. Raises Unreadable."""
    version = headers.get(FORMAT, "")
    if version != _VERSION:
        what = (
            f"an entry of version {version[:20]}, which this logbridge cannot read" if version else "no entry"
        )
        raise Unreadable(f"the message is {what}")
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise Unreadable(f"the message is no entry: {error}") from None


def read_headers(raw: bytes) -> dict[str, str]:
    """The headers of a stored message, as the server gives them: NATS/1.0, then name: value, in UTF-8."""
    lines = raw.decode(errors="replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip(): value.strip() for name, _, value in pairs}
