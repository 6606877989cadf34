"""What OTLP has in common over HTTP and gRPC: what is answered to what became of the records."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)

from logbridge.adapters.otlp.receive import Drafts
from logbridge.domain.entry import EntryDraft
from logbridge.domain.errors import InvalidEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown

REASONS_MAX = 3
# Records that are read before others have their turn.
TURN_RECORDS = 200
_GRAVEST_FIRST = (Cause.NO_ANSWER, Cause.UNCLEAR, Cause.TIMEOUT)


class NotTaken(Struct, frozen=True):
    """A request that fails as a whole. outcome: one of its records' that stands for all."""

    outcome: Refused | Failed | Unknown
    reason: str


def summed_up(outcomes: Sequence[Outcome]) -> ExportLogsServiceResponse | NotTaken:
    """The answer to a request whose records became this.

    An exporter sends a request again as a whole, or not at all. So one record that could still get in has it
    sent again: what is stored is stored once, by its id. Only where nothing of that kind is left the refused
    ones are told as a partial success, which no exporter sends again. Where all are refused nothing is a
    success.
    """
    passing = [outcome for outcome in outcomes if isinstance(outcome, Failed | Unknown)]
    refused = [(i, outcome) for i, outcome in enumerate(outcomes) if isinstance(outcome, Refused)]
    if passing:
        gravest = next((o for o in passing if o.cause in _GRAVEST_FIRST), passing[0])
        accepted = sum(isinstance(outcome, Accepted) for outcome in outcomes)
        return NotTaken(gravest, f"{accepted} of {len(outcomes)} records were acknowledged: {gravest.reason}")
    if not refused:
        return ExportLogsServiceResponse()
    reasons = [f"record {index}: {outcome.reason}" for index, outcome in refused[:REASONS_MAX]]
    more = f"; and {len(refused) - REASONS_MAX} more" if len(refused) > REASONS_MAX else ""
    reason = "; ".join(reasons) + more
    if len(refused) == len(outcomes):
        return NotTaken(refused[0][1], f"nothing was written; {reason}")
    partly = ExportLogsPartialSuccess(rejected_log_records=len(refused), error_message=reason)
    return ExportLogsServiceResponse(partial_success=partly)


async def in_turns(drafts: Drafts) -> list[EntryDraft | InvalidEntry]:
    """All of them; others have their turn meanwhile. Raises what reading them raises."""
    taken = []
    for draft in drafts:
        taken.append(draft)
        if len(taken) % TURN_RECORDS == 0:
            await asyncio.sleep(0)
    return taken
