"""New logs as they come: what an event says, and how to go on after a break. No I/O."""

import httpx
import msgspec
from httpx_sse import ServerSentEvent

from logbridge.domain.query import LogFilter
from logbridge.entrypoints.http.schema import LogRecord
from logbridge.http.calls import Calls
from logbridge.http.errors import ApiError, BridgeError, NoAnswer
from logbridge.http.questions import parameters_of


class Following:
    """The place in new logs: after the last event that was seen."""

    def __init__(self, calls: Calls, which: LogFilter) -> None:
        self._calls = calls
        self._parameters = parameters_of(which)
        self._last_id = ""
        self._attempts = calls.attempts()

    def request(self) -> httpx.Request:
        """Asks for what comes after that place; at first, for what comes from now on."""
        return self._calls.requests.tail(self._parameters, self._last_id)

    def log_of(self, event: ServerSentEvent) -> LogRecord | None:
        """The log of an event; None for one that only says where the stream is. Raises ApiError."""
        self._last_id = event.id or self._last_id
        # It stands: the next break has all the time that the first connection had.
        self._attempts = self._calls.attempts()
        if not event.data:
            return None
        try:
            return msgspec.json.decode(event.data, type=LogRecord)
        except msgspec.MsgspecError as error:
            raise ApiError(200, "OK", f"an event that is no log: {error}", {}, None) from None

    def pause_s(self, error: BridgeError | None) -> float:
        """Seconds until it connects again; error: why it broke, None for a stream that ended. Raises the
        error when there is no use, or no time, for another attempt.
        """
        return self._attempts.pause_s(error or NoAnswer("the stream ended"))
