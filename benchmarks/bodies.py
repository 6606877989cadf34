"""What is sent: the contract's example entry, larger ones, batches; the same logs in Envoy's shape."""

import gzip
import json

from logbridge.entrypoints.http.schema import WRITE_EXAMPLE as ENTRY

_LOG_FIELDS = ("service_name", "level", "message", "trace_id", "span_id")
# A transcoder makes no ids, so its clients must; ours are made by the bridge, and the time as well.
_ID = "0197a2c4-5d1e-7cc3-98a8-2f1d7f6f3b10"
_TIME = "2026-01-01T00:00:00.000000+00:00"


def entry(size_bytes: int = 0) -> dict[str, object]:
    """One entry whose JSON is at least so long: the message makes up for what lacks."""
    short = len(json.dumps(ENTRY))
    return {**ENTRY, "message": "async test log" + " x" * (max(0, size_bytes - short) // 2)}


def body(entries: int, size_bytes: int = 0) -> bytes:
    """The body of a write, or of a batch of more than one; each entry at least so long."""
    one = entry(size_bytes)
    return json.dumps(one if entries == 1 else {"log_entries": [one] * entries}).encode()


def gzipped(entries: int, size_bytes: int = 0) -> bytes:
    """The same body, compressed as most clients do it."""
    return gzip.compress(body(entries, size_bytes), 6)


def message_body(entries: int, size_bytes: int = 0) -> bytes:
    """The same as the messages of the log service: metadata is text already, which spares Envoy that work."""
    one = _as_message(entry(size_bytes))
    return json.dumps(one if entries == 1 else {"log_entries": [one] * entries}).encode()


def _as_message(given: dict[str, object]) -> dict[str, object]:
    metadata = {name: str(value) for name, value in given.items() if name not in (*_LOG_FIELDS, "metadata")}
    metadata |= given["metadata"]  # type: ignore[call-overload]  # a mapping in ENTRY
    return {
        "id": _ID,
        **{name: given[name] for name in _LOG_FIELDS},
        "timestamp": _TIME,
        "metadata": metadata,
    }
