"""What is fuzzed: functions that take any bytes.

Each may end as it is documented to end; any other exception is a fault. What is accepted must mean the same
to the standard library.
"""

import gzip
import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from google.protobuf.message import DecodeError, Message
from msgspec.structs import replace
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.mapping import from_histogram_request, from_message, from_request, to_message
from logbridge.adapters.grpc.receive import received
from logbridge.adapters.otlp.mapping import drafts_of, to_request
from logbridge.adapters.otlp.receive import Reader, identify
from logbridge.domain.entry import EntryDraft, EntryMaker, LogEntry
from logbridge.domain.errors import InvalidEntry, InvalidRequest
from logbridge.entrypoints.http.access import is_local, shown_key
from logbridge.entrypoints.http.compression import PIECE_BYTES_MAX, Decompression, Expanded, NotDecompressed
from logbridge.entrypoints.http.decode import decode_batch, decode_entry, decode_json
from logbridge.entrypoints.http.lines import Line, LineSplitter
from logbridge.entrypoints.http.parameters import (
    read_asked,
    read_export,
    read_filter,
    read_histogram,
    read_query,
)
from logbridge.entrypoints.http.problems import RequestRejected
from logbridge.entrypoints.http.proxies import Proxies
from logbridge.entrypoints.http.sessions import Sessions, session_cookie
from logbridge.entrypoints.own_log import OneLine, redacted

MAKER = EntryMaker("fuzzed", 262_144, 64, lambda: "2024-08-30T10:30:45.000000Z", lambda: "made-id")
_AS_JSON, _AS_TEXT = OneLine("json", traces=True), OneLine("text", traces=True)
_SESSIONS = Sessions(b"0" * 32)
_PROXIES = Proxies(["127.0.0.2"])


class Disagreement(Exception):
    """Something was accepted that means another thing to the standard library."""


def _agree(ours: object, theirs: object) -> None:
    if ours != theirs:
        raise Disagreement(f"{ours!r} is not {theirs!r}")


def _document(data: bytes) -> Any:
    # Numbers stay text: how long they may be is another question.
    return json.loads(data.decode(), parse_int=str, parse_float=str)


def _made(draft: EntryDraft) -> None:
    try:
        entry = MAKER.make(draft)
    except InvalidEntry:
        return
    # A lone surrogate would be no text to anybody who stores it.
    entry.message.encode()
    _survives(entry)


def _survives(entry: LogEntry) -> None:
    sent = from_message(to_message(entry))
    _agree(msgspec.to_builtins(sent), msgspec.to_builtins(replace(entry, counted_bytes=0)))


def json_entry(data: bytes) -> None:
    """The body of a write."""
    try:
        draft = decode_entry(data)
    except (RequestRejected, InvalidEntry):
        return
    document = _document(data)
    _agree(draft.fields.message, document["message"])
    _agree(draft.fields.service_name or None, document.get("service_name") or None)
    _made(draft)


def json_batch(data: bytes) -> None:
    """The body of a batch."""
    try:
        drafts = decode_batch(data, lambda _: None)
    except (RequestRejected, InvalidRequest):
        return
    entries = _document(data)["log_entries"]
    _agree(len(drafts), len(entries))
    for draft, entry in zip(drafts, entries, strict=True):
        if isinstance(draft, EntryDraft):
            _agree(draft.fields.message, entry["message"])
            _made(draft)


def protobuf(data: bytes) -> None:
    """A message to the log service; its first byte says which."""
    kinds = (
        pb.WriteLogRequest,
        pb.BatchWriteLogRequest,
        pb.QueryLogRequest,
        pb.FollowLogRequest,
        pb.HistogramLogRequest,
    )
    message: Message = kinds[(data[0] if data else 0) % len(kinds)]()
    try:
        message.ParseFromString(data[1:])
    except DecodeError:
        return
    if isinstance(message, pb.WriteLogRequest):
        _received(message.log_entry)
    elif isinstance(message, pb.BatchWriteLogRequest):
        for entry in message.log_entries:
            _received(entry)
    elif isinstance(message, pb.HistogramLogRequest):
        _ends_well(lambda: from_histogram_request(message))
    else:
        _asked(message if isinstance(message, pb.QueryLogRequest) else message.filter)  # type: ignore[attr-defined]


def _received(message: pb.LogEntry) -> None:
    try:
        entry = received(message, MAKER)
    except InvalidEntry:
        return
    _survives(entry)


def _asked(request: pb.QueryLogRequest) -> None:
    try:
        from_request(request).within(frozenset())
    except InvalidRequest:
        return


def http_head(data: bytes) -> None:
    """A query string, and then headers, one a line."""
    query, *lines = data.split(b"\n")
    pairs = [line.partition(b":") for line in lines]
    headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": query,
        "headers": headers,
        "client": ("127.0.0.1", 1),
    }
    for read in (
        *(read_query, read_filter, read_histogram, read_export),
        *(shown_key, partial(is_local, proxies=_PROXIES)),
    ):
        _ends_well(lambda read=read: read(scope))  # type: ignore[misc]
    _ends_well(lambda: read_asked(scope, frozenset()))
    _SESSIONS.key_id_of(session_cookie(scope) or "")


def _ends_well(call: Callable[[], object]) -> None:
    try:
        call()
    except (RequestRejected, InvalidRequest):
        return


def log_line(data: bytes) -> None:
    """Text that somebody makes the bridge log."""
    text = data.decode("utf-8", "surrogatepass" if len(data) % 2 else "replace")
    record = logging.LogRecord("fuzzed", logging.INFO, "file", 1, "%s", (text,), None)
    for line in (_AS_TEXT.format(record), as_json := _AS_JSON.format(record)):
        _agree(line.isprintable(), True)
        _agree(len(line.splitlines()), 1)
    _agree(json.loads(as_json)["message"], redacted(text))


def otlp(data: bytes) -> None:
    """A request of OTLP: JSON if it begins as such, else protobuf."""
    reader = Reader(MAKER.entry_bytes_max, MAKER.metadata_depth_max)
    try:
        if data.startswith(b"{"):
            drafts = [*reader.of_json(decode_json(data, InvalidRequest))]
        else:
            drafts = [*reader.of_protobuf(data)]
            # Read as a whole it is the same; but it ends sooner at the depth that protobuf reads.
            whole = ExportLogsServiceRequest.FromString(data)
            _agree(len(drafts), sum(len(s.log_records) for r in whole.resource_logs for s in r.scope_logs))
    except (RequestRejected, InvalidRequest, DecodeError):
        return
    identify(drafts, data)
    for draft in drafts:
        if isinstance(draft, EntryDraft):
            _comes_back(draft)


def _comes_back(draft: EntryDraft) -> None:
    """An entry that goes out as OTLP comes in as itself."""
    try:
        entry = MAKER.make(draft)
    except InvalidEntry:
        return
    (again,) = drafts_of(to_request([entry]), MAKER.metadata_depth_max)
    if isinstance(again, InvalidEntry):
        raise Disagreement(str(again))
    _agree(msgspec.to_builtins(MAKER.make(again)), msgspec.to_builtins(entry))


_ENCODINGS = (["gzip"], ["deflate"], ["br"], ["zstd"], ["gzip", "br"], ["zstd", "deflate"])
_EXPANDED_BYTES_MAX = 1_048_576


def decompression(data: bytes) -> None:
    """A compressed body; its first byte says how, and where it is cut in two."""
    first, body = data[0] if data else 0, data[1:]
    encodings = _ENCODINGS[first % len(_ENCODINGS)]
    opened = Decompression(encodings, _EXPANDED_BYTES_MAX)
    pieces: list[bytes] = []
    try:
        for part in (body[: first // 8], body[first // 8 :]):
            pieces += opened.feed(part)
        opened.end()
    except NotDecompressed:
        return
    except Expanded:
        pieces.clear()
        return
    finally:
        _agree(sum(map(len, pieces)) <= _EXPANDED_BYTES_MAX, True)
        _agree(all(len(piece) <= 2 * PIECE_BYTES_MAX for piece in pieces), True)
    if encodings == ["gzip"]:
        _agree(b"".join(pieces), gzip.decompress(body))


_LINE_BYTES_MAX = 64


def lines(data: bytes) -> None:
    """A body of lines; its first byte says into how large parts it is cut."""
    size, body = (data[0] if data else 0) + 1, data[1:]
    cut = _lines_of([body[begin : begin + size] for begin in range(0, len(body), size)])
    _agree(cut, _lines_of([body]))
    _agree(all(len(line.content or b"") <= _LINE_BYTES_MAX for line in cut), True)
    kept = [line.content for line in cut if line.content is not None]
    bare = [line.strip(b" \t\r") for line in body.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    _agree(all(bare[line.number - 1] == line.content for line in cut if line.content is not None), True)
    _agree(len(kept) <= sum(map(bool, bare)), True)


def _lines_of(parts: list[bytes]) -> list[Line]:
    splitter = LineSplitter(_LINE_BYTES_MAX)
    found = [line for part in parts for line in splitter.feed(part)]
    return found + list(splitter.end())


def _decoding(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def checked(data: bytes) -> None:
        try:
            target(data)
        except UnicodeDecodeError:
            return

    return checked


TARGETS: dict[str, Callable[[bytes], None]] = {
    "json_entry": json_entry,
    "json_batch": json_batch,
    "protobuf": protobuf,
    "http_head": http_head,
    "log_line": _decoding(log_line),
    "decompression": decompression,
    "otlp": otlp,
    "lines": lines,
}
