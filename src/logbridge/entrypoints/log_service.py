"""The log service: WriteLog, BatchWriteLog, QueryLog, HistogramLog and FollowLog over gRPC, before a store.

It serves the peers of the gRPC contract (docs/log-service.md) unchanged, and stores before it answers. On the
same port it takes OTLP: see otlp_service.py.
"""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Literal

import grpc
from google.protobuf.message import Message
from grpc.aio import Server
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from logbridge.adapters.certificates import PemFiles
from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.credentials import server_credentials
from logbridge.adapters.grpc.mapping import (
    SERVICE,
    from_histogram_request,
    from_request,
    to_histogram_response,
    to_message,
    to_result,
)
from logbridge.adapters.grpc.receive import received
from logbridge.adapters.grpc.status import (
    NO_KEY,
    SHUTTING_DOWN,
    details_of,
    status_of_error,
    status_of_outcome,
)
from logbridge.adapters.keys.ring import KeyRing
from logbridge.domain.access import Caller, Scope
from logbridge.domain.entry import EntryMaker, LogEntry
from logbridge.domain.errors import (
    InvalidEntry,
    InvalidRequest,
    InvalidSetting,
    LogbridgeError,
)
from logbridge.domain.outcome import Accepted, Outcome, Refused
from logbridge.domain.ports import Deadline, LogStore
from logbridge.domain.service import refused
from logbridge.entrypoints.call_gate import CallEnded, CallGate, Context, parse, short
from logbridge.entrypoints.otlp_service import OTLP_SERVICE, LogExports

logger = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
REASONS_MAX = 3
CALLS_WAITING_MAX = 10_000
# For one connection: more than any client of ours, and of the field, has in flight.
STREAMS_MAX = 1000
_STORED = pb.EntryResult.STORED
HEALTH_SERVICE = "grpc.health.v1.Health"


class LogServiceServer:
    """The log service on host:port (port 0: any free one), in front of ``store``, which it does not close."""

    def __init__(
        self,
        store: LogStore,
        *,
        host: str,
        port: int,
        maker: EntryMaker,
        keys: KeyRing | None = None,
        tls: PemFiles | None = None,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> None:
        self.port = port
        self._message_bytes_max = message_bytes_max
        self._host = host
        self._tls = tls
        self._entry_bytes_max = maker.entry_bytes_max
        gate = CallGate(keys)
        self._calls = _Calls(store, maker, gate)
        self._exports = LogExports(store, maker, gate)
        self._health = health.HealthServicer()
        self._server: Server | None = None

    async def start(self) -> None:
        """Listen; ``port`` then is the real one. Raises InvalidSetting if it cannot, PemError for a file."""
        _check_free(self._host, self.port)
        credentials = None if self._tls is None else server_credentials(self._tls, time.monotonic)
        # Text can grow fourfold on the wire: each pair of metadata has a frame of its own.
        message_bytes_max = max(self._message_bytes_max, 4 * self._entry_bytes_max + 65_536)
        options = (
            # With SO_REUSEPORT a second service would take half of the calls in silence.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", message_bytes_max),
            # By default grpc drops calls, without a word, when 1,000 wait to be begun.
            ("grpc.server.max_pending_requests", CALLS_WAITING_MAX),
            ("grpc.server.max_pending_requests_hard_limit", CALLS_WAITING_MAX),
            # Who has so many calls under way keeps the next ones on its own side (RFC 9113, section 5.1.2).
            ("grpc.max_concurrent_streams", STREAMS_MAX),
        )
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers((self._calls.handler(), self._exports.handler()))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (SERVICE, OTLP_SERVICE, HEALTH_SERVICE, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        host = f"[{self._host}]" if ":" in self._host else self._host
        address = f"{host}:{self.port}"
        try:
            if credentials is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            await server.stop(None)
            raise InvalidSetting("LOGBRIDGE_SERVICE_HOST", self._host, str(error)) from None
        await server.start()
        self._server = server
        for name in ("", SERVICE, OTLP_SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, give running writes ``grace_s`` seconds to end; follows end at once."""
        if self._server is None:
            return
        server, self._server = self._server, None
        await self._health.enter_graceful_shutdown()
        self._calls.end_follows()
        await server.stop(grace_s)


def _check_free(host: str, port: int) -> None:
    """grpc would write its own lines to stderr, and settle for half of the addresses of a name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise InvalidSetting(
            "LOGBRIDGE_SERVICE_HOST", host, f"leads to no address: {error.strerror}"
        ) from None
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    continue  # localhost may name an IPv6 address that this machine does not have
                reason = (
                    f"cannot listen on {host}:{port}: {error.strerror}; stop what uses it, or choose another"
                )
                raise InvalidSetting("GRPC_SERVER_PORT", str(port), reason) from None


class _Calls:
    """The methods of the service: from request bytes to answer messages."""

    def __init__(self, store: LogStore, maker: EntryMaker, gate: CallGate) -> None:
        self._store = store
        self._maker = maker
        self._gate = gate
        self._stopping = asyncio.Event()

    def handler(self) -> grpc.GenericRpcHandler:
        unary = {
            "WriteLog": (self._write, Scope.WRITE),
            "BatchWriteLog": (self._write_batch, Scope.WRITE),
            "QueryLog": (self._query, Scope.READ),
            "HistogramLog": (self._histogram, Scope.READ),
        }
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            name: grpc.unary_unary_rpc_method_handler(self._gate.unary(name, call, scope))
            for name, (call, scope) in unary.items()
        }
        methods["FollowLog"] = grpc.unary_stream_rpc_method_handler(self._follow)
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _write(self, raw: bytes, caller: Caller, deadline: Deadline) -> Message:
        request = pb.WriteLogRequest()
        parse(request, raw)
        if not request.HasField("log_entry"):
            raise InvalidRequest("$.log_entry", "expected an entry, got none")
        entry = received(request.log_entry, self._maker, caller.services)
        outcomes = await self._store.write((entry,), deadline=deadline)
        if not isinstance(outcomes[0], Accepted):
            outcome = outcomes[0]
            raise CallEnded(status_of_outcome(outcome), outcome.reason, details_of(outcome))
        return pb.WriteLogResponse(success=True, log_id=outcomes[0].log_id)

    async def _write_batch(self, raw: bytes, caller: Caller, deadline: Deadline) -> Message:
        request = pb.BatchWriteLogRequest()
        parse(request, raw)
        if not request.log_entries:
            raise InvalidRequest("$.log_entries", "expected 1 entry or more, got none")
        made = [self._entry_or_refused(message, caller) for message in request.log_entries]
        entries = [entry for entry in made if isinstance(entry, LogEntry)]
        written = iter(await self._store.write(entries, deadline=deadline) if entries else ())
        # Even a batch of nothing but bad entries is answered with OK: a status could give one reason only,
        # and peers would take it for a broken call.
        return _batch_response([next(written) if isinstance(entry, LogEntry) else entry for entry in made])

    async def _query(self, raw: bytes, caller: Caller, deadline: Deadline) -> Message:
        request = pb.QueryLogRequest()
        parse(request, raw)
        query = from_request(request).within(caller.services)
        page = await self._store.query(query, deadline=deadline)
        logs = [to_message(entry) for entry in page.entries]
        return pb.QueryLogResponse(logs=logs, total_count=page.total_count, success=True)

    async def _histogram(self, raw: bytes, caller: Caller, deadline: Deadline) -> Message:
        request = pb.HistogramLogRequest()
        parse(request, raw)
        query = from_histogram_request(request).within(caller.services)
        return to_histogram_response(await self._store.histogram(query, deadline=deadline))

    def _entry_or_refused(self, message: pb.LogEntry, caller: Caller) -> LogEntry | Refused:
        try:
            return received(message, self._maker, caller.services)
        except InvalidEntry as error:
            return refused(error, message.id)

    async def _follow(self, raw: bytes, context: Context) -> AsyncIterator[bytes]:
        caller = await self._gate.admit(context, Scope.READ)
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            async with aclosing(self._followed(raw, caller)) as answers:
                while (answer := await _next_before(stopped, answers)) is not None:
                    if not self._gate.still_lets_in(caller):
                        await context.abort(NO_KEY, "this key has been revoked, or has expired")
                    yield answer.SerializeToString()
        except LogbridgeError as error:
            await context.abort(status_of_error(error), short(str(error)))
        finally:
            stopped.cancel()
        await context.abort(SHUTTING_DOWN, "the log service is shutting down")

    async def _followed(self, raw: bytes, caller: Caller) -> AsyncGenerator[pb.FollowLogResponse, None]:
        request = pb.FollowLogRequest()
        parse(request, raw)
        after = request.after if request.HasField("after") else None
        which = from_request(request.filter).within(caller.services)
        async with aclosing(self._store.follow(which, after=after)) as stored:
            async for item in stored:
                log_entry = to_message(item.entry) if item.entry else None
                yield pb.FollowLogResponse(sequence=item.sequence, log_entry=log_entry)

    def end_follows(self) -> None:
        # Not by cancelling their tasks: these are grpc's own, and may be in the middle of sending.
        self._stopping.set()


async def _next_before(
    stopped: "asyncio.Future[Literal[True]]", answers: AsyncGenerator[pb.FollowLogResponse, None]
) -> pb.FollowLogResponse | None:
    """The next answer, None if the service stops first."""
    coming = asyncio.ensure_future(anext(answers))
    either: set[asyncio.Future[Any]] = {coming, stopped}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return coming.result() if coming.done() else None
    finally:
        if not coming.done():
            coming.cancel()
            await asyncio.wait([coming])


def _batch_response(outcomes: Sequence[Outcome]) -> pb.BatchWriteLogResponse:
    reasons = [f"Entry {i}: {o.reason}" for i, o in enumerate(outcomes) if not isinstance(o, Accepted)]
    more = f"; and {len(reasons) - REASONS_MAX} more" if len(reasons) > REASONS_MAX else ""
    response = pb.BatchWriteLogResponse(
        success=not reasons,
        error_message="; ".join(reasons[:REASONS_MAX]) + more,
        log_ids=[outcome.log_id for outcome in outcomes if isinstance(outcome, Accepted)],
    )
    for outcome in outcomes:
        if isinstance(outcome, Accepted):  # made in place, for a third of the cost
            response.results.add(verdict=_STORED, log_id=outcome.log_id)
        else:
            response.results.append(to_result(outcome))
    return response
