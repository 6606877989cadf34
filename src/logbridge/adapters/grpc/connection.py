"""One peer: the channel to it, and calls that answer with bytes or with what went wrong."""

import asyncio
from collections.abc import Callable, Coroutine
from random import uniform

import grpc
from grpc.aio import AioRpcError, Channel, UnaryStreamCall, UnaryStreamMultiCallable, UnaryUnaryMultiCallable
from msgspec import Struct

from logbridge.adapters.certificates import PemFiles, renewed
from logbridge.adapters.grpc.credentials import channel_credentials
from logbridge.adapters.grpc.mapping import SERVICE, VERSION_KEY
from logbridge.adapters.grpc.status import Fate, RpcFailure, failure_of
from logbridge.adapters.grpc.tracing import Metadata, RecordedCall, metadata_of
from logbridge.adapters.in_use import InUse
from logbridge.domain.ports import Deadline
from logbridge.domain.trace import TRACES, Tracer

_OPTIONS = (
    # Go peers end a connection that pings more often than every 5 minutes.
    ("grpc.keepalive_time_ms", 360_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    # In grpc this is also how long one attempt to connect may take.
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    ("grpc.dns_min_time_between_resolutions_ms", 3_000),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    # Two sinks to one address are two connections: neither waits for the other's backoff.
    ("grpc.use_local_subchannel_pool", 1),
    # A log service is a neighbour: http_proxy is meant for the world outside.
    ("grpc.enable_http_proxy", 0),
)
_MAY_BE_GONE = frozenset((grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED))
# A grpc server drops calls that it cannot begin: from 1,000 waiting on some of them, from 3,000 all.
CALLS_IN_FLIGHT_MAX = 500


class Answer(Struct, frozen=True):
    """An answer as bytes. ours: the peer named itself as a log service of logbridge."""

    body: bytes
    ours: bool


class _Line:
    """One channel, and how many calls are under way on it. Made in the running loop.

    watch: looks after it until it is closed. until_s: when another one is to take its place.
    """

    def __init__(
        self, channel: Channel, watch: "Callable[[_Line], Coroutine[None, None, None]]", until_s: float
    ) -> None:
        self.channel = channel
        self.calls = 0
        self.until_s = until_s
        self._methods: dict[str, UnaryUnaryMultiCallable[bytes, bytes]] = {}
        self._watching = asyncio.ensure_future(watch(self))

    def unary(self, path: str) -> UnaryUnaryMultiCallable[bytes, bytes]:
        if path not in self._methods:
            self._methods[path] = self.channel.unary_unary(path)
        return self._methods[path]

    async def aclose(self) -> None:
        self._watching.cancel()
        await asyncio.wait([self._watching])
        await self.channel.close()


class Connection:
    """A peer at ``address`` (host:port). Its channel is made in the running loop, by the first call.

    key: what it is shown with each call, empty for nothing. tls: the files for TLS, None for plain text. When
    one of them changes new calls take a new channel; those under way end on the old one. tracer: records each
    call. service: whose methods are called. headers: metadata of each call, beside the key. authority: the
    name of the peer, where the address is not it. age_s: seconds until another channel connects and takes the
    place of one (a tenth sooner or later, so that many bridges do not come at once), 0 for never. Raises
    PemError.
    """

    def __init__(
        self,
        address: str,
        monotonic: Callable[[], float],
        key: str = "",
        tls: PemFiles | None = None,
        tracer: Tracer | None = None,
        service: str = SERVICE,
        headers: Metadata = (),
        authority: str = "",
        age_s: float = 0.0,
    ) -> None:
        self.address = address
        self._options = (*_OPTIONS, *_names(authority))
        self._age_s = age_s
        self._service = service
        self._credentials = None if tls is None else renewed(tls, channel_credentials, monotonic)
        self._shown = (*((("authorization", f"Bearer {key}"),) if key else ()), *headers)
        self._tracer = tracer
        self.monotonic = monotonic
        self.closing = False
        # Counts the connections of the channel, and whatever may have ended one: what was learned of a peer
        # holds for one of them.
        self.generation = 0
        self._line: _Line | None = None
        # Connects while the line is in use, to take its place.
        self._coming: _Line | None = None
        self._old_lines: set[_Line] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(CALLS_IN_FLIGHT_MAX)
        self.in_use = InUse()

    async def call(self, method: str, request: bytes, deadline: Deadline) -> Answer | RpcFailure:
        """Call a method of the service, when there is room; what a peer does is never an exception."""
        if not await self._has_room(deadline):
            return self._expired()
        try:
            return await self.call_at_once(f"/{self._service}/{method}", request, deadline)
        finally:
            self._room.release()

    async def _has_room(self, deadline: Deadline) -> bool:
        if not self._room.locked():
            return await self._room.acquire()  # at once, without the price of a timeout
        try:
            async with asyncio.timeout(deadline.remaining_s(self.monotonic())):
                return await self._room.acquire()
        except TimeoutError:
            return False

    async def call_at_once(self, path: str, request: bytes, deadline: Deadline) -> Answer | RpcFailure:
        """Call a unary method beside whatever waits for room."""
        remaining_s = deadline.remaining_s(self.monotonic())
        if not remaining_s:
            return self._expired()
        line = self._opened()
        line.calls += 1
        traces = TRACES.get()
        recorded = None
        if self._tracer is not None:
            recorded = RecordedCall(self._tracer, path, self.address, traces)
            traces = (recorded.trace,)
        try:
            call = line.unary(path)(
                request, timeout=remaining_s, metadata=metadata_of(self._shown, traces), wait_for_ready=False
            )
            body = await call
            ours = any(key == VERSION_KEY for key, _ in await call.initial_metadata())
            if recorded is not None:
                recorded.code = grpc.StatusCode.OK
            return Answer(body, ours)
        except AioRpcError as error:
            if recorded is not None:
                recorded.code = error.code()
            if error.code() in _MAY_BE_GONE:
                # The watch may tell of a lost connection later than the call that it broke.
                self.generation += 1
            return failure_of(self.address, error)
        finally:
            if recorded is not None:
                recorded.end()
            self._end_call(line)

    def _expired(self) -> RpcFailure:
        return RpcFailure(Fate.EXPIRED, f"{self.address}: the deadline had passed before it was sent")

    def stream(self, method: str, request: bytes) -> UnaryStreamCall[bytes, bytes]:
        """Begin a call that answers with a stream; it has no deadline."""
        line = self._opened()
        rpc: UnaryStreamMultiCallable[bytes, bytes] = line.channel.unary_stream(f"/{self._service}/{method}")
        call = rpc(request, metadata=metadata_of(self._shown, TRACES.get()), wait_for_ready=False)
        line.calls += 1
        call.add_done_callback(lambda _call: self._end_call(line))
        return call

    def _opened(self) -> _Line:
        if self._credentials is not None and self._credentials.renew():
            for line in self._lines():
                self._retire(line)
            self._line = self._coming = None
        if self._line is None:
            self._line = self._new_line()
        elif self._age_s and self._coming is None and self.monotonic() >= self._line.until_s:
            self._coming = self._new_line()
            self._coming.channel.get_state(try_to_connect=True)
        return self._line

    def _new_line(self) -> _Line:
        age_s = self._age_s * uniform(0.9, 1.1)  # noqa: S311 (jitter, no secrets)
        return _Line(self._new_channel(), self._watch, self.monotonic() + age_s)

    def _new_channel(self) -> Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(self.address, options=self._options)
        return grpc.aio.secure_channel(self.address, self._credentials.current, options=self._options)

    def _lines(self) -> list[_Line]:
        """The one in use, and the one that is to take its place, as far as they are there."""
        return [line for line in (self._line, self._coming) if line is not None]

    def _retire(self, line: _Line) -> None:
        self.generation += 1
        self._old_lines.add(line)
        self._close_if_unused(line)

    def _end_call(self, line: _Line) -> None:
        line.calls -= 1
        if self._old_lines:
            self._close_if_unused(line)

    def _close_if_unused(self, line: _Line) -> None:
        if line.calls or line not in self._old_lines:
            return
        self._old_lines.remove(line)
        closing = asyncio.ensure_future(line.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _watch(self, line: _Line) -> None:
        # Not a look at the state before each call: grpc itself sends a call again on a new connection when
        # the old one broke before the peer saw it.
        while True:
            state = line.channel.get_state()
            if line is self._coming and self._line is not None:
                self._replace(self._line, line, state)
            await line.channel.wait_for_state_change(state)
            if state is grpc.ChannelConnectivity.READY:
                self.generation += 1

    def _replace(self, in_use: _Line, coming: _Line, state: grpc.ChannelConnectivity) -> None:
        """Take the one that came in place of the one in use, which stays if nobody could be reached."""
        if state is grpc.ChannelConnectivity.READY:
            self._retire(in_use)
            self._line, self._coming = coming, None
        elif state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            in_use.until_s = self.monotonic() + self._age_s
            self._coming = None
            self._retire(coming)

    async def aclose(self) -> None:
        """Let what is in use end, then close the channel; streams end with it."""
        self.closing = True
        await self.in_use.idle()
        lines = {*self._old_lines, *self._lines()}
        self._old_lines.clear()
        await asyncio.gather(*(line.aclose() for line in lines), *self._closing)


def _names(authority: str) -> Metadata:
    """Channel options for a peer whose certificate has another name than its address."""
    if not authority:
        return ()
    return (("grpc.default_authority", authority), ("grpc.ssl_target_name_override", authority))
