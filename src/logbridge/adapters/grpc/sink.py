"""GrpcSink: entries go to a log service over gRPC, ours or one of the field, with all that those do."""

import time
from collections.abc import Callable, Sequence

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from msgspec import Struct

from logbridge.adapters.certificates import PemFiles
from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.connection import Connection
from logbridge.adapters.grpc.mapping import batch_outcomes, to_write_request
from logbridge.adapters.grpc.reader import GrpcReader
from logbridge.adapters.grpc.status import Fate, RpcFailure, outcome_of
from logbridge.adapters.parts import Singles, write_halves
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.policy import BatchPolicy
from logbridge.domain.ports import Deadline, SinkHealth
from logbridge.domain.trace import Tracer

CHECK_TIMEOUT_S = 2.0
# How long a peer whose batch answer was ambiguous gets single writes.
SINGLES_AFTER_AMBIGUITY_S = 30.0
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_SPLIT = frozenset((Fate.TOO_LARGE, Fate.REFUSED, Fate.CONFLICT))


class _Peer(Struct):
    """What the answers on one connection have shown of whoever is there.

    It is taken before a call and learns from the answer: by then the connection may lead to somebody else.
    """

    generation: int
    has_no_batches: bool = False
    honours_ids: bool = False


class GrpcSink(GrpcReader):
    """A LogSink and LogReader at ``address`` (host:port). It connects with its first use, in that loop.

    key: what the log service is shown. tls: the files for TLS, None for plain text. monotonic: the clock of
    the deadlines, in seconds. tracer: records each call. authority, age_s: see Connection. Raises PemError.
    """

    def __init__(
        self,
        address: str,
        *,
        key: str = "",
        tls: PemFiles | None = None,
        batch: BatchPolicy = BatchPolicy(),  # noqa: B008 (frozen)
        tracer: Tracer | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        authority: str = "",
        age_s: float = 0.0,
    ) -> None:
        super().__init__(Connection(address, monotonic, key, tls, tracer, authority=authority, age_s=age_s))
        # A little less: the peer counts what HTTP/2 and gRPC add, too.
        self._request_bytes_max = batch.message_bytes_max - batch.message_bytes_max // 64
        self._singles = Singles(batch.singles_in_flight_max, monotonic)
        self._peer = _Peer(self._connection.generation)

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        """See LogSink.write."""
        if self._connection.closing:
            return [Failed(entry.id, f"{self._connection.address}: this sink is closed") for entry in entries]
        with self._connection.in_use():
            return await self._write_chunk(entries, deadline) if entries else []

    def _known_peer(self) -> _Peer:
        """What is known of the peer of this connection; of a new one nothing yet."""
        if self._peer.generation != self._connection.generation:
            self._peer = _Peer(self._connection.generation)
        return self._peer

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:
        """See LogSink.honours_ids: known from the answer to a write, or from how the peer names itself."""
        if self._connection.closing:
            return None
        if self._known_peer().honours_ids:
            return True
        peer = self._known_peer()
        with self._connection.in_use():
            # Without an entry it is refused, and its initial metadata tell who refuses (the gRPC contract).
            answer = await self._connection.call("WriteLog", b"", deadline)
        if isinstance(answer, RpcFailure) and answer.fate is not Fate.REFUSED:
            return None
        peer.honours_ids = answer.ours
        # Whoever answered may be gone by now, and another one in its place.
        return answer.ours if peer is self._known_peer() else None

    async def _write_chunk(self, chunk: Sequence[LogEntry], deadline: Deadline) -> list[Outcome]:
        if len(chunk) == 1 or self._wants_singles():
            return await self._write_singles(chunk, deadline)
        request = to_write_request(chunk)
        if len(request) > self._request_bytes_max:
            return await write_halves(self._write_chunk, chunk, deadline)
        peer = self._known_peer()
        answer = await self._connection.call("BatchWriteLog", request, deadline)
        if not isinstance(answer, RpcFailure):
            return self._batch_outcomes(chunk, answer.body, peer)
        if answer.fate is Fate.UNIMPLEMENTED:
            peer.has_no_batches = True
            return await self._write_singles(chunk, deadline)
        if answer.fate in _SPLIT:
            return await write_halves(self._write_chunk, chunk, deadline)
        return [outcome_of(answer, entry.id) for entry in chunk]

    def _wants_singles(self) -> bool:
        return self._known_peer().has_no_batches or self._singles.due

    def _batch_outcomes(self, chunk: Sequence[LogEntry], body: bytes, peer: _Peer) -> list[Outcome]:
        try:
            answer = pb.BatchWriteLogResponse.FromString(body)
        except DecodeError:
            return [self._garbage_outcome(entry) for entry in chunk]
        sent = [entry.id for entry in chunk]
        outcomes = batch_outcomes(sent, answer, self._connection.address)
        if outcomes is None:
            return self._ambiguous(chunk, answer)
        # Not the outcomes: an entry for which no id is answered is accepted under its own.
        if not peer.honours_ids and not set(answer.log_ids).isdisjoint(sent):
            peer.honours_ids = True
        return outcomes

    def _ambiguous(self, chunk: Sequence[LogEntry], answer: pb.BatchWriteLogResponse) -> list[Outcome]:
        self._singles.begin(SINGLES_AFTER_AMBIGUITY_S)
        taken = max(len(answer.log_ids), len(answer.results))
        said = f" ({answer.error_message})" if answer.error_message else ""
        reason = (
            f"{self._connection.address}: the log service answered for {taken} of {len(chunk)} entries "
            f"without saying which it took{said}: this one may have been written"
        )
        return [Unknown(entry.id, reason, Cause.UNCLEAR, may_go_again=True) for entry in chunk]

    async def _write_singles(self, entries: Sequence[LogEntry], deadline: Deadline) -> list[Outcome]:
        if len(entries) == 1:
            return [await self._write_single(entries[0], deadline)]
        return await self._singles.write(self._write_single, entries, deadline)

    async def _write_single(self, entry: LogEntry, deadline: Deadline) -> Outcome:
        request = to_write_request((entry,))
        peer = self._known_peer()
        answer = await self._connection.call("WriteLog", request, deadline)
        if isinstance(answer, RpcFailure):
            return outcome_of(answer, entry.id)
        try:
            response = pb.WriteLogResponse.FromString(answer.body)
        except DecodeError:
            return self._garbage_outcome(entry)
        if response.success:
            if response.log_id == entry.id:
                peer.honours_ids = True
            return Accepted(response.log_id or entry.id)
        said = response.error_message or "no reason given"
        return Refused(entry.id, f"{self._connection.address}: the log service did not take it: {said}")

    def _garbage_outcome(self, entry: LogEntry) -> Unknown:
        address = self._connection.address
        return Unknown(
            entry.id, f"{address}: the answer is not one of a log service: it may have been written"
        )

    async def check(self) -> SinkHealth:
        """See LogSink.check: asks grpc.health.v1; a peer without it has proved that it lives."""
        address = self._connection.address
        if self._connection.closing:
            return SinkHealth(False, f"{address}: this sink is closed")
        with self._connection.in_use():
            deadline = Deadline(self._connection.monotonic() + CHECK_TIMEOUT_S)
            answer = await self._connection.call_at_once(_HEALTH_CHECK, b"", deadline)
        if isinstance(answer, RpcFailure):
            alive = answer.fate is Fate.UNIMPLEMENTED
            return SinkHealth(alive, f"{address}: answers, has no health service" if alive else answer.reason)
        return _health(address, answer.body)

    async def aclose(self) -> None:
        """See LogSink.aclose."""
        await self._connection.aclose()


def _health(address: str, body: bytes) -> SinkHealth:
    try:
        status = health_pb2.HealthCheckResponse.FromString(body).status
    except DecodeError:
        return SinkHealth(False, f"{address}: the answer is not one of a health service")
    if status == health_pb2.HealthCheckResponse.SERVING:
        return SinkHealth(True, f"{address}: serving")
    return SinkHealth(False, f"{address}: the log service says that it is not serving")
