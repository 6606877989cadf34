"""gRPC statuses, in one table each way: what a status says of an entry, and which status says it to a client.

The rules are those of the gRPC contract (docs/log-service.md). Nothing outside adapters/grpc names a status.
"""

import re
from enum import Enum

from grpc import StatusCode
from grpc.aio import AioRpcError
from msgspec import Struct

from logbridge.domain.errors import (
    InvalidEntry,
    InvalidRequest,
    LogbridgeError,
    QueryNotSupported,
    QueryRefused,
    ReaderError,
    ReaderUnavailable,
)
from logbridge.domain.outcome import Cause, Failed, Outcome, Refused, Unknown


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
    """A call that failed. reason: names the address and what happened, in plain words."""

    fate: Fate
    reason: str


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
    StatusCode.OUT_OF_RANGE: Fate.REFUSED,
    StatusCode.UNAUTHENTICATED: Fate.UNAUTHENTICATED,
    StatusCode.UNIMPLEMENTED: Fate.UNIMPLEMENTED,
    StatusCode.ALREADY_EXISTS: Fate.CONFLICT,
}
# The words of grpc's own transports; a peer reached but lost later says neither.
_NOT_CONNECTED = re.compile(r"failed to connect to all addresses|errors resolving |DNS resolution failed")
# C++, Go, Node and Python say "larger than max", Java and .NET "exceeds maximum", Rust "too large".
_TOO_LARGE = re.compile(r"message.*(larger than max|exceeds .*maximum|too large)", re.IGNORECASE)


def failure_of(address: str, error: AioRpcError) -> RpcFailure:
    """What a failed call to ``address`` means."""
    code, details = error.code(), error.details() or ""
    fate = _FATES.get(code, Fate.LOST)
    if code is StatusCode.UNAVAILABLE and _NOT_CONNECTED.search(details):
        return RpcFailure(Fate.NOT_SENT, f"{address}: {_why_not_connected(details)}")
    if details.startswith("CLIENT: "):
        # It is the answer that was too large for us: the peer had done its work by then.
        fate = Fate.LOST
    elif code in (StatusCode.RESOURCE_EXHAUSTED, StatusCode.OUT_OF_RANGE) and _TOO_LARGE.search(details):
        fate = Fate.TOO_LARGE
    return RpcFailure(fate, f"{address}: {_what_happened(fate, code, details)}")


def _why_not_connected(details: str) -> str:
    if "onnection refused" in details:
        return "nothing listens there (connection refused)"
    if "resol" in details or "lookup" in details:
        return f"this name leads to no address ({details.rpartition(': ')[2].strip(']')})"
    return f"no connection ({details.rpartition('last error: ')[2]})"


def _what_happened(fate: Fate, code: StatusCode, details: str) -> str:
    status = f"{code.name}: {details}" if details else code.name
    plain = {
        Fate.TIMED_OUT: "did not answer in time",
        Fate.LOST: f"gave no clear answer ({status})",
        Fate.TOO_LARGE: f"the message is larger than the log service takes ({details})",
        Fate.OVERLOADED: f"takes nothing for now ({status})",
        Fate.UNIMPLEMENTED: f"has no such method ({status})",
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
        return Failed(log_id, failure.reason, _FAILURES[failure.fate])
    cause = Cause.TIMEOUT if failure.fate is Fate.TIMED_OUT else Cause.NO_ANSWER
    return Unknown(log_id, f"{failure.reason}: the log may have been written", cause)


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


_ERROR_STATUSES: tuple[tuple[type[LogbridgeError], StatusCode], ...] = (
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
