"""From the bytes of a request to drafts: media type, encoding, size, JSON; and why something cannot be read.

msgspec decodes; what it rejects is looked at again by the standard library, which is slower and says where.
"""

import asyncio
import json
import math
import re
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from starlette.types import Receive, Scope

from logbridge.domain.entry import EntryDraft, classify, split_path
from logbridge.domain.errors import InvalidEntry, InvalidRequest
from logbridge.entrypoints.http.compression import (
    ACCEPTED,
    Decompression,
    Expanded,
    NotDecompressed,
    parse_encodings,
)
from logbridge.entrypoints.http.lifecycle import ClientLeft
from logbridge.entrypoints.http.problems import LoneSurrogate, NotJson, RequestRejected
from logbridge.entrypoints.http.schema import StrictBatchRequest, StrictWriteRequest

_JSON_TYPE = re.compile(r"application/(json|[\w.!#$&^-]+\+json)")
_ACCEPT = "application/json, application/*+json"
_OUT_OF_RANGE = "this number is out of range"
_NESTED = "it is nested too deeply"


class _RawBatch(msgspec.Struct):
    log_entries: list[msgspec.Raw]


_entry_decoder = msgspec.json.Decoder(StrictWriteRequest)
_batch_decoder = msgspec.json.Decoder(StrictBatchRequest)
_raw_batch_decoder = msgspec.json.Decoder(_RawBatch)
_any_decoder = msgspec.json.Decoder()


def read_json_body(scope: Scope, receive: Receive, bytes_max: int) -> Coroutine[Any, Any, bytes]:
    """The body of a request that says it is JSON. As read_body(), and 415 for another media type."""
    return read_body(scope, receive, bytes_max, _check_media_type)


async def read_body(
    scope: Scope, receive: Receive, bytes_max: int, check_media_type: Callable[[bytes], None]
) -> bytes:
    """The body of a request, decompressed.

    check_media_type: raises for a Content-Type that is not read here.

    Raises RequestRejected: 415 for an encoding that is not known, 413 over ``bytes_max`` as it comes or
    decompressed (what lies beyond is not read), 400 for what its encoding cannot be; ClientLeft if it never
    becomes complete.
    """
    length, encodings = check_headers(scope, check_media_type)
    if length > bytes_max:
        raise _too_large(bytes_max)
    decompression = Decompression(encodings, bytes_max) if encodings else None
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        part = message.get("body", b"")
        size_bytes += len(part)
        if size_bytes > bytes_max:
            raise _too_large(bytes_max)
        last = not message.get("more_body", False)
        if decompression is None:
            parts.append(part)
        else:
            await _decompress(decompression, part, parts, bytes_max, last=last)
        if last:
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _decompress(
    decompression: Decompression, part: bytes, pieces: list[bytes], bytes_max: int, *, last: bool
) -> None:
    try:
        for piece in decompression.feed(part):
            if pieces:
                await asyncio.sleep(0)  # others have their turn: a few bytes may stand for many pieces
            pieces.append(piece)
        if last:
            decompression.end()
    except Expanded:
        raise _too_large(bytes_max, " when decompressed") from None
    except NotDecompressed as error:
        raise RequestRejected(400, f"the body is not what Content-Encoding says: {error}") from None


def _too_large(bytes_max: int, when: str = "") -> RequestRejected:
    return RequestRejected(413, f"the body is larger than LOGBRIDGE_BODY_BYTES_MAX={bytes_max} bytes{when}")


def check_headers(scope: Scope, check_media_type: Callable[[bytes], None]) -> tuple[int, list[str]]:
    """The declared length of a body, 0 if there is none, and its encodings.

    check_media_type: raises for a Content-Type that is not read here. Raises RequestRejected (415).
    """
    length = 0
    encoding = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            check_media_type(value)
        elif name == b"content-encoding":
            encoding += b"," + value
        elif name == b"content-length" and value.isdigit():
            length = int(value[:18])
    return length, _encodings(encoding.decode("latin-1")) if encoding else []


def _check_media_type(value: bytes) -> None:
    if value == b"application/json":
        return
    media_type = value.decode("latin-1").partition(";")[0].strip().lower()
    if media_type and not _JSON_TYPE.fullmatch(media_type):
        raise RequestRejected(
            415,
            f"Content-Type {media_type[:100]} is not supported; send application/json",
            {"Accept": _ACCEPT},
        )


def _encodings(value: str) -> list[str]:
    encodings = parse_encodings(value)
    if encodings is None:
        raise RequestRejected(
            415,
            f"Content-Encoding {value[1:].strip()[:100]} is not supported; send one or two of {ACCEPTED}",
            {"Accept-Encoding": ACCEPTED},
        )
    return encodings


def decode_entry(body: bytes) -> EntryDraft:
    """The draft of a write. Raises NotJson, or InvalidEntry with the path of the field."""
    try:
        return EntryDraft(_entry_decoder.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return classify(decode_json(body, InvalidEntry))


def decode_batch(body: bytes, check_size: Callable[[int], None]) -> list[EntryDraft | InvalidEntry]:
    """The drafts of a batch; an InvalidEntry stands for an entry that cannot be read.

    check_size: raises if so many entries are not allowed. Raises NotJson or InvalidRequest for the body.
    """
    try:
        entries = _batch_decoder.decode(body).log_entries
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_one_by_one(body, check_size)
    check_size(len(entries))
    return [EntryDraft(entry) for entry in entries]


def decode_json(body: bytes, invalid: type[InvalidEntry] | type[InvalidRequest]) -> Any:
    """Any JSON document. Raises NotJson, or ``invalid`` for a number that is out of range."""
    try:
        return _any_decoder.decode(body)
    except RecursionError:
        raise NotJson(_NESTED) from None
    except msgspec.ValidationError:
        raise invalid(_infinity(_read_slowly(_utf8(body))), _OUT_OF_RANGE) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        _read_slowly(_utf8(body))
        raise LoneSurrogate from None


def _decode_one_by_one(body: bytes, check_size: Callable[[int], None]) -> list[EntryDraft | InvalidEntry]:
    text = _utf8(body)
    try:
        raws: list[bytes | InvalidEntry] = [bytes(raw) for raw in _raw_batch_decoder.decode(body).log_entries]
    except RecursionError:
        raise NotJson(_NESTED) from None
    except msgspec.ValidationError as error:
        # What comes after the wrong type has not been looked at, and may be no JSON at all.
        decode_json(body, InvalidRequest)
        raise InvalidRequest(*split_path(str(error))) from None
    except msgspec.DecodeError:
        raws = _split_leniently(text)
    check_size(len(raws))
    return [raw if isinstance(raw, InvalidEntry) else decode_raw(raw) for raw in raws]


def decode_raw(raw: bytes) -> EntryDraft | InvalidEntry:
    """The draft of one entry among others; InvalidEntry stands for one that cannot be read."""
    try:
        return decode_entry(raw)
    except InvalidEntry as error:
        return error
    except NotJson as error:
        return InvalidEntry("$", error.reason)


def _split_leniently(text: str) -> list[bytes | InvalidEntry]:
    """The entries of a batch that msgspec rejects; only a lone surrogate gets past the standard library."""
    document = _read_slowly(text)
    entries = document.get("log_entries") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise InvalidRequest("$.log_entries", "expected an array of entries")
    return [_as_bytes(entry) for entry in entries]


def _as_bytes(entry: object) -> bytes | InvalidEntry:
    try:
        return json.dumps(entry, allow_nan=False).encode()
    except ValueError:
        return InvalidEntry(_infinity(entry), _OUT_OF_RANGE)


def _infinity(document: object) -> str:
    """The path of the first number that is out of range."""
    places = [("$", document)]
    while places:
        path, value = places.pop()
        if isinstance(value, float) and math.isinf(value):
            return path
        if isinstance(value, dict):
            places += [(f"{path}.{name}", inner) for name, inner in reversed(value.items())]
        elif isinstance(value, list):
            places += [(f"{path}[{index}]", inner) for index, inner in reversed(list(enumerate(value)))]
    return "$"


def _utf8(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise NotJson(f"byte {error.start} is not UTF-8") from None


def _read_slowly(text: str) -> Any:
    """The document by the standard library. Raises NotJson that says where."""
    try:
        return json.loads(text, parse_constant=_no_constant, parse_int=_parse_int)
    except RecursionError:
        raise NotJson(_NESTED) from None
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at line {error.lineno} column {error.colno}" if text.strip() else "it is empty"
        raise NotJson(reason) from None


def _no_constant(name: str) -> Any:
    raise NotJson(f"{name} is not a JSON number")


def _parse_int(digits: str) -> int | float:
    # Infinity stands for "out of range" here, as it does for a float with a huge exponent.
    return int(digits) if len(digits) <= (sys.get_int_max_str_digits() or len(digits)) else float("inf")
