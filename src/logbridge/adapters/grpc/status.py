"""gRPC statuses, in one table each way: what a status says of an entry, and which status says it to a client.

The rules are those of the gRPC contract (docs/log-service.md). Nothing outside adapters/grpc names a status.
"""

import re
from datetime import timedelta
from enum import Enum

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from grpc.aio import AioRpcError
from msgspec import Struct

from logbridge.adapters.grpc.mapping import VERSION_KEY
from logbridge.domain.errors import (
    InvalidEntry,
    InvalidRequest,
    LogbridgeError,
    QueryNotSupported,
    QueryRefused,
    ReaderError,
    ReaderUnavailable,
    ServiceForbidden,
)
from logbridge.domain.outcome import Cause, Failed, Outcome, Refused, Unknown

RETRY_INFO_S_MAX = 3600.0
_DETAILS_KEY = "grpc-status-details-bin"


class Fate(Enum):
    """What a failed call means for the entries in it."""

    NOT_SENT = "not sent"
    EXPIRED = "the deadline had passed before it was sent"
    OVERLOADED = "not taken, for now"
    TOO_LARGE = "the message is larger than the peer takes"
    CONFLICT = "its id is taken by other content"
    REFUSED = "refused"
    UNAUTHENTICATED = "refused, whatever is in it"
    UNIMPLEMENTED = "the peer has no such method"
    TIMED_OUT = "no answer in time: may have been written"
    LOST = "no answer: may have been written"


class RpcFailure(Struct, frozen=True):
    """A call that failed. reason: names the address and what happened, in plain words.

    ours: the peer named itself as a log service of logbridge, though the call failed. may_go_again: it is one
    of the statuses that the OpenTelemetry protocol calls retryable. retry_after_s: what RetryInfo asks.
    """

    fate: Fate
    reason: str
    ours: bool = False
    may_go_again: bool = False
    retry_after_s: float | None = None


_FATES = {
    StatusCode.UNAVAILABLE: Fate.LOST,
    StatusCode.DEADLINE_EXCEEDED: Fate.TIMED_OUT,
    StatusCode.CANCELLED: Fate.LOST,
    StatusCode.ABORTED: Fate.LOST,
    StatusCode.UNKNOWN: Fate.LOST,
    StatusCode.INTERNAL: Fate.LOST,
    StatusCode.DATA_LOSS: Fate.LOST,
    StatusCode.RESOURCE_EXHAUSTED: Fate.OVERLOADED,
    StatusCode.INVALID_ARGUMENT: Fate.REFUSED,
    StatusCode.NOT_FOUND: Fate.REFUSED,
    StatusCode.PERMISSION_DENIED: Fate.REFUSED,
    StatusCode.FAILED_PRECONDITION: Fate.REFUSED,
    StatusCode.OUT_OF_RANGE: Fate.OVERLOADED,
    StatusCode.UNAUTHENTICATED: Fate.UNAUTHENTICATED,
    StatusCode.UNIMPLEMENTED: Fate.UNIMPLEMENTED,
    StatusCode.ALREADY_EXISTS: Fate.CONFLICT,
}
# OTLP specification, "Failures": the retryable ones; RESOURCE_EXHAUSTED only if the peer says that it passes.
_MAY_GO_AGAIN = frozenset(
    (
        StatusCode.CANCELLED,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.ABORTED,
        StatusCode.OUT_OF_RANGE,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    )
)
_QUEUE_FULL = re.compile(r"queue.*\bfull\b|\bfull\b.*queue", re.IGNORECASE)
# The words of grpc's own transports; a peer reached but lost later says neither.
_NOT_CONNECTED = re.compile(r"failed to connect to all addresses|errors resolving |DNS resolution failed")
# C++, Go, Node and Python say "larger than max", Java and .NET "exceeds maximum", Rust "too large".
_TOO_LARGE = re.compile(r"message.*(larger than max|exceeds .*maximum|too large)", re.IGNORECASE)


def failure_of(address: str, error: AioRpcError) -> RpcFailure:
    """What a failed call to ``address`` means."""
    code, details = error.code(), error.details() or ""
    fate = _FATES.get(code, Fate.LOST)
    if code is StatusCode.UNAVAILABLE and _NOT_CONNECTED.search(details):
        return RpcFailure(Fate.NOT_SENT, f"{address}: {_why_not_connected(details)}", may_go_again=True)
    if details.startswith("CLIENT: "):
        # It is the answer that was too large for us: the peer had done its work by then.
        fate = Fate.LOST
    elif code in (StatusCode.RESOURCE_EXHAUSTED, StatusCode.OUT_OF_RANGE) and _TOO_LARGE.search(details):
        fate = Fate.TOO_LARGE
    retry_after_s = _retry_info(error)
    passes = code is StatusCode.RESOURCE_EXHAUSTED and (
        retry_after_s is not None or bool(_QUEUE_FULL.search(details))
    )
    return RpcFailure(
        fate,
        f"{address}: {_what_happened(fate, code, details)}",
        ours=any(key == VERSION_KEY for key, _ in error.initial_metadata() or ()),
        may_go_again=code in _MAY_GO_AGAIN or passes,
        retry_after_s=retry_after_s,
    )


def _retry_info(error: AioRpcError) -> float | None:
    """Seconds that google.rpc.RetryInfo asks for, None without one that can be read."""
    raw = dict(error.trailing_metadata() or ()).get(_DETAILS_KEY)
    if not isinstance(raw, bytes):
        return None
    info = RetryInfo()
    try:
        if not any(detail.Unpack(info) for detail in Status.FromString(raw).details):
            return None
        asked_s: float = info.retry_delay.ToTimedelta().total_seconds()
    except (DecodeError, OverflowError, ValueError):
        return None
    # A peer that asks for years is not taken at its word.
    return min(max(asked_s, 0.0), RETRY_INFO_S_MAX)


def details_of(outcome: Outcome) -> tuple[tuple[str, bytes], ...]:
    """Trailing metadata that tells a client of an entry that it may go again, and when (RetryInfo)."""
    if not isinstance(outcome, Failed):
        return ()
    info = RetryInfo()
    info.retry_delay.FromTimedelta(timedelta(seconds=outcome.retry_after_s or 0))
    status = Status(code=StatusCode.RESOURCE_EXHAUSTED.value[0], message=outcome.reason[:200])
    status.details.add().Pack(info)
    return ((_DETAILS_KEY, status.SerializeToString()),)


# What grpc says of a handshake that failed, in the words of its TLS library.
_HANDSHAKES = (
    ("certificate has expired", "its certificate has expired"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is of no CA that is trusted here, see LOGBRIDGE_SINK_CA"),
    ("Hostname Verification", "its certificate is for another name than this"),
    ("WRONG_VERSION_NUMBER", "it speaks no TLS: grpc:// and otlp:// are for peers without it"),
    # Without TLS, to a peer that has it; or with TLS, to one that wants to see a certificate.
    (
        "Socket closed",
        "no connection: it hung up; does it want TLS (grpcs://, otlps://), or see LOGBRIDGE_SINK_CERT?",
    ),
)


def _why_not_connected(details: str) -> str:
    for words, why in _HANDSHAKES:
        if words in details:
            return why
    if "onnection refused" in details:
        return f"nothing listens there (connection refused{_at(details)})"
    if "resol" in details or "lookup" in details:
        return f"this name leads to no address ({details.rpartition(': ')[2].strip(']')})"
    return f"no connection ({details.rpartition('last error: ')[2]})"


def _at(details: str) -> str:
    """Of a name's addresses grpc tells of the last one only; another one may have a better reason."""
    address = re.search(r"ipv6:(?:%5B|\[)(\S+?)(?:%5D|\]):(\d+)", details)
    return f" at [{address[1]}]:{address[2]}" if address else ""


def _what_happened(fate: Fate, code: StatusCode, details: str) -> str:
    status = f"{code.name}: {details}" if details else code.name
    plain = {
        Fate.TIMED_OUT: "did not answer in time",
        Fate.LOST: f"gave no clear answer ({status})",
        Fate.TOO_LARGE: f"the message is larger than the log service takes ({details})",
        Fate.OVERLOADED: f"takes nothing for now ({status})",
        Fate.UNIMPLEMENTED: f"has no such method ({status})",
        Fate.UNAUTHENTICATED: f"wants a key that it knows, see LOGBRIDGE_SINK_KEY ({status})",
    }
    return plain.get(fate, f"refused it ({status})")


_REFUSALS = {
    Fate.TOO_LARGE: Cause.TOO_LARGE,
    Fate.CONFLICT: Cause.CONFLICT,
    Fate.REFUSED: Cause.PEER_REFUSED,
    Fate.UNAUTHENTICATED: Cause.PEER_REFUSED,
    Fate.UNIMPLEMENTED: Cause.PEER_REFUSED,
}
_FAILURES = {
    Fate.NOT_SENT: Cause.UNAVAILABLE,
    Fate.EXPIRED: Cause.TIMEOUT,
    Fate.OVERLOADED: Cause.OVERLOADED,
}


def outcome_of(failure: RpcFailure, log_id: str) -> Outcome:
    """What became of an entry that was alone in a call that failed."""
    if failure.fate in _REFUSALS:
        return Refused(log_id, failure.reason, _REFUSALS[failure.fate])
    if failure.fate in _FAILURES:
        return Failed(
            log_id, failure.reason, _FAILURES[failure.fate], failure.retry_after_s, failure.may_go_again
        )
    cause = Cause.TIMEOUT if failure.fate is Fate.TIMED_OUT else Cause.NO_ANSWER
    reason = f"{failure.reason}: the log may have been written"
    return Unknown(log_id, reason, cause, failure.retry_after_s, failure.may_go_again)


def reader_error_of(failure: RpcFailure) -> ReaderError:
    """The error of a question that failed."""
    if failure.fate is Fate.UNIMPLEMENTED:
        return QueryNotSupported(failure.reason)
    if failure.fate in _REFUSALS:
        return QueryRefused(failure.reason)
    return ReaderUnavailable(failure.reason)


_REFUSAL_STATUSES = {
    Cause.CONFLICT: StatusCode.ALREADY_EXISTS,
    Cause.PEER_REFUSED: StatusCode.FAILED_PRECONDITION,
}


def status_of_outcome(outcome: Refused | Failed | Unknown) -> StatusCode:
    """The status that tells a client what became of its entry."""
    if isinstance(outcome, Refused):
        return _REFUSAL_STATUSES.get(outcome.cause, StatusCode.INVALID_ARGUMENT)
    if isinstance(outcome, Failed):
        # UNAVAILABLE would be read as "may have been written"; this says "not written, try again".
        return StatusCode.RESOURCE_EXHAUSTED
    return StatusCode.DEADLINE_EXCEEDED if outcome.cause is Cause.TIMEOUT else StatusCode.UNKNOWN


def status_of_export(outcome: Refused | Failed | Unknown) -> StatusCode:
    """The status that tells an exporter of OTLP what became of its request.

    OTLP specification, "Failures": with INVALID_ARGUMENT and PERMISSION_DENIED it is not sent again, with the
    others it is, with RESOURCE_EXHAUSTED because details_of() say so.
    """
    if isinstance(outcome, Refused):
        forbidden = outcome.cause is Cause.FORBIDDEN
        return StatusCode.PERMISSION_DENIED if forbidden else StatusCode.INVALID_ARGUMENT
    if isinstance(outcome, Failed):
        return StatusCode.RESOURCE_EXHAUSTED
    return StatusCode.DEADLINE_EXCEEDED if outcome.cause is Cause.TIMEOUT else StatusCode.UNAVAILABLE


_ERROR_STATUSES: tuple[tuple[type[LogbridgeError], StatusCode], ...] = (
    (ServiceForbidden, StatusCode.PERMISSION_DENIED),
    (InvalidEntry, StatusCode.INVALID_ARGUMENT),
    (InvalidRequest, StatusCode.INVALID_ARGUMENT),
    (QueryRefused, StatusCode.INVALID_ARGUMENT),
    (QueryNotSupported, StatusCode.UNIMPLEMENTED),
)


def status_of_error(error: LogbridgeError) -> StatusCode:
    """The status that tells a client why its call was not carried out."""
    for kind, status in _ERROR_STATUSES:
        if isinstance(error, kind):
            return status
    return StatusCode.UNAVAILABLE


SHUTTING_DOWN = StatusCode.UNAVAILABLE
NO_KEY = StatusCode.UNAUTHENTICATED
WRONG_SCOPE = StatusCode.PERMISSION_DENIED
TOO_OFTEN = StatusCode.RESOURCE_EXHAUSTED
