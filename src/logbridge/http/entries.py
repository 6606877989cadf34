"""From what a caller gives to the JSON of an entry, with an id and a time of its own."""

import json
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct
from uuid_utils import uuid7

from logbridge.domain.entry import LogLevel
from logbridge.domain.errors import InvalidEntry
from logbridge.domain.plain import json_value
from logbridge.domain.timestamp import rfc3339_utc

STREAM_PIECE_BYTES = 64 * 1024


class Drafted(Struct, frozen=True):
    """An entry as it is sent. Sent again it is the same bytes: only so is it stored once."""

    log_id: str
    content: bytes


def drafted(fields: object) -> Drafted:
    """The entry of a caller's mapping, which is not changed.

    An entry without a log_id gets a UUIDv7 (RFC 9562), one without a timestamp the time of now.
    Raises InvalidEntry for what is no mapping, or cannot be JSON in UTF-8.
    """
    if not isinstance(fields, Mapping):
        raise InvalidEntry("$", f"expected a mapping, got {type(fields).__name__}")
    entry: dict[Any, Any] = {"timestamp": None, **fields}
    if not entry.get("log_id"):
        entry["log_id"] = str(uuid7())
    if entry["timestamp"] is None:
        entry["timestamp"] = rfc3339_utc(time.time_ns() // 1000)
    if isinstance(level := entry.get("level"), LogLevel):
        entry["level"] = level.name
    return Drafted(str(entry["log_id"]), _content(entry))


def _content(entry: dict[Any, Any]) -> bytes:
    try:
        return _json(entry).encode()
    except UnicodeEncodeError:
        raise InvalidEntry("$", "it has half of a surrogate pair, which is not text") from None
    # Most entries need no second look. Whatever a caller's own __str__ raises is about this one entry.
    except Exception:
        return _json({name: _finite(name, value) for name, value in entry.items()}).encode()


def _json(entry: dict[Any, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False, allow_nan=False, default=json_value, separators=(",", ":"))


def _finite(name: object, value: Any) -> Any:
    """The value, or its text where it holds NaN or an infinity, which JSON lacks: in metadata all is text."""
    if name == "metadata" and isinstance(value, Mapping):
        return {inner: _finite(f"metadata.{inner}", item) for inner, item in value.items()}
    try:
        text = json.dumps(value, ensure_ascii=False, default=json_value, separators=(",", ":"))
        text.encode()
    except Exception as error:
        reason = f"cannot be written as JSON: {type(error).__name__}: {error}"
        raise InvalidEntry(f"$.{str(name)[:100]}", reason) from None
    try:
        json.dumps(value, allow_nan=False, default=json_value)
    except ValueError:
        return text
    return value


class Lines:
    """The body of a stream: a line of JSON for each entry, in pieces of about 64 KiB.

    begun: whether an entry was taken from the caller, who has it no more.
    """

    def __init__(self) -> None:
        self.begun = False
        self._waiting: list[bytes] = []
        self._bytes = 0

    def of(self, entries: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        """The pieces, each made when it is wanted. Raises InvalidEntry as drafted()."""
        for entry in entries:
            if self._full(entry):
                yield self._piece()
        yield self._piece()

    async def of_async(
        self, entries: AsyncIterable[Mapping[str, Any]] | Iterable[Mapping[str, Any]]
    ) -> AsyncIterator[bytes]:
        """As of(), for entries that may have to be awaited."""
        if not isinstance(entries, AsyncIterable):
            for piece in self.of(entries):
                yield piece
            return
        async for entry in entries:
            if self._full(entry):
                yield self._piece()
        yield self._piece()

    def _full(self, entry: Mapping[str, Any]) -> bool:
        self.begun = True
        line = drafted(entry).content
        self._waiting += (line, b"\n")
        self._bytes += len(line) + 1
        return self._bytes >= STREAM_PIECE_BYTES

    def _piece(self) -> bytes:
        piece, self._waiting, self._bytes = b"".join(self._waiting), [], 0
        return piece
