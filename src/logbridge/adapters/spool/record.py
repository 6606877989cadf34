"""A record: one entry as bytes that check themselves, and can be found even in a file that is damaged."""

import mmap
import struct
import zlib
from collections.abc import Iterator

import msgspec

from logbridge.domain.entry import LogEntry

_MAGIC = b"LBR1"
# Magic, sequence, length of the entry, CRC-32 of sequence and entry (ISO 3309, as in zlib).
_HEAD = struct.Struct("<4sQII")
_SEQUENCE = struct.Struct("<Q")

_encode_entry = msgspec.msgpack.Encoder().encode
_decode_entry = msgspec.msgpack.Decoder(LogEntry).decode


class DamagedRecord(Exception):
    """These bytes are not the record that should be here."""


def encode_record(sequence: int, entry: LogEntry) -> bytes:
    """The record of an entry under its sequence in the spool file."""
    body = _encode_entry(entry)
    return _HEAD.pack(_MAGIC, sequence, len(body), _checksum(sequence, body)) + body


def decode_record(raw: object, sequence: object) -> LogEntry:
    """The entry of a record. Raises DamagedRecord if a bit of it, or its sequence, is not as written."""
    return _decode_entry(check_record(raw, sequence))


def check_record(raw: object, sequence: object) -> bytes:
    """The entry of a record as it is encoded. Raises DamagedRecord, too, for what is not even bytes."""
    if not isinstance(raw, bytes):
        raise DamagedRecord(f"the record of entry {sequence} is gone")
    found = _record_at(raw, 0)
    if found is None or found[0] != sequence or _HEAD.size + len(found[1]) != len(raw):
        raise DamagedRecord(f"the checksum of entry {sequence} does not match")
    return found[1]


def find_records(raw: bytes | mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Every whole record (sequence, record) that lies anywhere in these bytes."""
    start = raw.find(_MAGIC)
    while start >= 0:
        found = _record_at(raw, start)
        if found is not None:
            sequence, body = found
            yield sequence, raw[start : start + _HEAD.size + len(body)]
        start = raw.find(_MAGIC, start + 1)


def _record_at(raw: bytes | mmap.mmap, start: int) -> tuple[int, bytes] | None:
    if len(raw) - start < _HEAD.size:
        return None
    magic, sequence, length, checksum = _HEAD.unpack_from(raw, start)
    body = raw[start + _HEAD.size : start + _HEAD.size + length]
    whole = magic == _MAGIC and len(body) == length and _checksum(sequence, body) == checksum
    return (sequence, body) if whole else None


def _checksum(sequence: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_SEQUENCE.pack(sequence)))
