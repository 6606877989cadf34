"""What became of the lines of a stream: counts, and the first that failed."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from logbridge.domain.outcome import Accepted, Cause, Outcome

ERRORS_MAX = 100
# Of a reason. An id that is longer is left out: a part of it would name another log.
_CHARACTERS_MAX = 1000


class LineError(Struct, frozen=True):
    """A line that was not written."""

    line: Annotated[int, Meta(description="Counted from 1, blank lines too.")]
    log_id: Annotated[str, Meta(description="The id to send it again with; empty if it could not be read.")]
    error_message: str


class StreamResult(Struct, frozen=True):
    """What became of a stream."""

    total_count: Annotated[int, Meta(description="Lines that were tried, less blank ones.")]
    success_count: int
    error_count: int
    errors: Annotated[list[LineError], Meta(description=f"The first {ERRORS_MAX} lines that failed.")]
    errors_truncated: Annotated[bool, Meta(description="Whether more lines failed than errors has.")]
    lines_read: Annotated[
        int, Meta(description="The counts hold for the lines up to this one: go on with the next.")
    ]
    stopped: Annotated[str, Meta(description="Why it was not read to its end; empty if it was.")]


class Tally:
    """Counts lines, and remembers the first ERRORS_MAX failures and one of each kind.

    lines_read: int, up to which line everything is counted. spooled: whether any line is on the disk only.
    """

    def __init__(self) -> None:
        self.lines_read = 0
        self.spooled = False
        self.success_count = 0
        self._error_count = 0
        self._errors: list[LineError] = []
        self._kinds: dict[tuple[type[Outcome], Cause], Outcome] = {}

    def add(self, results: Iterable[tuple[int, Outcome]], lines_read: int) -> None:
        """Count lines, by number and outcome. lines_read: the last of them, or of blank ones after it."""
        for number, outcome in results:
            if isinstance(outcome, Accepted):
                self.success_count += 1
                self.spooled = self.spooled or outcome.spooled
                continue
            self._error_count += 1
            self._kinds.setdefault((type(outcome), outcome.cause), outcome)
            if len(self._errors) < ERRORS_MAX:
                log_id = outcome.log_id if len(outcome.log_id) <= _CHARACTERS_MAX else ""
                self._errors.append(LineError(number, log_id, outcome.reason[:_CHARACTERS_MAX]))
        self.lines_read = lines_read

    @property
    def total_count(self) -> int:
        """Lines in all, less blank ones."""
        return self.success_count + self._error_count

    @property
    def failures(self) -> list[Outcome]:
        """One of each kind that was met."""
        return list(self._kinds.values())

    def result(self, stopped: str = "") -> StreamResult:
        """The answer. stopped: why it was not read to its end."""
        return StreamResult(
            self.total_count,
            self.success_count,
            self._error_count,
            list(self._errors),
            self._error_count > len(self._errors),
            self.lines_read,
            stopped,
        )
