"""From what a caller gives to the JSON of an entry, with an id and a time of its own."""

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from logbridge.domain.errors import InvalidEntry
from logbridge.entrypoints.python.drafts import identified

STREAM_PIECE_BYTES = 64 * 1024


class Drafted(Struct, frozen=True):
    """An entry as it is sent. Sent again it is the same bytes: only so is it stored once.

    index: int, its place in the batch of the caller.
    """

    log_id: str
    content: bytes
    index: int = 0


def drafted(fields: object, index: int = 0) -> Drafted:
    """The entry of a caller's mapping, which is not changed.

    An entry without a log_id gets a UUIDv7 (RFC 9562), one without a timestamp the time of now.
    Raises InvalidEntry for what is no mapping, or cannot be JSON in UTF-8.
    """
    if not isinstance(fields, Mapping):
        raise InvalidEntry("$", f"expected a mapping, got {type(fields).__name__}")
    entry = identified(fields)
    try:
        content = _content(entry).encode()
    except UnicodeEncodeError:
        raise InvalidEntry("$", "it has half of a surrogate pair, which is not text") from None
    except ValueError as error:
        raise InvalidEntry("$", f"cannot be written as JSON: {error}") from None
    return Drafted(str(entry["log_id"]), content, index)


def _content(entry: dict[str, Any]) -> str:
    try:
        return _json(entry, allow_nan=False)
    except ValueError:
        return _json({name: _finite(name, value) for name, value in entry.items()}, allow_nan=False)


def _finite(name: str, value: Any) -> Any:
    """The value; its text where it has NaN or an infinity, which JSON lacks: metadata is text in any case."""
    if name == "metadata" and isinstance(value, dict):
        return {inner: _finite("", item) for inner, item in value.items()}
    try:
        _json(value, allow_nan=False)
    except ValueError:
        return _json(value, allow_nan=True)
    return value


def _json(value: object, *, allow_nan: bool) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=allow_nan, separators=(",", ":"))


class Lines:
    """The body of a stream: a line of JSON for each entry, in pieces of about STREAM_PIECE_BYTES.

    begun: whether an entry was taken from the caller, who has it no more.
    """

    def __init__(self) -> None:
        self.begun = False
        self._waiting: list[bytes] = []
        self._bytes = 0

    def of(self, entries: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        """The pieces, each made when it is wanted. Raises InvalidEntry as drafted()."""
        for entry in entries:
            if self._fills(entry):
                yield self._piece()
        yield self._piece()

    async def of_async(self, entries: AsyncIterable[Mapping[str, Any]]) -> AsyncIterator[bytes]:
        """As of(), for entries that are awaited."""
        async for entry in entries:
            if self._fills(entry):
                yield self._piece()
        yield self._piece()

    def _fills(self, entry: Mapping[str, Any]) -> bool:
        self.begun = True
        line = drafted(entry).content
        self._waiting += (line, b"\n")
        self._bytes += len(line) + 1
        return self._bytes >= STREAM_PIECE_BYTES

    def _piece(self) -> bytes:
        piece, self._waiting, self._bytes = b"".join(self._waiting), [], 0
        return piece
