"""uvicorn's server, which stops in the order that loses no request: notice, drain, end."""

import asyncio
import contextlib
import ctypes
import logging
import math
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
# Who has begun to connect when the notice ends still has this long to do so.
_LET_IN_S = 0.1
# Who connected in the notice still has this long to send a request that is served.
_LAST_CALL_S = 1.0
_LAST_CALL_LOOK_S = 0.01
# asm-generic/socket.h of Linux, and a program of its packet filter (linux/filter.h).
_SO_ATTACH_FILTER = 26
_DROP_SYN = (
    (0x30, 0, 0, 13),  # BPF_LD | BPF_B | BPF_ABS: the flags of a TCP header (RFC 9293, section 3.1)
    (0x45, 0, 1, 0x02),  # BPF_JMP | BPF_JSET | BPF_K: unless SYN is among them, leave out the next step
    (0x06, 0, 0, 0),  # BPF_RET | BPF_K: drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # take it as a whole
)


class DrainingServer(uvicorn.Server):
    """A server that a signal stops gently.

    SIGTERM: /readyz says 503 and everything is served for ``drain_notice_s``, so that whoever sends requests
    here learns of it. Then the listener closes, and who had connected by then is still served once: a proxy
    that asks /readyz of nobody sends requests up to that moment, and no POST again. A stop that comes during
    the start waits for its end: the listener may have let clients in. SIGINT, a person at the keyboard, has
    none of this. Then the chain takes no more, and what is under way has until ``drain_s`` after the signal.
    The exit code is 0.
    RETIRE is for a worker beside others: like SIGTERM, but the listener, which they share, is left at once,
    and /readyz, on connections that are still there, says what the others would. Its notice ends with the
    last of them.
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
        self._drained_by_s = math.inf
        self._listeners: list[socket.socket] = []
        self._terminal = Terminal()
        self._loop: asyncio.AbstractEventLoop
        self._start_over = asyncio.Event()
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
        now_s = self._loop.time()
        self._drained_by_s = now_s + self._settings.drain_s
        noticed_by_s = min(now_s + self._settings.drain_notice_s, self._drained_by_s)
        self._stopping = self._loop.create_task(self._stop(number, noticed_by_s))

    async def _stop(self, number: int, noticed_by_s: float) -> None:
        try:
            if number != signal.SIGINT:
                await self._start_over.wait()
                await self._give_notice(noticed_by_s, for_all=number != RETIRE)
        finally:
            self.should_exit = True

    async def _give_notice(self, until_s: float, *, for_all: bool) -> None:
        self.lifecycle.notice(for_all=for_all)
        for connection in self._connections():
            connection.leave()
        if self._inherited or not for_all:
            await self._stop_listening()
            await self._all_left(until_s)
        else:
            await asyncio.sleep(until_s - self._loop.time())
        # A start that took longer than the notice left no time for either.
        if self._settings.drain_notice_s and not self._time_is_up():
            await self._last_call()

    async def _last_call(self) -> None:
        """Close the listener, if it is still there, and serve what is on its way here."""
        await self._stop_listening(_LET_IN_S)
        # Looks rather than time: a machine that stood still has heard nobody meanwhile. The first look comes
        # after a pause, in which the loop reads what has come.
        for _ in range(round(_LAST_CALL_S / _LAST_CALL_LOOK_S)):
            await asyncio.sleep(_LAST_CALL_LOOK_S)
            if self._time_is_up() or not any(map(StoppableHttp.expects_request, self._connections())):
                return

    def _time_is_up(self) -> bool:
        return self._loop.time() >= self._drained_by_s

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
        self._start_over.set()

    def _tls(self, handshake_s: float) -> dict[str, Any]:
        """What the loop is to be told of TLS; nothing without it. handshake_s: then it hangs up."""
        return (
            {} if self.config.ssl is None else {"ssl": self.config.ssl, "ssl_handshake_timeout": handshake_s}
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 (uvicorn's)
        """Drain: take nothing new, let what is under way end, answer the rest when the time is over."""
        self._drained_by_s = min(self._drained_by_s, self._loop.time() + self._settings.drain_s)
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

    async def _stop_listening(self, let_in_s: float = 0.0) -> None:
        """Close the listeners, but take who had connected by then: closing would reset those connections.

        Not so an inherited one: they wait in it, for the next process. let_in_s: for those who have begun to.
        """
        if self._ends_listener() and not self._inherited:
            for listener in self._listeners:
                let_nobody_in(listener)
            await asyncio.sleep(let_in_s)
        last = [] if self._inherited else self._last_connections()
        for server in self.servers:
            server.close()
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        await asyncio.gather(*map(self._take, last))
        # The loop tells of whom it has accepted a turn later.
        await asyncio.sleep(0)

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

    Else who connects between the last ``accept`` and ``close`` is reset, and cannot tell what was read. Who
    was answered already may still come in. Not for a listener that another process goes on with: it would
    stay deaf.
    """
    if sys.platform == "linux":
        steps = b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN)
        program = ctypes.create_string_buffer(steps, len(steps))
        with contextlib.suppress(OSError):  # a kernel without filters: as elsewhere
            listener.setsockopt(
                socket.SOL_SOCKET,
                _SO_ATTACH_FILTER,
                struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program)),
            )
