"""uvicorn's server, which stops in the order that loses no request: notice, drain, end."""

import asyncio
import contextlib
import ctypes
import logging
import multiprocessing
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from logbridge.entrypoints.http.connection import StoppableHttp
from logbridge.entrypoints.http.lifecycle import Connections, Lifecycle
from logbridge.entrypoints.process import Terminal, collect_garbage_rarely
from logbridge.entrypoints.service_manager import READY, STOPPING, tell_manager
from logbridge.entrypoints.settings import Settings

logger = logging.getLogger(__name__)

STOPS = (signal.SIGINT, signal.SIGTERM)
RETIRE = signal.SIGUSR2
# What was cut off still has this long to be answered and sent.
_CUT_S = 1.0
# Who connected in the notice still has this long to send a request that is served.
_LAST_CALL_S = 1.0
# asm-generic/socket.h of Linux; a program of its packet filter that drops all (BPF_RET | BPF_K, 0 bytes).
_SO_ATTACH_FILTER = 26
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)


class DrainingServer(uvicorn.Server):
    """A server that a signal stops gently.

    SIGTERM: /readyz says 503 and everything is served for ``drain_notice_s``, so that whoever sends requests
    here learns of it. Then the listener closes, and who had connected by then is still served once: a proxy
    that asks /readyz of nobody sends requests up to that moment, and no POST again. SIGINT, a person at the
    keyboard, leaves both out. Then the chain takes no more, and what is under way has until ``drain_s`` after
    the signal. The exit code is 0.
    RETIRE is for a worker beside others: like SIGTERM, but the listener, which they share, is left at once,
    and /readyz, on connections that are still there, says what the others would.
    again: what a further signal does, given its number. stops: the signals that stop it. Without SIGHUP among
    them that one is not for it (there is nothing to read again), unless its terminal was closed: then like
    SIGTERM. inherited: the listener outlives this process, in its service manager. It, too, is left at once:
    who connects from then on waits there for the next process. The notice ends with the last connection.
    ends_listener: whether nobody goes on with the listener after this process, as other workers may.
    """

    server_state: Connections

    def __init__(
        self,
        config: uvicorn.Config,
        settings: Settings,
        again: Callable[[int], object],
        stops: Sequence[signal.Signals] = STOPS,
        *,
        inherited: bool = False,
        ends_listener: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(config)
        self.server_state = Connections()
        self._settings = settings
        self._again = again
        self._stops = stops
        self._inherited = inherited
        self._ends_listener = ends_listener
        self._early: list[int] = []
        self._told = False
        self._drained_by_s: float | None = None
        self._listeners: list[socket.socket] = []
        self._terminal = Terminal()
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Task[None]

    @property
    def lifecycle(self) -> Lifecycle:
        """That of the application, which is loaded when the server starts."""
        return cast(Lifecycle, self.config.loaded_app.state.lifecycle)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn. A signal waits until the loop runs: to raise before that would leave it half begun."""
        self._handle(lambda number, _: self._early.append(number))
        super().run(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals for good; unlike uvicorn, never raise them again at the end."""
        self._loop = asyncio.get_running_loop()
        self._handle(self.handle_exit)
        if _in_main_thread() and signal.SIGHUP not in self._stops:
            signal.signal(signal.SIGHUP, lambda *_: self._loop.call_soon_threadsafe(self._hang_up))
        for number in self._early:
            self.handle_exit(number, None)
        yield

    def _handle(self, handler: Callable[[int, FrameType | None], object]) -> None:
        if _in_main_thread():  # only there can they be heard
            for number in (*self._stops, RETIRE):
                signal.signal(number, handler)

    def _hang_up(self) -> None:
        if not self._terminal.hung_up:
            logger.info("SIGHUP: nothing to do, keys and certificates are read again by themselves")
        elif not self._told:
            self.handle_exit(signal.SIGTERM, None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (a handler gets it)
        """Stop, or do what a further signal does."""
        if self._told:
            # A terminal that ends may say so twice: the shell does, and the kernel.
            if sig != signal.SIGHUP:
                self._again(sig)
            return
        self._told = True
        self._loop.call_soon_threadsafe(self._begin, sig)

    def _begin(self, number: int) -> None:
        # Of several processes the first one tells: a worker that ends is not the end of the bridge.
        if multiprocessing.parent_process() is None:
            tell_manager(STOPPING)
        self._drained_by_s = self._loop.time() + self._settings.drain_s
        self._stopping = self._loop.create_task(self._give_notice(number))

    async def _give_notice(self, number: int) -> None:
        try:
            if number != signal.SIGINT and self.started:
                self.lifecycle.notice(for_all=number != RETIRE)
                for connection in self._connections():
                    connection.leave()
                if number == RETIRE or self._inherited:
                    await self._stop_listening()
                notice_s = min(self._settings.drain_notice_s, self._settings.drain_s)
                if self._inherited:
                    await self._all_left(self._loop.time() + notice_s)
                else:
                    await asyncio.sleep(notice_s)
                    if notice_s:
                        await self._last_call(self._loop.time() + _LAST_CALL_S)
        finally:
            self.should_exit = True

    async def _last_call(self, until_s: float) -> None:
        """Close the listener, and serve what is on its way here."""
        if self._ends_listener():
            for listener in self._listeners:
                let_nobody_in(listener)
        await self._stop_listening()
        while self._loop.time() < min(until_s, self._drained_by_s or until_s):
            if not any(connection.expects_request() for connection in self._connections()):
                return
            await asyncio.sleep(0.01)

    def _connections(self) -> list[StoppableHttp]:
        return cast(list[StoppableHttp], list(self.server_state.connections))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._listeners = sockets or []
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        # Not uvicorn's: it has no way to say for how long a handshake may take.
        tls = self._tls(self._settings.head_timeout_s)
        self.servers = [
            await self._loop.create_server(
                self._new_connection, sock=listener, backlog=self.config.backlog, **tls
            )
            for listener in self._listeners
        ]
        self.started = True
        collect_garbage_rarely()
        tell_manager(READY)

    def _tls(self, handshake_s: float) -> dict[str, Any]:
        """What the loop is to be told of TLS; nothing without it. handshake_s: then it hangs up."""
        return (
            {} if self.config.ssl is None else {"ssl": self.config.ssl, "ssl_handshake_timeout": handshake_s}
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 (uvicorn's)
        """Drain: take nothing new, let what is under way end, answer the rest when the time is over."""
        if self._drained_by_s is None:
            self._drained_by_s = self._loop.time() + self._settings.drain_s
        # The chain first: a write that waits to be tried again must not keep its request waiting.
        closing = self.lifecycle.drain(max(0.0, self._drained_by_s - self._loop.time()))
        await self._stop_listening()
        for connection in self._connections():
            connection.shutdown()
        await self._answered(self._drained_by_s)
        await asyncio.wait({closing}, timeout=max(_CUT_S, self._drained_by_s - self._loop.time()))
        await self._cut()
        await self._all_left(max(self._drained_by_s, self._loop.time() + _CUT_S))
        await self.lifespan.shutdown()

    async def _stop_listening(self) -> None:
        """Close the listeners, but take who had connected by then: closing would reset those connections.

        Not so an inherited one: they wait in it, for the next process.
        """
        last = [] if self._inherited else self._last_connections()
        for server in self.servers:
            server.close()
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        await asyncio.gather(*map(self._take, last))

    def _last_connections(self) -> list[socket.socket]:
        last: list[socket.socket] = []
        for listener in self._listeners:
            listener.setblocking(False)
            with contextlib.suppress(OSError):  # nobody is left
                while True:
                    last.append(listener.accept()[0])
        return last

    async def _take(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it has left meanwhile, or does not get on with its handshake
            await self._loop.connect_accepted_socket(self._new_connection, connection, **self._tls(_CUT_S))

    def _new_connection(self) -> asyncio.Protocol:
        http: Any = self.config.http_protocol_class
        connection: asyncio.Protocol = http(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return connection

    async def _answered(self, until_s: float) -> None:
        """Wait until no request is under way."""
        while self.server_state.tasks and (left_s := until_s - self._loop.time()) > 0:
            await asyncio.wait(self.server_state.tasks, timeout=left_s)

    async def _cut(self) -> None:
        """Answer what is still under way, once the closed chain had its chance to do so."""
        await self._answered(self._loop.time() + _CUT_S)
        for task in self.server_state.tasks:
            task.cancel()
        await self._answered(self._loop.time() + _CUT_S)

    async def _all_left(self, until_s: float) -> None:
        """Wait until every answer is on its way and every connection has ended."""
        if self.server_state.connections:
            self.server_state.none_left.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until_s):
                    await self.server_state.none_left.wait()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def let_nobody_in(listener: socket.socket) -> None:
    """Have a listener ignore who knocks: they knock again after a second, and find it closed.

    Else who connects between the last ``accept`` and ``close`` is reset, and cannot tell what was read.
    Not for a listener that another process goes on with: it would stay deaf.
    """
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(_DROP_ALL, len(_DROP_ALL))
        with contextlib.suppress(OSError):  # a kernel without filters: as elsewhere
            listener.setsockopt(
                socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program))
            )
