"""Protobuf's wire format, as far as it takes to cut a message apart without reading what is in it."""

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BYTES_MAX = 10


class NotProtobufError(ValueError):
    """Bytes that are no message."""


class TooManyError(ValueError):
    """More fields than were asked for."""


def split(message: bytes, number: int, fields_max: int) -> tuple[bytes, list[bytes]]:
    """A message without its field ``number``, and each of the messages in that field.

    Raises NotProtobufError, and TooManyError for more than ``fields_max`` fields in all.
    """
    rest: list[bytes] = []
    inner: list[bytes] = []
    for count, (tag, start, begin, end) in enumerate(_fields(message)):
        if count == fields_max:
            raise TooManyError
        if tag == number << 3 | _BYTES:
            inner.append(message[begin:end])
        else:
            rest.append(message[start:end])
    return b"".join(rest), inner


def _fields(message: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Of each field its tag, where it starts, and where its content begins and ends."""
    place, length = 0, len(message)
    while place < length:
        start = place
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == _BYTES:
            size, begin = _varint(message, place)
            place = begin + size
        elif kind == _VARINT:
            begin = place
            _, place = _varint(message, place)
        elif kind in _FIXED:
            begin = place
            place += _FIXED[kind]
        else:
            raise NotProtobufError(f"byte {start} begins a field of no kind that OTLP has")
        if place > length:
            raise NotProtobufError(f"the field at byte {start} is longer than its message")
        yield tag, start, begin, place


def _varint(message: bytes, place: int) -> tuple[int, int]:
    number = 0
    for index, byte in enumerate(message[place : place + _VARINT_BYTES_MAX]):
        number |= (byte & 127) << 7 * index
        if byte < 128:
            return number, place + index + 1
    raise NotProtobufError(f"the number at byte {place} does not end")
