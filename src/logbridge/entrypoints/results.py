"""The answers of the contract, the same over HTTP and in Python: made from outcomes, in one place."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Outcome

# What the detail of a problem begins with, where an outcome is unknown. A client of ours reads it.
MAYBE_WRITTEN = "nothing was acknowledged, some of it may have been written"


class WriteResult(Struct, frozen=True):
    """What became of one log."""

    success: Annotated[bool, Meta(description="True: the log service acknowledged it.")]
    log_id: Annotated[
        str, Meta(description="The id it is stored under; of a failed write, the id to send it again with.")
    ]
    error_message: Annotated[str, Meta(description="Why it failed; empty on success.")]


class BatchResult(Struct, frozen=True):
    """What became of each log of a batch, in the order of the request."""

    total_count: int
    success_count: int
    error_count: int
    errors: Annotated[list[str], Meta(description='"Entry 5: why", counted from 0.')]
    results: list[WriteResult]


def write_result(outcome: Outcome) -> WriteResult:
    """The contract's answer for one outcome."""
    if isinstance(outcome, Accepted):
        return WriteResult(True, outcome.log_id, "")
    return WriteResult(False, outcome.log_id, outcome.reason)


def entry_as_request(entry: LogEntry) -> dict[str, Any]:
    """The request that writes this very entry: ``POST /write`` and `logbridge import` read it."""
    return {
        "log_id": entry.id,
        "timestamp": entry.timestamp,
        "service_name": entry.service_name,
        "level": entry.level.name,
        "message": entry.message,
        "trace_id": entry.trace_id,
        "span_id": entry.span_id,
        "metadata": entry.metadata,
    }


def batch_result(outcomes: Sequence[Outcome]) -> BatchResult:
    """The contract's answer for the outcomes of a batch."""
    results = [write_result(outcome) for outcome in outcomes]
    errors = [f"Entry {index}: {r.error_message}" for index, r in enumerate(results) if not r.success]
    return BatchResult(len(results), len(results) - len(errors), len(errors), errors, results)
