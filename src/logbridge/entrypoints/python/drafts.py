"""What a Python caller gives, as JSON would hold it; it shares nothing with the caller any more."""

import json
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from uuid_utils import uuid7

from logbridge.domain.entry import EntryDraft, LogLevel, classify
from logbridge.domain.errors import InvalidEntry, InvalidRequest
from logbridge.domain.timestamp import rfc3339, rfc3339_utc

_PLAIN = (str, int, float, bool, type(None))


def draft_of(raw: object) -> EntryDraft:
    """The draft of a mapping: what the caller changes later is not written. Raises InvalidEntry."""
    return classify(plain_fields(raw) if isinstance(raw, Mapping) else raw)


def drafts_of(raw_entries: Iterable[object]) -> list[EntryDraft | InvalidEntry]:
    """As draft_of(), for each of a batch. Raises InvalidRequest for what cannot be gone through."""
    try:
        return [_draft_or_error(raw) for raw in raw_entries]
    except TypeError as error:
        raise InvalidRequest("$.log_entries", f"expected a list of dicts: {error}") from None


def _draft_or_error(raw: object) -> EntryDraft | InvalidEntry:
    try:
        return draft_of(raw)
    except InvalidEntry as error:
        return error


def identified(raw: Mapping[Any, Any]) -> dict[str, Any]:
    """As plain_fields(), with a log_id (UUIDv7, RFC 9562) and a timestamp where the caller gave none.

    Sent again as it is now, it is stored once where ids are honoured.
    """
    entry = plain_fields(raw)
    if entry.get("log_id") in (None, ""):
        entry["log_id"] = str(uuid7())
    if entry.get("timestamp") is None:
        entry["timestamp"] = rfc3339_utc(time.time_ns() // 1000)
    return entry


def plain_fields(raw: Mapping[Any, Any]) -> dict[str, Any]:
    """The fields as JSON holds them: times become RFC 3339, what JSON does not know becomes its str().

    Raises InvalidEntry with the path of the field.
    """
    plain = {str(name): _plain(value, f"$.{name}") for name, value in raw.items()}
    level = raw.get("level")
    if isinstance(level, LogLevel):
        plain["level"] = level.name
    return plain


def _plain(value: Any, path: str) -> Any:
    if type(value) in _PLAIN:
        return value
    try:
        return json.loads(json.dumps(value, ensure_ascii=False, default=_json_value))
    # Whatever a caller's own __str__ raises is about this one entry, and no reason to stop the program.
    except Exception as error:
        reason = f"cannot be written as JSON: {type(error).__name__}: {error}"
        raise InvalidEntry(path, reason) from None


def _json_value(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return rfc3339(value) if isinstance(value, datetime) else str(value)
