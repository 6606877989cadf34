"""What a call over HTTP answers."""

from collections.abc import Iterable

from msgspec import Struct

from logbridge.domain.outcome import Accepted, Outcome
from logbridge.entrypoints.http import tally
from logbridge.entrypoints.http.schema import LogRecord


class WriteResult(Struct, frozen=True):
    """What became of one log.

    log_id: str, the id it is stored under, or to send it again with. spooled: True if it is on the disk of
    the bridge and will be delivered (202); False if the log service has it. error_message: str, empty on
    success.
    """

    success: bool
    log_id: str
    spooled: bool = False
    error_message: str = ""


class BatchResult(Struct, frozen=True):
    """What became of each log of a batch, in the order given. errors: ``Entry 5: why``, counted from 0."""

    total_count: int
    success_count: int
    error_count: int
    errors: list[str]
    results: list[WriteResult]


def batch_result(outcomes: Iterable[Outcome]) -> BatchResult:
    """The answer for the outcomes of a batch."""
    results = [_write_result(outcome) for outcome in outcomes]
    errors = [f"Entry {index}: {r.error_message}" for index, r in enumerate(results) if not r.success]
    return BatchResult(len(results), len(results) - len(errors), len(errors), errors, results)


def _write_result(outcome: Outcome) -> WriteResult:
    if isinstance(outcome, Accepted):
        return WriteResult(True, outcome.log_id, outcome.spooled)
    return WriteResult(False, outcome.log_id, error_message=outcome.reason)


class StreamResult(tally.StreamResult, frozen=True):
    """What became of a stream (docs/stream.md), by the lines of its logs, counted from 1.

    spooled: as in WriteResult.
    """

    spooled: bool = False


class Page(Struct, frozen=True):
    """A page of stored logs, newest first. total_count: int, of all that match.

    missing: tuple[str, ...], of several log services those whose logs are not in it, each with the reason.
    """

    logs: list[LogRecord]
    total_count: int
    missing: tuple[str, ...] = ()
