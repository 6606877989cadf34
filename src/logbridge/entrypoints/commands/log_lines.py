"""Lines of a log file as entries: bounded reading, NDJSON or plain text, ids that stay the same."""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, BinaryIO, NamedTuple

import msgspec

from logbridge.domain.entry import LogLevel

# Above what any bridge takes as one body; a longer line is never held in memory.
LINE_BYTES_MAX = 24 * 1024 * 1024
_LEVEL_WITHIN_CHARS = 80
_NAMES = "DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL"
# In brackets in any letter case, else in capitals: "an error of judgement" has no level.
_LEVEL = re.compile(rf"[\[(<](?i:({_NAMES}))[\])>]|(?<![\w.-])({_NAMES})(?![\w-])")
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Line(NamedTuple):
    """One line. number: from 1. offset, end: in bytes. raw: without its line end, None if it is too long."""

    number: int
    offset: int
    end: int
    raw: bytes | None
    terminated: bool


def read_lines(
    stream: BinaryIO, offset: int = 0, number: int = 0, line_bytes_max: int = LINE_BYTES_MAX
) -> Iterator[Line]:
    """The lines from where the stream stands. offset and number: of the last line before it."""
    while piece := stream.readline(line_bytes_max):
        number += 1
        end = offset + len(piece)
        too_long = len(piece) == line_bytes_max and not piece.endswith(b"\n")
        while too_long and piece and not piece.endswith(b"\n"):
            piece = stream.readline(line_bytes_max)
            end += len(piece)
        raw = None if too_long else piece.removesuffix(b"\n").removesuffix(b"\r")
        yield Line(number, offset, end, raw, piece.endswith(b"\n"))
        offset = end


def entry_of(raw: bytes, *, service_name: str | None, log_id: str) -> bytes:
    """The entry of a line as JSON, numbers and unknown names untouched.

    A JSON object with a message is the entry; any other line is the message of one. What it does not say
    itself is filled in: service_name, log_id, and of a line of text the level that stands in it.
    """
    fields: dict[str, Any] = {"log_id": log_id}
    if service_name is not None:
        fields["service_name"] = service_name
    given = _json_entry(raw)
    if given is None:
        return msgspec.json.encode(fields | text_entry(raw))
    # Empty, these say as little as null: ours must stand, or a line sent again would be another log.
    empty = {"log_id": b'""', "service_name": b'""'}
    return msgspec.json.encode(
        fields
        | {name: value for name, value in given.items() if bytes(value) not in (b"null", empty.get(name))}
    )


def _json_entry(raw: bytes) -> dict[str, msgspec.Raw] | None:
    if not raw.lstrip().startswith(b"{"):
        return None
    try:
        raw.decode()  # msgspec does not look into what it passes over
        given = _decode_object(raw)
        message = msgspec.json.decode(given["message"], type=str)
    except (UnicodeDecodeError, msgspec.DecodeError, KeyError, RecursionError):
        return None
    return given if message else None


def text_entry(raw: bytes) -> dict[str, str]:
    """A line of text as message and level. Bytes that are not UTF-8 are written as ``\\xff``."""
    message = raw.decode("utf-8", "backslashreplace")
    match = _LEVEL.search(message[:_LEVEL_WITHIN_CHARS])
    if match is None:
        return {"message": message}
    return {"message": message, "level": LogLevel.parse(match[1] or match[2]).name}


def line_id(source: str, offset: int, raw: bytes) -> str:
    """The id of a line: the same line at the same place of the same source has the same id."""
    return sha256(b"%s\0%d\0%s" % (source.encode("utf-8", "surrogateescape"), offset, raw)).hexdigest()[:32]
