"""One HTTP connection: uvicorn's, which also keeps limits and knows how to leave when the bridge stops."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any, cast

import httptools
from starlette.types import ASGIApp
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from logbridge.entrypoints.http import refused
from logbridge.entrypoints.http.exchange import EXTENSIONS, Exchange, Signal, bytes_of, head_bytes, lasts
from logbridge.entrypoints.http.flow import Flow
from logbridge.entrypoints.http.lifecycle import Connections, Lifecycle
from logbridge.entrypoints.http.meter import RequestMeter
from logbridge.entrypoints.http.parting import PARTING_S, Farewell, Voice
from logbridge.entrypoints.http.problems import RequestRejected, problem
from logbridge.entrypoints.http.proxies import Proxies
from logbridge.entrypoints.http.recorded import TOLD, RequestTracing
from logbridge.entrypoints.http.root_path import own_path
from logbridge.entrypoints.settings import Settings

_FRAMING = (b"content-length", b"transfer-encoding")
# Where in a request the client is. BETWEEN: it has sent all of one, and nothing of the next.
_BETWEEN, _HEAD, _BODY = 0, 1, 2


class StoppableHttp(HttpToolsProtocol):
    """uvicorn's HTTP, the limits of a connection, and the phases of a stop (see Lifecycle).

    What is too large or too slow is refused with an answer, and the connection ends in stages (see part). One
    timer for each connection watches over all of its times; it looks, and comes again for what is left.

    From the notice on every answer carries ``Connection: close`` and is the last of its connection. In the
    drain requests are answered 503, idle connections end, and ``Task.cancel`` on a request that is under way
    answers it with 503.
    """

    # With these as well a connection's dictionary would be too large to share its keys with others.
    __slots__ = (
        "_deaf",
        "_empty_bytes",
        "_fed_bytes",
        "_heard",
        "_hosts",
        "_idle_until_s",
        "_lifecycle",
        "_marked",
        "_meter",
        "_parting",
        "_paused_before_s",
        "_proxies",
        "_running",
        "_settings",
        "_since_s",
        "_stage",
        "_told",
        "_tracing",
        "_voice",
        "_wakes_s",
    )

    server_state: Connections
    flow: Flow

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        state = self.config.loaded_app.state
        self._lifecycle: Lifecycle = state.lifecycle
        self._settings: Settings = state.settings
        # None unless the peer is one of them.
        self._proxies: Proxies | None = state.proxies
        # As every answer of the application is.
        self._marked: Callable[[ASGIApp], ASGIApp] = state.marked
        self._meter: RequestMeter = state.meter
        self._tracing: RequestTracing = state.tracing
        # uvicorn's own ``cycle`` is the newest one, which may wait behind this one.
        self._running: RequestResponseCycle | None = None
        self._wakes_s = 0.0
        self._parting = False
        # What comes is thrown away: this connection ends, now or with the answer under way.
        self._deaf = False
        self._heard = False
        self._stage = _BETWEEN
        # Of a head or a body that has not come as a whole: when its clock began, and its bytes since then.
        self._since_s = 0.0
        self._paused_before_s = 0.0
        self._fed_bytes = 0
        # Bytes of a body that are not its content (chunk extensions, trailers), since the last that were.
        self._empty_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        super().connection_made(transport)
        self._meter.measures.connections += 1
        self.flow = Flow(transport, self.loop.time)
        self._voice = Voice(self)
        if self._proxies is not None and not (self.client and self._proxies.trusts(self.client[0])):
            self._proxies = None
        # A new connection has as long for its first byte as a head for its last.
        self._idle_until_s = self.loop.time() + self._settings.head_timeout_s
        self._wake_by(self._idle_until_s)
        if self._lifecycle.draining:
            self.shutdown()
        elif len(self.connections) > self._settings.connections_max:
            self._refuse(refused.too_many_connections(self._settings))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        self._meter.measures.connections -= 1
        self._voice.connection = None
        if not self.connections:
            self.server_state.none_left.set()

    def data_received(self, data: bytes) -> None:
        """uvicorn's own, less the timers for each piece of data, and with the limits."""
        if self._deaf:
            self._heard = True
            return
        self._fed_bytes = len(data) + (self._fed_bytes if self._stage else 0)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(refused.NOT_HTTP)
        else:
            if self._stage:
                self._expect_more(len(data))

    def _parse(self, data: bytes) -> None:
        """Feed the parser. A wish for another protocol is passed over (RFC 9110, section 7.8).

        The parser takes what follows such a head for that protocol, the body as well: another one goes on
        with it, which learns from a head of our own how long the body is.
        """
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                self.parser = httptools.HttpRequestParser(self)
                framing = [b"%b: %b\r\n" % header for header in self.headers if header[0] in _FRAMING]
                self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
                data = data[upgrade.args[0] :]

    def expects_request(self) -> bool:
        """Whether one is on its way: nothing was asked yet, or a part of a request has come."""
        return self._running is None or self._stage != _BETWEEN

    def leave(self) -> None:
        """The answer under way is the last one of this connection."""
        if self._running is not None:
            self._running.keep_alive = False

    def shutdown(self) -> None:
        """The drain begins: end after the answer under way, or soon if there is none."""
        self.leave()
        self.loop.call_later(PARTING_S, self._part_if_idle)

    def part(self) -> None:
        """End in stages, see Farewell."""
        if self._parting or self.transport.is_closing():
            return
        self._parting = self._deaf = True
        self.flow.resume_reading()
        Farewell(self, self._lifecycle).begin()

    def is_over(self) -> bool:
        """Whether the connection has ended."""
        return self not in self.connections

    def has_heard(self) -> bool:
        """Whether something came since it was asked last; it is thrown away by then."""
        heard, self._heard = self._heard, False
        return heard

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._parting or self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_until_s = self.loop.time() + self._settings.idle_timeout_s
        if self.timeout_keep_alive_task is None:
            self._wake_by(self._idle_until_s)

    def _unset_keepalive_if_required(self) -> None:
        """uvicorn sets and unsets a timer for idle connections with each request; ours looks when it ends."""

    def _wake_by(self, when_s: float) -> None:
        """Have the timer look then or before; never later than an idle connection might end."""
        when_s = min(when_s, self.loop.time() + self._settings.idle_timeout_s)
        if self.timeout_keep_alive_task is not None:
            if self._wakes_s <= when_s:
                return
            self.timeout_keep_alive_task.cancel()
        self._wakes_s = when_s
        self.timeout_keep_alive_task = self.loop.call_at(when_s, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """End the connection if its client has taken longer than it may; else come again."""
        self.timeout_keep_alive_task = None
        if self._deaf or self.transport.is_closing():
            return
        until_s = self._until_s()
        if until_s is None:
            return  # its end sets the timer
        if until_s > self.loop.time():
            self._wake_by(until_s)
        else:
            self._cut_off()

    def _until_s(self) -> float | None:
        """Until when the client has time for what it is doing; None while it waits for an answer."""
        if self._stage == _BETWEEN:
            return self._idle_until_s if self._answered else None
        if self._stage == _BODY and self.cycle.waiting_for_100_continue:
            self._begin_clock()
        until_s = self._since_s + self.flow.paused_s() - self._paused_before_s
        if self._stage == _HEAD:
            return until_s + self._settings.head_timeout_s
        if lasts(self.cycle):
            return until_s + self._settings.stream_idle_timeout_s
        return until_s + self._settings.body_timeout_s + self._fed_bytes / self._settings.body_bytes_per_s_min

    @property
    def _answered(self) -> bool:
        return self._running is None or self._running.response_complete

    def _cut_off(self) -> None:
        if self._stage == _BETWEEN or (self._stage == _BODY and self.cycle.response_complete):
            self.part()
        elif self._stage == _HEAD:
            self._refuse(refused.head_too_slow(self._settings))
        else:
            slow = refused.stream_idle if lasts(self.cycle) else refused.body_too_slow
            self._refuse(slow(self._settings))

    def _begin_clock(self) -> None:
        self._since_s = self.loop.time()
        self._paused_before_s = self.flow.paused_s()

    def _expect_more(self, size_bytes: int) -> None:
        """A request has not come as a whole: start its clock, and see that it does not grow too large."""
        if not self._since_s:
            self._begin_clock()
            timeout_s = self._settings.body_timeout_s
            if self._stage == _HEAD:
                self._fed_bytes = self._fed_bytes or head_bytes(self.url, self.headers)
                timeout_s = self._settings.head_timeout_s
            self._wake_by(self._since_s + timeout_s)
        if self._stage == _HEAD:
            if self._fed_bytes > self._settings.head_bytes_max:
                self._refuse(refused.head_too_large(self._settings))
            return
        if lasts(self.cycle):
            self._begin_clock()
        self._empty_bytes += size_bytes
        if self._empty_bytes > max(size_bytes, self._settings.head_bytes_max):
            self._refuse(refused.head_too_large(self._settings))
        elif self.cycle.response_complete and self._fed_bytes > self._settings.body_bytes_max:
            self.part()  # it was answered, and nobody reads the rest

    def _refuse(self, why: refused.Refused) -> None:
        """The connection ends with this answer; with the one under way, if that is another request's."""
        self._deaf = True
        if self._answered:
            self._meter.measures.refusal(why.counted)
            answer = problem(why.status, why.reason)
            self.transport.write(bytes_of(answer, self.server_state.default_headers))
            self.part()
        elif self._stage == _BODY and self._running is self.cycle:
            cast(Exchange, self.cycle).reject(RequestRejected(why.status, why.reason))
        else:
            self.pipeline.clear()
            self.leave()

    def on_message_begin(self) -> None:
        """uvicorn's own, and the beginning of a head."""
        if self._stage == _BODY:
            return  # the head of our own, see _parse
        self._stage = _HEAD
        self._since_s = 0.0
        self._hosts = 0
        self._told: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item]  # as uvicorn
            "root_path": "",
            "headers": self.headers,
            "state": self.app_state.copy(),
        }

    def on_header(self, name: bytes, value: bytes) -> None:
        """uvicorn's own; a trailer is none, or it would change a request that is under way."""
        if self._stage != _HEAD:
            return
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        elif name in TOLD:
            self._told.append((name, value))
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """uvicorn's own, less what the bridge never uses: WebSockets. For the root path see own_path."""
        if self._stage == _BODY:
            return  # the head of our own, see _parse
        version = self.parser.get_http_version()
        url = httptools.parse_url(self.url)
        scope: dict[str, Any] = cast(dict[str, Any], self.scope)
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = own_path(url.path, self._settings.root_path)
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        scope["extensions"] = EXTENSIONS
        if self._proxies is not None:
            self._proxies.believe(scope)
        before = self.cycle
        cycle = self.cycle = Exchange(
            scope=self.scope,
            transport=self._voice,  # type: ignore[arg-type]  # all of it that is used
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=Signal(),  # type: ignore[arg-type]  # as good as one
            expect_100_continue=self.expect_100_continue and version != "1.0",
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        cycle.began_s, cycle.meter = perf_counter(), self._meter
        self._tracing.begin(cycle, self._told)
        app: Any = self.app
        if self._hosts != 1 and (version != "1.0" or self._hosts):
            app = self._marked(cycle.refusing(refused.HOSTS))
        # What was fed is no less than the head, and rarely too much: only then the head itself is counted.
        bytes_max = self._settings.head_bytes_max
        if self._fed_bytes > bytes_max and head_bytes(self.url, self.headers) > bytes_max:
            app = self._marked(cycle.refusing(refused.head_too_large(self._settings)))
        self._stage = _BODY
        self._since_s = 0.0
        self._fed_bytes = self._empty_bytes = 0
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, app)
        else:
            # A pipelined request waits for the answer before it.
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    def on_body(self, body: bytes) -> None:
        """uvicorn's own."""
        self._empty_bytes = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """uvicorn's own."""
        if self.parser.should_upgrade():
            return  # so the parser thinks, see _parse
        self._stage = _BETWEEN
        self._fed_bytes = 0
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if self._lifecycle.leaving:
            cycle.keep_alive = False
            if self._lifecycle.draining:
                app = self._marked(cast(Exchange, cycle).refuse)
        super()._start_asgi_task(cycle, app)

    def _part_if_idle(self) -> None:
        if self._answered:
            self.part()
