"""OTLP over HTTP/1.1: POST of protobuf to a receiver, over connections that are kept."""

import asyncio
import contextlib
import gzip
import ssl
import time
from collections.abc import Callable

import httpx

from logbridge.adapters.certificates import PemFiles, check, load_own, renewed
from logbridge.adapters.grpc.connection import Answer
from logbridge.adapters.grpc.status import Fate, RpcFailure
from logbridge.adapters.grpc.tracing import Metadata, metadata_of
from logbridge.adapters.in_use import InUse
from logbridge.adapters.otlp.http_span import RecordedPost
from logbridge.adapters.otlp.http_status import PROTOBUF, failure_of, said_in, why_not_connected
from logbridge.adapters.otlp.sink import OtlpSink
from logbridge.domain.policy import BatchPolicy
from logbridge.domain.ports import Deadline
from logbridge.domain.trace import TRACES, Tracer

# Requests under way at once, and so connections; what checks goes beside them.
CONNECTIONS_MAX = 64
# Less than the 5 s for which some servers keep an idle one: who sends into its end learns nothing.
KEEPALIVE_S = 3.0
GZIP_BYTES_MIN = 1024
# From here on it is compressed in a thread: the loop would stand still for milliseconds.
GZIP_THREAD_BYTES_MIN = 32 * 1024
_GZIP_LEVEL = 1
ANSWER_BYTES_MAX = 256 * 1024


class OtlpHttpSink(OtlpSink):
    """A LogSink at ``url`` (http or https, with the path). It connects with its first use, in that loop.

    key: what the receiver is shown as a bearer token. headers: of each request. tls: the files for https.
    monotonic: the clock of the deadlines, in seconds. tracer: records each request. Raises PemError.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        headers: Metadata = (),
        tls: PemFiles | None = None,
        batch: BatchPolicy = BatchPolicy(),  # noqa: B008 (frozen)
        tracer: Tracer | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        shown = (*((("authorization", f"Bearer {key}"),) if key else ()), *headers)
        self._connections = HttpConnections(url, monotonic, shown, tls, tracer)
        super().__init__(self._connections, batch)

    async def _export(
        self, request: bytes, deadline: Deadline, *, at_once: bool = False
    ) -> Answer | RpcFailure:
        return await self._connections.post(request, deadline, at_once=at_once)

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:  # noqa: ARG002 (the port has it)
        """See LogSink.honours_ids: nothing in OTLP over HTTP promises it."""
        return False


class _Attempt:
    """Whether anything of a request was sent: before that it is known not to be written."""

    sent = False

    async def trace(self, event: str, _info: object) -> None:
        """What httpcore tells of its progress."""
        if event == "http11.send_request_headers.started":
            self.sent = True


class _Pool:
    """Connections that were made with the same certificates."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=CONNECTIONS_MAX, keepalive_expiry=KEEPALIVE_S
        )
        # Not a client: that would keep cookies of a receiver, and tell the log of each request.
        self.transport = httpx.AsyncHTTPTransport(verify=context or False, limits=limits, trust_env=False)
        self.in_use = InUse()

    async def aclose(self) -> None:
        await self.in_use.idle()
        await self.transport.aclose()


class HttpConnections:
    """Connections to one URL, made in the running loop by the first request; see OtlpHttpSink.

    When one of the files for TLS changes new requests take new connections; those under way end on the old.
    """

    def __init__(
        self,
        url: str,
        monotonic: Callable[[], float],
        shown: Metadata,
        tls: PemFiles | None,
        tracer: Tracer | None,
    ) -> None:
        self._url = httpx.URL(url)
        self.address = url.partition("://")[2]
        self.monotonic = monotonic
        self.closing = False
        self.in_use = InUse()
        self._shown = (
            ("content-type", PROTOBUF),
            # Nobody unpacks an answer here, and so nobody has to fear what it becomes.
            ("accept-encoding", "identity"),
            *shown,
        )
        self._context = None if tls is None else renewed(tls, _context, monotonic)
        self._tracer = tracer
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)
        self._pool: _Pool | None = None
        self._closing_pools: set[asyncio.Task[None]] = set()

    async def post(self, request: bytes, deadline: Deadline, *, at_once: bool) -> Answer | RpcFailure:
        """Send it when there is room, or at once; what a peer does is never an exception."""
        attempt = _Attempt()
        remaining_s = deadline.remaining_s(self.monotonic())
        if not remaining_s:
            return self._expired()
        try:
            async with asyncio.timeout(remaining_s):
                async with contextlib.nullcontext() if at_once else self._room:
                    return await self._post(request, attempt)
        except TimeoutError:
            if attempt.sent:
                return RpcFailure(
                    Fate.TIMED_OUT, f"{self.address}: did not answer in time", may_go_again=True
                )
            return self._expired()
        except httpx.TransportError as error:
            if attempt.sent:
                reason = f"{self.address}: gave no clear answer ({str(error) or type(error).__name__})"
                return RpcFailure(Fate.LOST, reason, may_go_again=True)
            reason = f"{self.address}: {why_not_connected(error)}"
            return RpcFailure(Fate.NOT_SENT, reason, may_go_again=True)

    def _expired(self) -> RpcFailure:
        return RpcFailure(Fate.EXPIRED, f"{self.address}: the deadline had passed before it was sent")

    async def _post(self, body: bytes, attempt: _Attempt) -> Answer | RpcFailure:
        traces = TRACES.get()
        span = None if self._tracer is None else RecordedPost(self._tracer, self._url, traces)
        headers = [*(metadata_of(self._shown, traces if span is None else (span.trace,)) or ())]
        if len(body) >= GZIP_BYTES_MIN:
            body = await _compressed(body)
            headers.append(("content-encoding", "gzip"))
        request = httpx.Request(
            "POST", self._url, headers=headers, content=body, extensions={"trace": attempt.trace}
        )
        pool = self._opened()
        try:
            with pool.in_use():
                response = await pool.transport.handle_async_request(request)
                if span is not None:
                    span.code = response.status_code
                try:
                    return await self._answer_of(response)
                finally:
                    await response.aclose()
        finally:
            if span is not None:
                span.end()

    async def _answer_of(self, response: httpx.Response) -> Answer | RpcFailure:
        status, kind = response.status_code, _content_type(response)
        body = await _read(response)
        readable = body is not None and response.headers.get("content-encoding", "identity") == "identity"
        if status // 100 != 2:
            said = said_in(kind, body or b"") if readable else ""
            return failure_of(self.address, status, said, response.headers.get("retry-after", ""), time.time)
        # Some receivers answer a success with no body, whatever its type.
        if body is None or not readable or (body and kind != PROTOBUF):
            answer = f"HTTP {status}, {kind or 'no type'}"
            return RpcFailure(Fate.LOST, f"{self.address}: no OTLP receiver answers so ({answer})")
        return Answer(body, ours=False)

    def _opened(self) -> _Pool:
        if self._context is not None and self._context.renew() and self._pool is not None:
            closing = asyncio.ensure_future(self._pool.aclose())
            self._closing_pools.add(closing)
            closing.add_done_callback(self._closing_pools.discard)
            self._pool = None
        if self._pool is None:
            self._pool = _Pool(None if self._context is None else self._context.current)
        return self._pool

    async def aclose(self) -> None:
        """Let what is in use end, then close the connections."""
        self.closing = True
        await self.in_use.idle()
        await asyncio.gather(*self._closing_pools)
        if self._pool is not None:
            await self._pool.aclose()


def _context(files: PemFiles) -> ssl.SSLContext:
    check(files, "client")
    context = (
        ssl.create_default_context(cafile=files.ca) if files.ca else httpx.create_ssl_context(trust_env=False)
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.chain:
        load_own(context, files)
    return context


async def _compressed(body: bytes) -> bytes:
    if len(body) < GZIP_THREAD_BYTES_MIN:
        return gzip.compress(body, _GZIP_LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL, mtime=0)


def _content_type(response: httpx.Response) -> str:
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()[:100]


async def _read(response: httpx.Response) -> bytes | None:
    """The body, None if it is larger than an answer may be."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > ANSWER_BYTES_MAX:
            return None
    return bytes(body)
