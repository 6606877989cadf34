"""The log service: WriteLog, BatchWriteLog, QueryLog, HistogramLog and FollowLog over gRPC, before a store.

It serves the peers of the gRPC contract (docs/log-service.md) unchanged, and stores before it answers.
"""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal

import grpc
from google.protobuf.message import DecodeError, Message
from grpc.aio import Server, ServicerContext
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from logbridge import __version__
from logbridge.adapters.certificates import PemFiles
from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.credentials import server_credentials
from logbridge.adapters.grpc.mapping import (
    SERVICE,
    VERSION_KEY,
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
    TOO_OFTEN,
    WRONG_SCOPE,
    details_of,
    status_of_error,
    status_of_outcome,
)
from logbridge.adapters.grpc.tracing import traces_in
from logbridge.adapters.keys.ring import KeyRing
from logbridge.domain.access import Caller, Scope
from logbridge.domain.entry import EntryMaker, LogEntry
from logbridge.domain.errors import (
    InvalidEntry,
    InvalidRequest,
    InvalidSetting,
    LogbridgeError,
    RateExceeded,
)
from logbridge.domain.outcome import Accepted, Failed, Outcome, Refused, Unknown
from logbridge.domain.ports import Deadline, LogStore
from logbridge.domain.service import refused
from logbridge.domain.trace import TRACES
from logbridge.entrypoints.rates import Rates

logger = logging.getLogger(__name__)

DEADLINE_DEFAULT_S = 30.0
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
REASON_CHARACTERS_MAX = 1000  # a status travels in HTTP/2 headers, which end at 8 KiB
REASONS_MAX = 3
CALLS_WAITING_MAX = 10_000
# For one connection: more than any client of ours, and of the field, has in flight.
STREAMS_MAX = 1000
_STORED = pb.EntryResult.STORED
HEALTH_SERVICE = "grpc.health.v1.Health"

Context = ServicerContext[bytes, bytes]
Unary = Callable[[bytes, Caller, Deadline], Awaitable[Message]]
KEY_NAME = "authorization"
ANYBODY = Caller(scopes=frozenset(Scope))


class NotWrittenError(Exception):
    """A single write that was not accepted; carries its outcome to the status that says so."""

    def __init__(self, outcome: Refused | Failed | Unknown) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


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
        self._calls = _Calls(store, maker, keys)
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
        server.add_generic_rpc_handlers((self._calls.handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (SERVICE, HEALTH_SERVICE, reflection.SERVICE_NAME)
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
        for name in ("", SERVICE):
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

    def __init__(self, store: LogStore, maker: EntryMaker, keys: KeyRing | None) -> None:
        self._store = store
        self._maker = maker
        self._keys = keys
        # Of the keys themselves only: LOGBRIDGE_KEY_RATE is for the bridge's clients, not for the bridge.
        self._rates = Rates()
        self._stopping = asyncio.Event()

    def handler(self) -> grpc.GenericRpcHandler:
        unary = {
            "WriteLog": (self._write, Scope.WRITE),
            "BatchWriteLog": (self._write_batch, Scope.WRITE),
            "QueryLog": (self._query, Scope.READ),
            "HistogramLog": (self._histogram, Scope.READ),
        }
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            name: grpc.unary_unary_rpc_method_handler(self._unary(name, call, scope))
            for name, (call, scope) in unary.items()
        }
        methods["FollowLog"] = grpc.unary_stream_rpc_method_handler(self._follow)
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _write(self, raw: bytes, caller: Caller, deadline: Deadline) -> Message:
        request = pb.WriteLogRequest()
        _parse(request, raw)
        if not request.HasField("log_entry"):
            raise InvalidRequest("$.log_entry", "expected an entry, got none")
        entry = received(request.log_entry, self._maker, caller.services)
        outcomes = await self._store.write((entry,), deadline=deadline)
        if not isinstance(outcomes[0], Accepted):
            raise NotWrittenError(outcomes[0])
        return pb.WriteLogResponse(success=True, log_id=outcomes[0].log_id)

    async def _write_batch(self, raw: bytes, caller: Caller, deadline: Deadline) -> Message:
        request = pb.BatchWriteLogRequest()
        _parse(request, raw)
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
        _parse(request, raw)
        query = from_request(request).within(caller.services)
        page = await self._store.query(query, deadline=deadline)
        logs = [to_message(entry) for entry in page.entries]
        return pb.QueryLogResponse(logs=logs, total_count=page.total_count, success=True)

    async def _histogram(self, raw: bytes, caller: Caller, deadline: Deadline) -> Message:
        request = pb.HistogramLogRequest()
        _parse(request, raw)
        query = from_histogram_request(request).within(caller.services)
        return to_histogram_response(await self._store.histogram(query, deadline=deadline))

    def _entry_or_refused(self, message: pb.LogEntry, caller: Caller) -> LogEntry | Refused:
        try:
            return received(message, self._maker, caller.services)
        except InvalidEntry as error:
            return refused(error, message.id)

    async def _follow(self, raw: bytes, context: Context) -> AsyncIterator[bytes]:
        caller = await self._let_in(context, Scope.READ)
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            async with aclosing(self._followed(raw, caller)) as answers:
                while (answer := await _next_before(stopped, answers)) is not None:
                    if self._keys is not None and not self._keys.still_lets_in(caller):
                        await context.abort(NO_KEY, "this key has been revoked, or has expired")
                    yield answer.SerializeToString()
        except LogbridgeError as error:
            await context.abort(status_of_error(error), _short(str(error)))
        finally:
            stopped.cancel()
        await context.abort(SHUTTING_DOWN, "the log service is shutting down")

    async def _followed(self, raw: bytes, caller: Caller) -> AsyncGenerator[pb.FollowLogResponse, None]:
        request = pb.FollowLogRequest()
        _parse(request, raw)
        after = request.after if request.HasField("after") else None
        which = from_request(request.filter).within(caller.services)
        async with aclosing(self._store.follow(which, after=after)) as stored:
            async for item in stored:
                log_entry = to_message(item.entry) if item.entry else None
                yield pb.FollowLogResponse(sequence=item.sequence, log_entry=log_entry)

    def _unary(self, name: str, call: Unary, scope: Scope) -> Callable[[bytes, Context], Awaitable[bytes]]:
        async def handle(raw: bytes, context: Context) -> bytes:
            TRACES.set(traces_in(context.invocation_metadata() or ()))
            caller = await self._let_in(context, scope)
            logger.debug("%s of %d bytes by %s", name, len(raw), caller.name or "anybody")
            remaining_s = context.time_remaining()
            wait_s = DEADLINE_DEFAULT_S if remaining_s is None else remaining_s
            try:
                answer = await call(raw, caller, Deadline(time.monotonic() + wait_s))
            except NotWrittenError as error:
                status = status_of_outcome(error.outcome)
                await context.abort(status, _short(str(error)), details_of(error.outcome))
            except LogbridgeError as error:
                await context.abort(status_of_error(error), _short(str(error)))
            return answer.SerializeToString()

        return handle

    async def _let_in(self, context: Context, scope: Scope) -> Caller:
        """Who calls, once it is known that it may; else the call ends here."""
        await context.send_initial_metadata(((VERSION_KEY, __version__),))
        if self._keys is None:
            return ANYBODY
        shown = [_shown_key(value) for name, value in context.invocation_metadata() or () if name == KEY_NAME]
        caller = self._keys.find(shown[0]) if len(shown) == 1 else None
        if caller is None:
            reason = "this key is unknown, revoked or expired" if shown else "a key is needed"
            await context.abort(NO_KEY, f"{reason}: send metadata authorization: Bearer KEY")
        if not caller.may(scope):
            await context.abort(
                WRONG_SCOPE, f"the key {caller.name} may not do that: it needs the scope {scope}"
            )
        try:
            self._rates.count_key(caller)
        except RateExceeded as error:
            asked = Failed("", str(error), retry_after_s=error.retry_after_s)
            await context.abort(TOO_OFTEN, str(error), details_of(asked))
        return caller

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


def _shown_key(value: str | bytes) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    scheme, _, key = text.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _parse(message: Message, raw: bytes) -> None:
    try:
        message.ParseFromString(raw)
    except DecodeError:
        reason = f"these bytes are not a {type(message).__name__} (a string may not be UTF-8)"
        raise InvalidRequest("$", reason) from None


def _short(reason: str) -> str:
    return reason if len(reason) <= REASON_CHARACTERS_MAX else f"{reason[:REASON_CHARACTERS_MAX]}…"


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
