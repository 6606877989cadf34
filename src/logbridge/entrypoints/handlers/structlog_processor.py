"""StructlogProcessor: the events of structlog, sent in the background from within its chain."""

import logging
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from structlog import DropEvent
from structlog.typing import EventDict, WrappedLogger

from logbridge.domain.timestamp import epoch_us, rfc3339, rfc3339_utc
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
from logbridge.entrypoints.handlers.log_client import FLUSH_TIMEOUT_S, LogClient, hand_over, open_client
from logbridge.entrypoints.handlers.record import LEVEL_NAMES, NO_MESSAGE

logger = logging.getLogger(__name__)


class StructlogProcessor:
    """A processor that sends each event and gives it on unchanged.

    client, url, key, service_name, flush_timeout_s, settings: as of LogBridgeHandler.
    ends_chain: raise structlog.DropEvent when it is sent, so that nothing else is done with the event.
    Place it where the event is complete, before the renderer. Sending neither blocks nor raises.
    """

    def __init__(
        self,
        client: LogClient | None = None,
        *,
        url: str = "",
        key: str | None = None,
        service_name: str | None = None,
        ends_chain: bool = False,
        flush_timeout_s: float = FLUSH_TIMEOUT_S,
        **settings: Any,
    ) -> None:
        self.client, self._close_client = open_client(client, url, key, settings)
        self._service = {} if service_name is None else {"service_name": service_name}
        self._ends_chain = ends_chain
        self._flush_timeout_s = flush_timeout_s

    def __call__(self, wrapped: WrappedLogger, method_name: str, event_dict: EventDict) -> EventDict:
        """Send the event. Raises DropEvent if it ends the chain."""
        del wrapped  # the name that counts is in the event, if any
        thread_name = threading.current_thread().name
        entry = partial(self._entry_of, method_name, event_dict)
        try:
            hand_over(self.client, text_of(event_dict.get("logger", "")), thread_name, entry)
        except Exception:
            logger.exception("an event was not sent")
        if self._ends_chain:
            raise DropEvent
        return event_dict

    def flush(self) -> bool:
        """Wait until what was sent before is settled; False if flush_timeout_s were not enough."""
        return self.client.flush(timeout_s=self._flush_timeout_s)

    def close(self) -> None:
        """Send what is left, at most flush_timeout_s, and close a client that was opened here."""
        self._close_client(self._flush_timeout_s)

    def _entry_of(self, method_name: str, event: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        message, fields = entry_of(method_name, event)
        return message, fields | self._service


def entry_of(method_name: str, event: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The message and the fields of an event; it stays as it was.

    ``event`` is the message; ``level`` (or the method's name), ``timestamp``, ``exc_info``, ``exception`` and
    ``stack`` are what structlog's processors put there; every other name is metadata.
    """
    rest = {name: value for name, value in event.items() if name not in _TAKEN}
    own = exception_attributes(_exc_info_of(event.get("exc_info")))
    if isinstance(event.get("exception"), str):
        own["exception.stacktrace"] = stack_text(event["exception"])
    elif "exception" in event:  # structured, by dict_tracebacks
        rest["exception"] = event["exception"]
    if "stack" in event:
        own["code.stacktrace"] = stack_text(event["stack"])
    level, own_level = _level_of(text_of(event.get("level", method_name)))
    timestamp = _timestamp_of(event.get("timestamp"))
    if timestamp is None:
        timestamp = rfc3339(datetime.now(UTC))
        rest["timestamp"] = event.get("timestamp")
    fields = {
        "level": level,
        "timestamp": timestamp,
        "metadata": with_extras(own | own_level, rest.items()),
        **trace_fields(),
    }
    return cut(text_of(event.get("event", "")), MESSAGE_BYTES_MAX) or NO_MESSAGE, fields


_TAKEN = frozenset(("event", "level", "timestamp", "exc_info", "exception", "stack"))
# What structlog calls its methods, beside the names of the standard library's levels.
_METHODS = {"EXCEPTION": logging.ERROR, "WARN": logging.WARNING, "FATAL": logging.CRITICAL}


def _exc_info_of(value: object) -> object:
    """As structlog reads it: an exception, a tuple, or anything true for the one that is being handled."""
    return value if isinstance(value, BaseException | tuple) or not value else sys.exc_info()


def _level_of(name: str) -> tuple[str, dict[str, str]]:
    """The level, and its name where it is none of ours."""
    upper = name.upper()
    number = (logging.getLevelNamesMapping() | _METHODS).get(upper, logging.INFO)
    known = upper in LEVEL_NAMES or upper in _METHODS
    return level_of(number), {} if known else {"severity_text": cut(name, TEXT_BYTES_MAX)}


def _timestamp_of(value: object) -> str | None:
    """As RFC 3339; None for what says no time that can be told apart from others."""
    try:
        if isinstance(value, datetime):
            return rfc3339(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return rfc3339_utc(int(value * 1_000_000))
        text = text_of(value)
        epoch_us(text)
    except (ValueError, OverflowError):
        return None
    return text
