"""What became of one entry: accepted, refused, failed or unknown. Values, never exceptions."""

from enum import Enum

from msgspec import Struct


class Cause(Enum):
    """Why an entry was not accepted; entry points translate this, and nothing else, into their statuses."""

    INVALID = "invalid"  # it breaks the contract
    TOO_LARGE = "too large"  # larger than one entry may be, here or there
    CONFLICT = "conflict"  # its id is taken by other content
    PEER_REFUSED = "refused by the log service"
    OVERLOADED = "overloaded"  # too much in flight here, or the log service's queue is full
    UNAVAILABLE = "unavailable"  # the log service was not reached
    TIMEOUT = "timeout"  # no answer before the deadline
    NO_ANSWER = "no answer"  # the connection broke, or the answer did not say which entries got in


class Accepted(Struct, frozen=True):
    """The log service acknowledged the entry. log_id: the id it is stored under."""

    log_id: str


class Refused(Struct, frozen=True):
    """Not written, and sending it again will not help."""

    log_id: str
    reason: str
    cause: Cause = Cause.PEER_REFUSED


class Failed(Struct, frozen=True):
    """Known not to be written; it may go again, after ``retry_after_s`` seconds if that is given."""

    log_id: str
    reason: str
    cause: Cause = Cause.UNAVAILABLE
    retry_after_s: float | None = None


class Unknown(Struct, frozen=True):
    """It may have been written or not. Sent again under its id it is stored once, where ids are honoured."""

    log_id: str
    reason: str
    cause: Cause = Cause.NO_ANSWER


Outcome = Accepted | Refused | Failed | Unknown
