"""A record of the standard library's logging as the message and the fields of a log."""

import logging
import time
from typing import Any

from logbridge.domain.timestamp import rfc3339_utc
from logbridge.entrypoints.handlers.attributes import (
    MESSAGE_BYTES_MAX,
    TEXT_BYTES_MAX,
    cut,
    exception_attributes,
    level_of,
    stack_text,
    text_of,
    trace_fields,
    with_extras,
)

# The contract knows no log without a message.
NO_MESSAGE = "(no message)"
# What logging itself puts into a record, formatters included; all else is somebody's `extra`.
_OWN_NAMES = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# What logging.basicConfig gives to handlers without a format: level and logger, which the log has anyway.
_BASIC = logging.BASIC_FORMAT
# Of these the level says it all.
LEVEL_NAMES = frozenset(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "WARN", "FATAL"))


def entry_of(record: logging.LogRecord, formatter: logging.Formatter | None) -> tuple[str, dict[str, Any]]:
    """The message and the fields: level, timestamp, metadata, and trace_id and span_id where there is a span.

    formatter: makes the message, without the traceback, which is metadata; that of basicConfig says nothing
    that the log does not have, and is passed over. Never raises for what a caller put
    into the record; the record stays as it was.
    """
    message, notes = _message_of(record, formatter)
    fields = {
        "level": level_of(record.levelno),
        "timestamp": _time_of(record),
        "metadata": with_extras(_own_attributes(record) | notes, _extras_of(record)),
        **trace_fields(),
    }
    return cut(text_of(message), MESSAGE_BYTES_MAX) or NO_MESSAGE, fields


def _time_of(record: logging.LogRecord) -> str:
    try:
        return rfc3339_utc(int(record.created * 1_000_000))
    except (TypeError, ValueError, OverflowError):  # made by hand
        return rfc3339_utc(time.time_ns() // 1_000)


def _message_of(
    record: logging.LogRecord, formatter: logging.Formatter | None
) -> tuple[object, dict[str, str]]:
    try:
        if formatter is None or getattr(formatter, "_fmt", None) == _BASIC:
            return record.getMessage(), {}
        return _formatted(record, formatter), {}
    except Exception as error:
        # Arguments that do not fit, or a __str__ that raises: the line is kept, with what is wrong with it.
        note = f"the message could not be made: {type(error).__name__}: {text_of(error)}"
        arguments = f" {text_of(record.args)}" if record.args else ""
        return f"{text_of(record.msg)}{arguments}", {"logbridge.note": cut(note, TEXT_BYTES_MAX)}


def _formatted(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    # A copy: a formatter writes into its record, and appends whatever traceback it finds there.
    plain = logging.makeLogRecord(record.__dict__)
    plain.exc_info = plain.exc_text = plain.stack_info = None
    return formatter.format(plain)


def _own_attributes(record: logging.LogRecord) -> dict[str, str]:
    known = {
        "logger.name": record.name,
        "severity_text": None if record.levelname in LEVEL_NAMES else record.levelname,
        "process.pid": record.process,
        "process.name": record.processName,
        "thread.name": record.threadName,
        "task.name": getattr(record, "taskName", None),
        "code.file.path": record.pathname,
        "code.function.name": record.funcName,
        "code.line.number": record.lineno,
    }
    attributes = {
        name: cut(text_of(value), TEXT_BYTES_MAX) for name, value in known.items() if value not in (None, "")
    }
    attributes |= exception_attributes(record.exc_info)
    if record.exc_text and "exception.stacktrace" not in attributes:  # it came through a queue
        attributes["exception.stacktrace"] = stack_text(record.exc_text)
    if record.stack_info:
        attributes["code.stacktrace"] = stack_text(record.stack_info)
    return attributes


def _extras_of(record: logging.LogRecord) -> list[tuple[str, object]]:
    return [(name, value) for name, value in record.__dict__.items() if name not in _OWN_NAMES]
