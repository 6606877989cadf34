"""What the bridge and the log service log about themselves: one line for each record, and no secrets."""

import logging
import re
import sys
import traceback
from pathlib import Path
from types import TracebackType

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# No record begins like this, so no line of a traceback can be taken for one.
MORE = "    | "
HIDDEN = "(hidden)"
SHORTENED = "(DEBUG=true logs the traceback)"
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


class OneLine(logging.Formatter):
    """A record as one line, whatever somebody sent.

    Control characters, line ends and invisible characters are written as escapes; keys, cookies and
    authorization headers are hidden. An error is named with the place where it was raised; with ``traces``
    the lines of its traceback follow, each behind ``MORE``.
    """

    def __init__(self, *, traces: bool) -> None:
        super().__init__(_FORMAT)
        self._traces = traces

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines, of a record."""
        record.message = _message_of(record)
        record.asctime = self.formatTime(record)
        if not self._traces:
            return escaped(redacted(self.formatMessage(record) + _in_short(record)))
        lines = [escaped(redacted(self.formatMessage(record)))]
        # Not record.exc_text, which another handler may have written as it is.
        traces = [self.formatException(record.exc_info)] if record.exc_info else []
        traces += [record.stack_info] if record.stack_info else []
        for trace in traces:
            lines += [MORE + escaped(line) for line in redacted(trace).split("\n")]
        return "\n".join(lines)


def _in_short(record: logging.LogRecord) -> str:
    """The error of a record without its traceback: enough to find the line."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    _, error, trace = record.exc_info
    told = "".join(traceback.format_exception_only(error)).strip()
    return f": {told}{_place_of(trace)} {SHORTENED}"


def _place_of(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # logging would print the arguments of a line that cannot be made as they are, to stderr.
        return f"{record.msg} {record.args!r}"


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


def begin_logging(level: str, *, traces: bool) -> None:
    """Log to stderr from now on, from this level on; uvicorn's own lines and grpc's go the same way.

    traces: whether errors come with their tracebacks (DEBUG).
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(traces=traces))
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(True)
