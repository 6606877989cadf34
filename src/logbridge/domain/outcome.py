"""What became of one entry: accepted, refused, failed or unknown. Values, never exceptions."""

from enum import Enum

from msgspec import Struct


class Cause(Enum):
    """Why an entry was not accepted; entry points translate this, and nothing else, into their statuses."""

    INVALID = "invalid"  # it breaks the contract
    TOO_LARGE = "too large"  # larger than one entry may be, here or there
    CONFLICT = "conflict"  # its id is taken by other content
    FORBIDDEN = "forbidden"  # this key is not for that service
    PEER_REFUSED = "refused by the log service"
    OVERLOADED = "overloaded"  # too much in flight here, or the log service's queue is full
    UNAVAILABLE = "unavailable"  # the log service was not reached
    TIMEOUT = "timeout"  # no answer before the deadline
    NO_ANSWER = "no answer"  # the connection broke, or the log service failed in the middle
    UNCLEAR = "unclear"  # the answer did not say which entries got in
    STOPPING = "stopping"  # the bridge is shutting down


class Accepted(Struct, frozen=True):
    """The entry is acknowledged. log_id: the id it is stored under.

    spooled: it is on the disk here and will be delivered; False: the log service has acknowledged it.
    """

    log_id: str
    spooled: bool = False


class Refused(Struct, frozen=True):
    """Not written, and sending it again will not help."""

    log_id: str
    reason: str
    cause: Cause = Cause.PEER_REFUSED


class Failed(Struct, frozen=True):
    """Known not to be written.

    retry_after_s: seconds that whoever failed it asks to wait. may_go_again: whether trying again within
    the same request makes sense.
    """

    log_id: str
    reason: str
    cause: Cause = Cause.UNAVAILABLE
    retry_after_s: float | None = None
    may_go_again: bool = True


class Unknown(Struct, frozen=True):
    """It may have been written or not. Sent again under its id it is stored once, where ids are honoured.

    retry_after_s as in Failed. may_go_again: whether the kind of failure is a passing one; even then it is
    safe only towards a peer that honours ids (LogSink.honours_ids). sent: False if this attempt did not send
    it: an earlier one did, to a log service that cannot be asked now.
    """

    log_id: str
    reason: str
    cause: Cause = Cause.NO_ANSWER
    retry_after_s: float | None = None
    may_go_again: bool = False
    sent: bool = True


Outcome = Accepted | Refused | Failed | Unknown
