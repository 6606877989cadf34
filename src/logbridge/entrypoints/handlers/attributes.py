"""What a program says beside its message, as metadata: any value becomes text of bounded size; none raises.

Names are those of OpenTelemetry's semantic conventions where they have one: exception.*, code.*, thread.name.
"""

import json
import logging
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

from logbridge.domain.timestamp import rfc3339

# Together they stay below what an entry may have (LOGBRIDGE_ENTRY_BYTES_MAX, 262,144 bytes by default).
MESSAGE_BYTES_MAX = 49_152
STACK_BYTES_MAX = 49_152  # of each of the two that a record may have
EXTRA_BYTES_MAX = 65_536  # of all names and values that the caller adds
TEXT_BYTES_MAX = 4_096  # of a name, a path, the message of an exception
EXTRA_NAMES_MAX = 500
NAME_BYTES_MAX = 256
ITEMS_MAX = 1_000  # of one value, on all its levels
DEPTH_MAX = 8
_NOTE_BYTES_MAX = 40
_UTF8_BYTES_MAX = 4  # of one character
LEFT_OUT = "logbridge.left_out"

_BY_NUMBER = (
    (logging.DEBUG, "DEBUG"),
    (logging.INFO, "INFO"),
    (logging.WARNING, "WARN"),
    (logging.ERROR, "ERROR"),
    (logging.CRITICAL, "FATAL"),
)
ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


def level_of(number: object) -> str:
    """The level whose number is nearest to one of the standard library's; in the middle the lower one.

    INFO for what is no number, as records have it that somebody made by hand.
    """
    if not isinstance(number, int):
        return "INFO"
    return min(_BY_NUMBER, key=lambda known: abs(known[0] - number))[1]


def text_of(value: object) -> str:
    """Any value as text that UTF-8 can carry; of one that cannot be shown, a note that says so."""
    try:
        if isinstance(value, bytes | bytearray):
            return value.decode("utf-8", "backslashreplace")
        text = str.__str__(value if isinstance(value, str) else str(value))
    except Exception as error:  # whatever a caller's own __str__ raises
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def cut(text: str, bytes_max: int, *, keep_end: bool = False) -> str:
    """The text, or as much of it as so many bytes of UTF-8 hold, with a note of what is missing."""
    if len(text) * _UTF8_BYTES_MAX <= bytes_max:
        return text
    data = text.encode()
    if len(data) <= bytes_max:
        return text
    kept = max(bytes_max - _NOTE_BYTES_MAX, 0)
    note = f"({len(data) - kept} bytes cut)"
    if keep_end:
        return f"{note} … {data[len(data) - kept :].decode('utf-8', 'ignore')}"
    return f"{data[:kept].decode('utf-8', 'ignore')} … {note}"


def value_text(value: object) -> str | None:
    """A value as metadata holds it: text as it is, None for None (left out), all else as its JSON text."""
    if value is None or isinstance(value, str | bytes):
        return None if value is None else text_of(value)
    if isinstance(value, datetime):
        return _time_text(value)
    nested = _Nested()
    try:
        plain = nested.plain(value)
        text = plain if isinstance(plain, str) else _json(plain)
    except Exception as error:  # a mapping of the caller's own, or one that another thread changes
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
    return f"{text} … (cut after {ITEMS_MAX} items)" if nested.is_cut else text


def _time_text(value: datetime) -> str:
    try:
        return rfc3339(value)
    except (ValueError, OverflowError):
        return text_of(value)


def _json(plain: object) -> str:
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


class _Nested:
    """One value as JSON knows it, of so many items and levels at most."""

    def __init__(self) -> None:
        self._items_left = ITEMS_MAX
        self.is_cut = False

    def plain(self, value: object, depth: int = 0) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value)
        if depth < DEPTH_MAX and isinstance(value, Mapping):
            return {text_of(name): self.plain(each, depth + 1) for name, each in self._some(value.items())}
        if depth < DEPTH_MAX and isinstance(value, list | tuple | set | frozenset):
            return [self.plain(each, depth + 1) for each in self._some(value)]
        return _time_text(value) if isinstance(value, datetime) else text_of(value)

    def _some(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            if self._items_left == 0:
                self.is_cut = True
                return
            self._items_left -= 1
            yield item


def with_extras(own: dict[str, str], extras: Iterable[tuple[object, object]]) -> dict[str, str]:
    """What a log says of itself, and what its caller adds; a name of both is the log's, the caller's gets
    ``extra.`` in front. What is over a limit is cut or counted, in the text or as ``logbridge.left_out``.
    """
    metadata, left_bytes, left_out = dict(own), EXTRA_BYTES_MAX, 0
    for given_name, value in extras:
        if left_bytes <= 0 or len(metadata) - len(own) >= EXTRA_NAMES_MAX:
            left_out += 1
            continue
        text = value_text(value)
        if text is None:
            continue
        name = cut(text_of(given_name), NAME_BYTES_MAX)
        text = cut(text, left_bytes)
        metadata[f"extra.{name}" if name in own else name] = text
        left_bytes -= len(name.encode()) + len(text.encode())
    if left_out:
        metadata[LEFT_OUT] = f"{left_out} values: more than {EXTRA_NAMES_MAX} or {EXTRA_BYTES_MAX} bytes"
    return metadata


def exception_attributes(exc_info: object) -> dict[str, str]:
    """exception.type, exception.message and exception.stacktrace; none where there is no exception.

    exc_info: a tuple as of sys.exc_info(), an exception, or anything else for none.
    """
    error = exc_info[1] if isinstance(exc_info, tuple) and len(exc_info) == 3 else exc_info
    if not isinstance(error, BaseException):
        return {}
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return {
        "exception.type": cut(text_of(name), TEXT_BYTES_MAX),
        "exception.message": cut(text_of(error), TEXT_BYTES_MAX),
        "exception.stacktrace": stack_text(_traceback_of(error, exc_info)),
    }


def _traceback_of(error: BaseException, exc_info: object) -> str:
    trace = exc_info[2] if isinstance(exc_info, tuple) else error.__traceback__
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except Exception as failure:  # what an exception says of itself may raise, too
        return f"<traceback that cannot be shown: {type(failure).__name__}>"


def stack_text(text: object) -> str:
    """A stack; of one that is too long its end, where the reason is."""
    return cut(text_of(text).rstrip("\n"), STACK_BYTES_MAX, keep_end=True)


def trace_fields() -> dict[str, str]:
    """trace_id and span_id of OpenTelemetry's current span; none without one.

    Nothing is imported: without the API in the program there is no current span.
    """
    current = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if current is None:
        return {}
    place = current().get_span_context()
    if not place.is_valid:
        return {}
    return {"trace_id": f"{place.trace_id:032x}", "span_id": f"{place.span_id:016x}"}
