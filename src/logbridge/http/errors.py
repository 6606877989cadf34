"""What a call over HTTP raises. What became of one log of a batch is a value: see results.py.

LogbridgeError
└── BridgeError             the call has no good answer
    ├── ConnectionFailed    the bridge was not reached: nothing was written
    ├── NoAnswer            the connection broke, or no answer came in time
    ├── OutcomeUnknown      of a write: it may have been written; send it again under its log_id
    └── ApiError            the bridge, or a proxy before it, answered with an error: status, title, detail
        ├── Refused         400, 404, 405, 415, 422, 501, 502 of the bridge: no use to send it again
        │   ├── Conflict    409: the log_id is taken by other content
        │   └── TooLarge    413, 431
        ├── Unauthorized    401: no key, or one that is unknown, revoked or expired
        ├── Forbidden       403: the key lacks the scope, or is not for that service
        ├── Overloaded      not now: retry_after_s
        │   ├── RateLimited 429: more requests than this key or address may make
        │   └── Unavailable 503: too much in flight, stopping, or the log service is not reached
        └── Unclear         504, 502 of a proxy: who answered does not know either
"""

from collections.abc import Mapping
from typing import Any

from logbridge.domain.errors import LogbridgeError


class BridgeError(LogbridgeError):
    """Base of what a call over HTTP raises.

    log_ids: tuple of str, the ids that a write had, in order: sent again under them, its logs are stored
    once. goes_again: whether the client may try again by itself. may_be_written: whether a write may have
    happened. retry_after_s: float, seconds that the one who answered asks to wait; None if it does not.
    """

    goes_again = False
    may_be_written = False
    retry_after_s: float | None = None

    def __init__(self, reason: str, log_ids: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.log_ids = log_ids

    @property
    def log_id(self) -> str:
        """The only id, or the first one; empty for what is no write."""
        return self.log_ids[0] if self.log_ids else ""


class ConnectionFailed(BridgeError):
    """No connection to the bridge: nothing was written."""

    goes_again = True


class NoAnswer(BridgeError):
    """The connection broke after the request was begun, or no answer came in time."""

    goes_again = True
    may_be_written = True


class OutcomeUnknown(BridgeError):
    """A write without a clear answer; ``__cause__`` is the last failure.

    Sent again under its ids it is stored once, where the log service honours ids (docs/rest.md).
    """

    may_be_written = True


class ApiError(BridgeError):
    """An answer with an error status.

    status: int. title, detail: str, of the problem (RFC 9457), or as near as the answer comes to one.
    problem: mapping, all members of its body; empty if that was no JSON object.
    """

    def __init__(
        self, status: int, title: str, detail: str, problem: Mapping[str, Any], retry_after_s: float | None
    ) -> None:
        super().__init__(f"HTTP {status}: {detail or title}")
        self.status = status
        self.title = title
        self.detail = detail
        self.problem = problem
        self.retry_after_s = retry_after_s
        self.may_be_written = status == 500


class Refused(ApiError):
    """The request does not fit, or the log service does not take it: the same again has the same answer."""


class Conflict(Refused):
    """409: this log_id is taken by other content."""


class TooLarge(Refused):
    """413 or 431: over a limit that ``detail`` names."""


class Unauthorized(ApiError):
    """401: no key, or one that is unknown, revoked or expired."""


class Forbidden(ApiError):
    """403: the key lacks the scope, or is not for that service; or the bridge answers no strangers."""


class Overloaded(ApiError):
    """Nothing was written; there may be room again after ``retry_after_s``."""

    goes_again = True


class RateLimited(Overloaded):
    """429: more requests than this key or address may make."""


class Unavailable(Overloaded):
    """503: too much in flight, stopping, the spool is full, or the log service is not reached."""


class Unclear(ApiError):
    """504, or a 502 that is not of the bridge: the one who answered does not know what became of it."""

    goes_again = True

    def __init__(self, *of_the_answer: Any) -> None:
        super().__init__(*of_the_answer)
        self.may_be_written = True
