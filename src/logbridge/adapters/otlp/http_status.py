"""HTTP statuses of OTLP receivers, in one table: what each says of the records in the request.

By the OTLP specification ("OTLP/HTTP Response", "Failures") and the table of docs/log-service.md: what may
have been written is never called failed.
"""

import errno
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from logbridge.adapters.grpc.status import RETRY_INFO_S_MAX, Fate, RpcFailure
from logbridge.adapters.otlp.sink import shortened

PROTOBUF = "application/x-protobuf"
_FATES = {
    401: Fate.UNAUTHENTICATED,
    403: Fate.UNAUTHENTICATED,
    404: Fate.UNIMPLEMENTED,
    405: Fate.UNIMPLEMENTED,
    408: Fate.LOST,
    413: Fate.TOO_LARGE,
    415: Fate.UNIMPLEMENTED,
    429: Fate.OVERLOADED,
    501: Fate.UNIMPLEMENTED,
}
_BY_HUNDREDS = {3: Fate.UNIMPLEMENTED, 4: Fate.REFUSED}
# OTLP specification, "Retryable Response Codes".
_MAY_GO_AGAIN = frozenset((429, 502, 503, 504))
_PLAIN = {
    401: "wants a key that it knows, see LOGBRIDGE_SINK_KEY and LOGBRIDGE_SINK_HEADERS",
    403: "wants a key that may do this, see LOGBRIDGE_SINK_KEY and LOGBRIDGE_SINK_HEADERS",
    404: "takes no OTLP logs at this path, see LOGBRIDGE_SINK",
    413: "the request is larger than it takes",
    429: "takes nothing for now",
}
_PLAIN_FATES = {
    Fate.LOST: "gave no clear answer",
    Fate.UNIMPLEMENTED: "takes no OTLP logs there, see LOGBRIDGE_SINK",
    Fate.REFUSED: "refused it",
}


def failure_of(
    address: str, status: int, said: str, retry_after: str, now_s: Callable[[], float]
) -> RpcFailure:
    """What an answer that is no success means. retry_after: that header. now_s: seconds since 1970."""
    fate = _FATES.get(status, _BY_HUNDREDS.get(status // 100, Fate.LOST))
    plain = _PLAIN.get(status, _PLAIN_FATES.get(fate, ""))
    if status // 100 == 3:
        plain = "sends us elsewhere, where we do not follow: LOGBRIDGE_SINK must name the receiver itself"
    passing = status in _MAY_GO_AGAIN
    return RpcFailure(
        fate,
        f"{address}: {plain} (HTTP {status}{f': {said}' if said else ''})",
        may_go_again=passing,
        retry_after_s=_seconds(retry_after, now_s) if passing else None,
    )


def _seconds(retry_after: str, now_s: Callable[[], float]) -> float | None:
    """Seconds that a Retry-After asks for (RFC 9110, section 10.2.3), None without one that can be read."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        # A peer that asks for years is not taken at its word; and int() minds thousands of digits.
        return float(min(int(text[:9]), RETRY_INFO_S_MAX)) if len(text) < 10 else RETRY_INFO_S_MAX
    try:
        asked = parsedate_to_datetime(text)
    except ValueError:
        return None
    at_s = (asked if asked.tzinfo else asked.replace(tzinfo=UTC)).timestamp()
    return min(max(at_s - now_s(), 0.0), RETRY_INFO_S_MAX)


def said_in(content_type: str, body: bytes) -> str:
    """What the body of a failure says: the message of a google.rpc.Status, or plain text; else nothing."""
    if content_type == PROTOBUF:
        try:
            message: str = Status.FromString(body).message
        except DecodeError:
            return ""
        return shortened(message)
    return shortened(body.decode(errors="replace").strip()) if content_type == "text/plain" else ""


# What Python's TLS says of a handshake that failed; of two that fit the first one counts.
_HANDSHAKES = (
    ("certificate has expired", "its certificate has expired"),
    ("mismatch", "its certificate is for another name than this"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is of no CA that is trusted here, see LOGBRIDGE_SINK_CA"),
    ("WRONG_VERSION_NUMBER", "it speaks no TLS: otlp+http:// is for a receiver without it"),
    ("RECORD_LAYER_FAILURE", "it speaks no TLS: otlp+http:// is for a receiver without it"),
)
_ERRNOS = {
    errno.ECONNREFUSED: "nothing listens there (connection refused)",
    errno.ECONNRESET: "it hung up; does it want TLS (otlp+https://), or see LOGBRIDGE_SINK_CERT?",
}


def why_not_connected(error: BaseException) -> str:
    """Why there is no connection, in plain words."""
    for words, why in _HANDSHAKES:
        if words in str(error):
            return why
    for number, why in _ERRNOS.items():
        if number in _errnos(error):
            return why
    return f"no connection ({str(error) or type(error).__name__})"


def _errnos(error: BaseException | None) -> set[int]:
    """Those of what caused it; of a name's several addresses there are several."""
    found: set[int] = set()
    seen: set[int] = set()
    causes = [error]
    while causes:
        cause = causes.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        if isinstance(cause, OSError) and cause.errno:
            found.add(cause.errno)
        if isinstance(cause, BaseExceptionGroup):
            causes += cause.exceptions
        causes += (cause.__cause__, cause.__context__)
    return found
