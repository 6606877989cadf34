"""One HTTP connection: uvicorn's, which also knows how to leave when the bridge stops."""

import asyncio
import contextlib
import fcntl
import sys
import termios
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from logbridge.entrypoints.http.exchange import EXTENSIONS, Exchange, Signal
from logbridge.entrypoints.http.lifecycle import Lifecycle
from logbridge.entrypoints.http.problems import problem

# How long a connection that is to end waits: first for a request under way, then for the client's goodbye.
PARTING_S = 0.25


class Connections(ServerState):
    """uvicorn's, which also says when the last connection has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.none_left = asyncio.Event()


class StoppableHttp(HttpToolsProtocol):
    """uvicorn's HTTP, and the phases of a stop (see Lifecycle).

    From the notice on every answer carries ``Connection: close`` and is the last of its connection. In the
    drain requests are answered 503, idle connections end, and ``Task.cancel`` on a request that is under way
    answers it with 503.
    """

    # With three more attributes a connection's dictionary would be too large to share its keys with others.
    __slots__ = ("_answered_s", "_lifecycle", "_parting", "_running")

    server_state: Connections

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lifecycle: Lifecycle = self.config.loaded_app.state.lifecycle
        # uvicorn's own ``cycle`` is the newest one, which may wait behind this one.
        self._running: RequestResponseCycle | None = None
        self._parting = False
        self._answered_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        super().connection_made(transport)
        if self._lifecycle.draining:
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        if not self.connections:
            self.server_state.none_left.set()

    def data_received(self, data: bytes) -> None:
        if not self._parting:
            super().data_received(data)

    def leave(self) -> None:
        """The answer under way is the last one of this connection."""
        if self._running is not None:
            self._leave_after(self._running)

    def shutdown(self) -> None:
        """The drain begins: end after the answer under way, or soon if there is none."""
        self.leave()
        self.loop.call_later(PARTING_S, self._part_if_idle)

    def part(self) -> None:
        """End in stages (RFC 9112, section 9.6): nothing more is sent, what still comes is thrown away.

        To close with bytes unread would reset the connection, and with it an answer that is on its way.
        """
        if self._parting or self.transport.is_closing():
            return
        self._parting = True
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.loop.call_later(PARTING_S, self.transport.close)
        else:
            # TLS has no half: a transport that closes says so, throws away what comes, and waits likewise.
            self.transport.close()
            self.loop.call_later(PARTING_S, self._abort_when_sent)

    def _abort_when_sent(self) -> None:
        """Wait no longer for a client that does not say goodbye, once it has all that it was sent."""
        if self not in self.connections:
            return
        if _unsent_bytes(self.transport):
            self.loop.call_later(PARTING_S, self._abort_when_sent)
        else:
            self.transport.abort()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._parting or self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._answered_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._close_if_idle_for(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        """uvicorn sets and unsets a timer for idle connections with each request; ours looks when it ends."""

    def _close_if_idle_for(self, wait_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(wait_s, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for as long as it may; else come again."""
        self.timeout_keep_alive_task = None
        if self._running is not None and not self._running.response_complete:
            return  # its end sets the timer
        left_s = self._answered_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._close_if_idle_for(left_s)
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets a problem too, and the connection ends."""
        answer = problem(400, msg)
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: {answer.media_type}\r\n"
            f"content-length: {len(answer.body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + answer.body)
        self.transport.close()

    def on_headers_complete(self) -> None:
        """uvicorn's own, less what the bridge never uses: WebSockets, a root path, a limit of connections."""
        version = self.parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope: dict[str, Any] = cast(dict[str, Any], self.scope)
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        scope["extensions"] = EXTENSIONS
        before = self.cycle
        self.cycle = Exchange(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=Signal(),  # type: ignore[arg-type]  # as good as one
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            # A pipelined request waits for the answer before it.
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if self._lifecycle.leaving:
            self._leave_after(cycle)
            if self._lifecycle.draining:
                app = cast(Exchange, cycle).refuse
        super()._start_asgi_task(cycle, app)

    def _leave_after(self, cycle: RequestResponseCycle) -> None:
        cycle.keep_alive = False
        cycle.transport = _Parting(self)

    def _part_if_idle(self) -> None:
        if self._running is None or self._running.response_complete:
            self.part()


def _unsent_bytes(transport: asyncio.Transport) -> int:
    """What waits here, or on its way to the client (that only Linux tells)."""
    waiting = transport.get_write_buffer_size()
    connection = transport.get_extra_info("socket")
    if sys.platform == "linux" and connection is not None:
        with contextlib.suppress(OSError):  # it has ended just now
            sent = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
            waiting += int.from_bytes(sent, sys.byteorder)
    return waiting


class _Parting(asyncio.Transport):
    """What an answer is written to when it is the last one: to close it is to part."""

    def __init__(self, connection: StoppableHttp) -> None:
        super().__init__()
        self._connection = connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._connection.transport.write(data)

    def is_closing(self) -> bool:
        return self._connection.transport.is_closing()

    def close(self) -> None:
        self._connection.part()
