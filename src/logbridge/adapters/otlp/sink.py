"""OtlpSink: entries go to a receiver of OpenTelemetry logs; what its answers mean, over gRPC and HTTP."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)

from logbridge.adapters.grpc.connection import Answer
from logbridge.adapters.grpc.status import Fate, RpcFailure, outcome_of
from logbridge.adapters.in_use import InUse
from logbridge.adapters.otlp.mapping import to_request
from logbridge.adapters.parts import Singles, write_halves
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.policy import BatchPolicy
from logbridge.domain.ports import Deadline, SinkHealth

logger = logging.getLogger(__name__)

CHECK_TIMEOUT_S = 2.0
# How long records go one by one after an answer that rejected some of a request, or one by itself.
SINGLES_AFTER_PARTIAL_S = 30.0
# A receiver may warn with each answer; so often the log tells of it.
WARN_EVERY_S = 60.0
# Of what a receiver says, so much is passed on.
SAID_CHARS_MAX = 500
_SPLIT = frozenset((Fate.TOO_LARGE, Fate.REFUSED, Fate.CONFLICT))


class Place(Protocol):
    """What a sink needs of its connection, whatever it calls. address: as people read it."""

    address: str
    closing: bool
    in_use: InUse

    def monotonic(self) -> float:
        """The clock of the deadlines, in seconds."""
        ...

    async def aclose(self) -> None:
        """Let what is in use end, then close it."""
        ...


class OtlpSink(ABC):
    """A LogSink, but for honours_ids and the call itself. batch: what one request may hold.

    Outcomes are those of the OTLP specification ("Partial Success", "Failures"); docs/otlp-out.md lists them.
    """

    def __init__(self, place: Place, batch: BatchPolicy) -> None:
        self._place = place
        # A little less: the peer counts what HTTP/2 and gRPC add, too.
        self._request_bytes_max = batch.message_bytes_max - batch.message_bytes_max // 64
        self._singles = Singles(batch.singles_in_flight_max, place.monotonic)
        self._warn_at_s = place.monotonic()

    @abstractmethod
    async def _export(
        self, request: bytes, deadline: Deadline, *, at_once: bool = False
    ) -> Answer | RpcFailure:
        """Send the bytes of an ExportLogsServiceRequest. at_once: beside whatever waits for room."""

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        """See LogSink.write."""
        if self._place.closing:
            return [Failed(entry.id, f"{self._place.address}: this sink is closed") for entry in entries]
        with self._place.in_use():
            return await self._write_chunk(entries, deadline) if entries else []

    async def _write_chunk(self, chunk: Sequence[LogEntry], deadline: Deadline) -> list[Outcome]:
        alone = len(chunk) == 1
        if not alone and self._singles.due:
            return await self._singles.write(self._write_alone, chunk, deadline)
        request = to_request(chunk).SerializeToString()
        if not alone and len(request) > self._request_bytes_max:
            return await write_halves(self._write_chunk, chunk, deadline)
        answer = await self._export(request, deadline)
        if not isinstance(answer, RpcFailure):
            return self._outcomes(chunk, answer.body)
        if not alone and answer.fate in _SPLIT:
            return await write_halves(self._write_chunk, chunk, deadline)
        return [outcome_of(answer, entry.id) for entry in chunk]

    async def _write_alone(self, entry: LogEntry, deadline: Deadline) -> Outcome:
        return (await self._write_chunk((entry,), deadline))[0]

    def _outcomes(self, chunk: Sequence[LogEntry], body: bytes) -> list[Outcome]:
        address, partial = self._place.address, _partial_success(body)
        if partial is None:
            reason = f"{address}: the answer is not one of an OTLP receiver: it may have been written"
            return [Unknown(entry.id, reason) for entry in chunk]
        rejected, said = partial.rejected_log_records, shortened(partial.error_message)
        if not rejected:
            if said:
                self._warn(said)
            return [Accepted(entry.id) for entry in chunk]
        # The next one that it rejects is to stand alone.
        self._singles.begin(SINGLES_AFTER_PARTIAL_S)
        if rejected == len(chunk):
            reason = f"{address}: the receiver rejected it: {said or 'no reason given'}"
            return [Refused(entry.id, reason) for entry in chunk]
        reason = (
            f"{address}: the receiver rejected {rejected} of {len(chunk)} records without saying which "
            f"({said or 'no reason given'}): this one may have been written"
        )
        return [Unknown(entry.id, reason, Cause.UNCLEAR, may_go_again=True) for entry in chunk]

    def _warn(self, said: str) -> None:
        now_s = self._place.monotonic()
        if now_s >= self._warn_at_s:
            self._warn_at_s = now_s + WARN_EVERY_S
            logger.warning("%s: the receiver took all records, and warns: %s", self._place.address, said)

    async def check(self) -> SinkHealth:
        """See LogSink.check: a request without records, which the specification has receivers answer."""
        address = self._place.address
        if self._place.closing:
            return SinkHealth(False, f"{address}: this sink is closed")
        with self._place.in_use():
            deadline = Deadline(self._place.monotonic() + CHECK_TIMEOUT_S)
            answer = await self._export(b"", deadline, at_once=True)
        if isinstance(answer, RpcFailure):
            # It minds that there are no records, and so it reads them.
            alive = answer.fate is Fate.REFUSED
            return SinkHealth(alive, f"{address}: takes OTLP logs" if alive else answer.reason)
        if _partial_success(answer.body) is None:
            return SinkHealth(False, f"{address}: the answer is not one of an OTLP receiver")
        return SinkHealth(True, f"{address}: takes OTLP logs")

    async def aclose(self) -> None:
        """See LogSink.aclose."""
        await self._place.aclose()


def _partial_success(body: bytes) -> ExportLogsPartialSuccess | None:
    """What an answer says of the records; None if it is no answer of an OTLP receiver."""
    try:
        return ExportLogsServiceResponse.FromString(body).partial_success
    except DecodeError:
        return None


def shortened(said: str) -> str:
    """What a peer said, no longer than a line of a log should be."""
    return said if len(said) <= SAID_CHARS_MAX else f"{said[:SAID_CHARS_MAX]}…"
