"""The only place that knows the HTTP status of an outcome or error, and how a problem reads (RFC 9457)."""

import logging
import math
from collections.abc import Callable, Container, Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct
from starlette.types import Message, Scope, Send

from logbridge.domain.errors import (
    EntryTooLarge,
    InvalidEntry,
    InvalidRequest,
    LimitExceeded,
    LogbridgeError,
    QueryNotSupported,
    QueryRefused,
    RateExceeded,
    ReaderUnavailable,
    ServiceForbidden,
)
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Unknown
from logbridge.entrypoints.http.meter import Refusal
from logbridge.entrypoints.request_id import REQUEST_ID

logger = logging.getLogger(__name__)

# An ASGI message of ours: the "answer", an Answer without further headers.
WHOLE = "logbridge.response.whole"
# A member of ours beside a status that begins an answer: why the request was refused.
REFUSAL = "logbridge.refusal"
JSON = "application/json"
_encode = msgspec.json.Encoder().encode
PROBLEM = "application/problem+json"
RETRY_AFTER_S = 1

STATUS_OF_CAUSE = {
    Cause.INVALID: 422,
    Cause.TOO_LARGE: 413,
    Cause.CONFLICT: 409,
    Cause.FORBIDDEN: 403,
    Cause.PEER_REFUSED: 502,
    Cause.OVERLOADED: 503,
    Cause.UNAVAILABLE: 503,
    Cause.TIMEOUT: 504,
    Cause.NO_ANSWER: 504,
    Cause.UNCLEAR: 504,
    Cause.STOPPING: 503,
}
# Of several failures the first of these that occurs is told; whatever a caller can mend counts as 422.
_GRAVEST_FIRST = (503, 504, 502)


class RequestRejected(LogbridgeError):
    """A request that HTTP itself rejects. status: int. headers: what the answer must say besides.

    refusal: what it is counted as, where the status does not tell.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        refusal: Refusal | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.refusal = refusal or _REFUSAL_OF_STATUS.get(status, Refusal.INVALID)


_REFUSAL_OF_STATUS = {
    400: Refusal.NOT_READABLE,
    401: Refusal.NO_KEY,
    403: Refusal.FORBIDDEN,
    408: Refusal.BODY_TOO_SLOW,
    413: Refusal.BODY_TOO_LARGE,
    415: Refusal.MEDIA_TYPE,
    431: Refusal.HEAD_TOO_LARGE,
    503: Refusal.STOPPING,
}


class NotJson(RequestRejected):
    """A body that is not JSON text."""

    def __init__(self, reason: str) -> None:
        super().__init__(400, f"the body is not JSON: {reason}")
        self.reason = reason


class LoneSurrogate(NotJson):
    """JSON in form, but an escape in it stands for no character."""

    def __init__(self) -> None:
        super().__init__("a \\u escape is half of a surrogate pair, which is not text")


# In the order of looking: a class before its base.
_STATUS_OF_ERROR: tuple[tuple[type[LogbridgeError], int, Refusal | None], ...] = (
    (LimitExceeded, 400, Refusal.OVER_A_LIMIT),
    (InvalidRequest, 422, Refusal.INVALID),
    # These are logs, and counted as such.
    (EntryTooLarge, 413, None),
    (ServiceForbidden, 403, None),
    (InvalidEntry, 422, None),
    (QueryNotSupported, 501, Refusal.NOT_SUPPORTED),
    (QueryRefused, 502, Refusal.UPSTREAM),
    (ReaderUnavailable, 503, Refusal.UPSTREAM),
)


class Answer(Struct, frozen=True):
    """A complete HTTP answer. refusal: why the request was refused, "" if it was not; for the counts only."""

    status: int
    body: bytes
    media_type: str = JSON
    headers: dict[str, str] = {}
    refusal: str = ""

    async def send(self, send: Send, extensions: Container[str] = ()) -> None:
        """Send it as two ASGI messages; as one where the extensions of the scope have WHOLE."""
        if self.headers or WHOLE not in extensions:
            for part in self.parts():
                await send(part)
        else:
            await send({"type": WHOLE, "answer": self})

    def parts(self) -> tuple[Message, Message]:
        """Its ASGI messages."""
        headers = [
            (b"content-type", self.media_type.encode()),
            (b"content-length", str(len(self.body)).encode()),
        ]
        headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers.items()]
        start = {"type": "http.response.start", "status": self.status, "headers": headers}
        if self.refusal:
            start[REFUSAL] = self.refusal
        return start, {"type": "http.response.body", "body": self.body}


def title_of(status: int) -> str:
    """The name of a status in RFC 9110; Python's own changed with its versions."""
    return _RENAMED.get(status) or HTTPStatus(status).phrase


_RENAMED = {413: "Content Too Large", 422: "Unprocessable Content"}


def ok(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer of JSON."""
    fields = dict(headers) if headers else {}
    if status == 503:
        fields["Retry-After"] = str(RETRY_AFTER_S)
    return Answer(status, _encode(body), JSON, fields)


def problem(
    status: int,
    detail: str,
    beside: object = None,
    headers: Mapping[str, str] | None = None,
    refusal: Refusal | None = None,
) -> Answer:
    """A problem; ``beside`` is a struct or mapping whose members stand beside the problem's own.

    refusal: what it is counted as, if it is refused before it is a log. What is the fault of no caller (5xx)
    has the id of the request, to look for it in the log of the bridge.
    """
    request_id = REQUEST_ID.get() if status >= 500 else b""
    members = {
        "type": "about:blank",
        "title": title_of(status),
        "status": status,
        "detail": detail,
        **({"request_id": request_id.decode("ascii")} if request_id else {}),
        **msgspec.to_builtins({} if beside is None else beside),
    }
    fields = dict(headers or {})
    if status == 413:
        # The rest of the body is not read, so nothing else can follow on this connection.
        fields["Connection"] = "close"
    if status in (429, 503):
        fields.setdefault("Retry-After", str(RETRY_AFTER_S))
    return Answer(status, _encode(members), PROBLEM, fields, refusal or "")


def error_answer(error: LogbridgeError, beside: Callable[[str], Any]) -> Answer:
    """The answer of a request that an error ended; ``beside`` gives the members for its detail.

    Raises the error again if it is none of a request: that is a fault of the bridge.
    """
    detail = str(error)
    if isinstance(error, RequestRejected):
        return problem(error.status, detail, beside(detail), error.headers, error.refusal)
    if isinstance(error, RateExceeded):
        headers = {"Retry-After": str(error.retry_after_s)}
        return problem(429, detail, beside(detail), headers, Refusal.RATE)
    for kind, status, refusal in _STATUS_OF_ERROR:
        if isinstance(error, kind):
            return problem(status, detail, beside(detail), refusal=refusal)
    raise error


def fault(scope: Scope, error: Exception) -> Answer:
    """The answer to a request that met a fault of ours; the log has what the caller is not told."""
    logger.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
    return fault_problem()


def fault_problem() -> Answer:
    """What a caller is told of a fault of ours."""
    return problem(500, "a fault of the bridge; its own log says more")


def outcome_problem(outcome: Outcome, beside: object) -> Answer:
    """The answer of a single write that was not accepted."""
    assert not isinstance(outcome, Accepted)  # noqa: S101 (for the type checker: its callers answer those)
    return problem(STATUS_OF_CAUSE[outcome.cause], outcome.reason, beside, _retry_after([outcome]))


def gravest_problem(outcomes: Iterable[Outcome], detail: str, beside: object) -> Answer:
    """The answer of several writes of which none was accepted."""
    failures = list(outcomes)
    statuses = {STATUS_OF_CAUSE[failure.cause] for failure in failures if not isinstance(failure, Accepted)}
    status = next((grave for grave in _GRAVEST_FIRST if grave in statuses), 422)
    return problem(status, detail, beside, _retry_after(failures) if status == 503 else {})


def _retry_after(outcomes: Iterable[Outcome]) -> dict[str, str]:
    given = (o.retry_after_s for o in outcomes if isinstance(o, Failed | Unknown))
    pauses = [pause_s for pause_s in given if pause_s is not None]
    return {"Retry-After": str(max(RETRY_AFTER_S, math.ceil(max(pauses))))} if pauses else {}
