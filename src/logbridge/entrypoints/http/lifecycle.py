"""The phases of the bridge's life: for readiness, for connections, and for answers that have no end."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from enum import IntEnum
from typing import Any, TypeVar

from starlette.types import Receive
from uvicorn.server import ServerState

from logbridge.entrypoints.http.problems import RequestRejected

T = TypeVar("T")


class Phase(IntEnum):
    """Each comes after the one before; any of them may be left out."""

    STARTING = 0
    SERVING = 1
    RETIRING = 2  # other workers go on: connections are to leave, the bridge is as ready as before
    NOTICED = 3  # told to stop: /readyz says so, everything is still served
    DRAINING = 4  # nothing new is taken, what is under way ends


async def _nothing(_within_s: float) -> None:
    pass


class Lifecycle:
    """Set by the ASGI lifespan, and by the server when it is told to stop.

    close: begins with the drain, and is given the seconds that it may take. stopping: set in the drain.
    """

    def __init__(self, close: Callable[[float], Coroutine[Any, Any, None]] = _nothing) -> None:
        self.phase = Phase.STARTING
        self.stopping = asyncio.Event()
        self._close = close
        self._closing: asyncio.Task[None] | None = None
        self._drained_by_s = 0.0

    @property
    def left_s(self) -> float:
        """Seconds that are left of the drain."""
        return max(0.0, self._drained_by_s - asyncio.get_running_loop().time())

    @property
    def ready(self) -> bool:
        """Whether new work is welcome."""
        return self.phase in (Phase.SERVING, Phase.RETIRING)

    @property
    def leaving(self) -> bool:
        """Whether each answer is to be the last one of its connection."""
        return self.phase >= Phase.RETIRING

    @property
    def draining(self) -> bool:
        """Whether new requests are refused."""
        return self.phase is Phase.DRAINING

    def serve(self) -> None:
        """The application has started."""
        self.phase = Phase.SERVING

    def notice(self, *, for_all: bool = True) -> None:
        """A stop is coming; not for_all: of this worker only."""
        self.phase = Phase.NOTICED if for_all else Phase.RETIRING

    def drain(self, within_s: float) -> "asyncio.Task[None]":
        """Begin the drain, once; the task ends when everything below is closed."""
        if self._closing is None:
            self.phase = Phase.DRAINING
            self.stopping.set()
            self._drained_by_s = asyncio.get_running_loop().time() + within_s
            self._closing = asyncio.create_task(self._close(within_s))
        return self._closing


class Connections(ServerState):
    """uvicorn's, which also says when the last connection has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.none_left = asyncio.Event()


async def client_left(receive: Receive) -> None:
    """Returns when the client has hung up. The rest of the request's body is thrown away."""
    while (await receive())["type"] != "http.disconnect":
        pass


class ClientLeft(Exception):
    """The client hung up: nobody waits for an answer."""


class Interrupts:
    """What ends a long answer early: the client leaves, or the server stops. Close it with ``aclose``."""

    def __init__(self, lifecycle: Lifecycle, receive: Receive) -> None:
        self.left = asyncio.ensure_future(client_left(receive))
        self.stopped = asyncio.ensure_future(lifecycle.stopping.wait())

    async def finish(self, work: Awaitable[T], timeout_s: float | None = None) -> T:
        """What the work gives, or raises. An interrupt or the timeout cancels it.

        Raises ClientLeft, RequestRejected (503: the server stops) or TimeoutError then.
        """
        # As a task of its own: what waits for a client that does not read must not hold up a stop.
        working = asyncio.ensure_future(work)
        waiting: set[asyncio.Future[Any]] = {working, self.left, self.stopped}
        try:
            await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
        finally:
            await cancel(working)
        if self.left.done():
            raise ClientLeft
        if self.stopped.done():
            raise RequestRejected(503, "the bridge is stopping")
        raise TimeoutError

    async def aclose(self) -> None:
        await cancel(self.left, self.stopped)


async def cancel(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel tasks and wait until they are over, whatever they end with."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
