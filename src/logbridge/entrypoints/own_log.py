"""What the bridge and the log service log about themselves: one line for each record, and no secrets."""

import json
import logging
import math
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from structlog.dev import Column, ConsoleRenderer, KeyValueColumnFormatter, plain_traceback
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict

from logbridge.domain.timestamp import rfc3339_utc
from logbridge.domain.trace import TRACES
from logbridge.entrypoints.request_id import REQUEST_ID

# What a record has, in this order; whatever else a program gives it comes after.
FIELDS = {
    "timestamp": "RFC 3339 in UTC",
    "level": "DEBUG, INFO, WARNING, ERROR or CRITICAL",
    "logger": "who says it: a module of logbridge, or a library such as uvicorn.access",
    "message": "what happened",
    "pid": "the process, in JSON: each worker is one",
    "request_id": "while a request is answered: its X-Request-ID",
    "trace_id": "while a request or a call is answered that came with a traceparent",
    "span_id": "likewise; with OpenTelemetry our own span",
    "error": "the type and the message of an exception",
    "error_at": "file and line where it was raised",
    "traceback": "all of it, with DEBUG=true",
}
# No record begins like this, so no line of a traceback can be taken for one.
MORE = "    | "
HIDDEN = "(hidden)"
SHORTENED = "(DEBUG=true logs the traceback)"
LogFormat = Literal["auto", "json", "text"]
_DEPTH_MAX = 8
_INTEGER_BITS_MAX = 64
_SECRET_NAMES = re.compile(
    r"(proxy-)?authorization|x-api-key|(set-)?cookie|.*(password|secret|token|api_key|private_key)",
    re.IGNORECASE | re.DOTALL,
)
_KEY = re.compile(r"(lbk(?:_|%5F)[0-9a-f]{12}(?:_|%5F))[\w%-]+", re.ASCII | re.IGNORECASE)
_SESSION = re.compile(r"(logbridge_session=)[^;\s'\"]+")
# As a header, in a mapping, and as a pair of a name and a value: the rest of the line may belong to it.
_HEADER = re.compile(
    r"\b((?:proxy-)?authorization|x-api-key|(?:set-)?cookie)(['\"]?\s*[:=]\s*(?:b?['\"])?|['\"],\s*b?['\"])"
    r"[^\s'\"][^\r\n]*",
    re.IGNORECASE,
)
_PRIVATE = "-----{} [A-Z ]*PRIVATE KEY-----"
_PEM = re.compile(f"({_PRIVATE.format('BEGIN')}).*?({_PRIVATE.format('END')}|\\Z)", re.DOTALL)
_REDACTED = (
    # The id of a key is no secret, and says whose it was. A key that was cut off somewhere is hidden as well.
    (_KEY, rf"\1{HIDDEN}"),
    (_SESSION, rf"\1{HIDDEN}"),
    (_HEADER, rf"\1\2{HIDDEN}"),
    (_PEM, rf"\1{HIDDEN}\2"),
)


class OneLine(ProcessorFormatter):
    """A record as one line, whatever somebody sent.

    Control characters, line ends and invisible characters are written as escapes; keys, cookies and
    authorization headers are hidden. An error is named with the place where it was raised. With ``traces``
    its traceback follows: in JSON as a field, in text in lines of their own, each behind ``MORE``.
    form: json or text. colours: of text.
    """

    def __init__(self, form: Literal["json", "text"], *, traces: bool, colours: bool = False) -> None:
        render = _as_json if form == "json" else _AsText(colours=colours)
        super().__init__(
            processors=[lambda _, __, event: render(_fields_of(event, traces=traces))],
            foreign_pre_chain=[ExtraAdder()],
        )

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines, of a record."""
        # A copy: other handlers have the record as it was.
        record = logging.makeLogRecord(record.__dict__)
        record.msg, record.args = _message_of(record), ()
        return super().format(record)


def _fields_of(event: EventDict, *, traces: bool) -> dict[str, Any]:
    """The fields of a record: those that FIELDS names first, then what else it was given; without secrets."""
    record: logging.LogRecord = event.pop("_record")
    ours: dict[str, Any] = {
        "timestamp": rfc3339_utc(int(record.created * 1_000_000)),
        "level": record.levelname,
        "logger": record.name,
        "message": record.msg,
        "pid": record.process,
        **_of_the_request(),
        **_error_of(event.pop("exc_info", None), event.pop("stack_info", None), traces=traces),
    }
    given = {key: value for key, value in event.items() if key not in FIELDS and key not in _NOT_SHOWN}
    if given["event"] == record.msg:  # else a field of the record's own has that name
        del given["event"]
    return {_text(name): _clean(name, value) for name, value in (ours | given).items()}


# Of structlog, and uvicorn's message once more with colours.
_NOT_SHOWN = frozenset(("_from_structlog", "color_message"))


def _of_the_request() -> dict[str, str]:
    fields = {}
    if request_id := REQUEST_ID.get():
        fields["request_id"] = request_id.decode("ascii")
    traces = TRACES.get()
    if len(traces) == 1:
        fields |= {"trace_id": traces[0].trace_id, "span_id": traces[0].span_id}
    return fields


def _error_of(exc_info: Any, stack: str | None, *, traces: bool) -> dict[str, str]:
    fields, told = {}, [stack] if stack and traces else []
    if exc_info and exc_info[1] is not None:
        kind, error, trace = exc_info
        fields["error"] = "".join(traceback.format_exception_only(error)).strip()
        if place := _place_of(trace):
            fields["error_at"] = place
        if traces:
            told.insert(0, "".join(traceback.format_exception(kind, error, trace)).rstrip("\n"))
    return fields | ({"traceback": "\n".join(told)} if told else {})


def _place_of(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # logging would print the arguments of a line that cannot be made as they are, to stderr.
        return f"{_text(record.msg)} {_text(record.args)}"


def _clean(name: str, value: Any, depth: int = 0) -> Any:
    """The value as JSON has it, without what is secret. name: what it is called."""
    if _SECRET_NAMES.fullmatch(name):
        return HIDDEN
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value.bit_length() <= _INTEGER_BITS_MAX:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if depth < _DEPTH_MAX and isinstance(value, Mapping):
        return {redacted(_text(key)): _clean(_text(key), each, depth + 1) for key, each in value.items()}
    if depth < _DEPTH_MAX and isinstance(value, list | tuple | set | frozenset):
        items = list(value)
        # A header as a pair.
        named = _text(items[0]) if len(items) == 2 and isinstance(items[0], str | bytes) else ""
        return [_clean(named if index else "", each, depth + 1) for index, each in enumerate(items)]
    return redacted(_text(value))


def _text(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be shown>"


def redacted(text: str) -> str:
    """The text without keys, session cookies, authorization headers and private keys."""
    for pattern, instead in _REDACTED:
        text = pattern.sub(instead, text)
    return text


def escaped(text: str) -> str:
    """The text in one line, of characters that a terminal shows and does not obey."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _as_json(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, ensure_ascii=False)
    if text.isprintable():
        return text
    # They are inside of strings only, where JSON has escapes for them.
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


class _AsText:
    """Columns for people."""

    def __init__(self, *, colours: bool) -> None:
        styles = ConsoleRenderer.get_default_column_styles(colours)
        of_level = ConsoleRenderer.get_default_level_styles(colours)

        def level(key: str, value: object) -> str:
            del key  # always the same
            return f"{of_level.get(str(value).lower(), '')}{value:<8}{styles.reset}"

        def column(style: str, width: int = 0) -> KeyValueColumnFormatter:
            return KeyValueColumnFormatter(None, style, styles.reset, str, width)

        self._render = ConsoleRenderer(
            columns=[
                Column("", KeyValueColumnFormatter(styles.kv_key, styles.kv_value, styles.reset, str)),
                Column("timestamp", column(styles.timestamp)),
                Column("level", level),
                Column("message", column(styles.bright, _MESSAGE_WIDTH)),
                Column("logger", column(styles.logger_name)),
            ],
            exception_formatter=plain_traceback,
            sort_keys=False,
        )

    def __call__(self, fields: Mapping[str, Any]) -> str:
        shown = {_key(name): value for name, value in fields.items() if name not in ("pid", *_OF_AN_ERROR)}
        if "error" in fields:
            place = f" at {fields['error_at']}" if "error_at" in fields else ""
            short = "" if "traceback" in fields else f" {SHORTENED}"
            shown["message"] = f"{shown['message']}: {fields['error']}{place}{short}"
        shown = {escaped(name): escaped(_as_word(name, value)) for name, value in shown.items()}
        if "traceback" in fields:
            shown["exception"] = "\n".join(MORE + escaped(line) for line in fields["traceback"].split("\n"))
        return self._render(None, "", shown)


_MESSAGE_WIDTH = 30
_COLUMNS = ("timestamp", "level", "message", "logger")
_OF_AN_ERROR = ("error", "error_at", "traceback")
# structlog gives them lines of their own.
_LINES_OF_STRUCTLOG = ("exception", "exc_info", "stack")


def _key(name: str) -> str:
    return f"{name}_" if name in _LINES_OF_STRUCTLOG else name


def _as_word(name: str, value: Any) -> str:
    """As JSON where the value could be taken for more than one."""
    if isinstance(value, str) and (name in _COLUMNS or (value and not set(value) & set(' ="'))):
        return value
    return json.dumps(value, ensure_ascii=False)


def begin_logging(level: str, form: LogFormat, *, traces: bool) -> None:
    """Log to stderr from now on, from this level on; uvicorn's own lines and grpc's go the same way.

    form: auto is text on a terminal, and JSON elsewhere. traces: whether errors come with their tracebacks
    (DEBUG).
    """
    terminal = sys.stderr.isatty()
    chosen: Literal["json", "text"] = ("text" if terminal else "json") if form == "auto" else form
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(chosen, traces=traces, colours=terminal))
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(True)
