"""The rule of an id that is already stored, the same for every store of ours."""

from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Refused


def answer_again(stored: LogEntry, entry: LogEntry) -> Accepted | Refused:
    """The same log sent again is accepted, and stored once; other content under its id is refused."""
    if stored.same_content(entry):
        return Accepted(entry.id)
    reason = f"id {entry.id!r} of service {entry.service_name!r} is taken by other content"
    return Refused(entry.id, reason, Cause.CONFLICT)
