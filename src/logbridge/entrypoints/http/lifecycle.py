"""Whether the bridge is starting, serving or stopping: for readiness, and for answers that have no end."""

import asyncio
from typing import Any

from starlette.types import Receive


class Lifecycle:
    """Set by the ASGI lifespan, and by the server when it is told to stop."""

    def __init__(self) -> None:
        self.started = False
        self.stopping = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether new work is welcome."""
        return self.started and not self.stopping.is_set()


async def client_left(receive: Receive) -> None:
    """Returns when the client has hung up. The rest of the request's body is thrown away."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Interrupts:
    """What ends a long answer early: the client leaves, or the server stops. Close it with ``aclose``."""

    def __init__(self, lifecycle: Lifecycle, receive: Receive) -> None:
        self.left = asyncio.ensure_future(client_left(receive))
        self.stopped = asyncio.ensure_future(lifecycle.stopping.wait())

    @property
    def interrupted(self) -> bool:
        return self.left.done() or self.stopped.done()

    async def wait_for(self, work: "asyncio.Future[Any]", timeout_s: float | None = None) -> bool:
        """Wait until the work is done, an interrupt or the timeout comes. True if the work is done."""
        waiting = {work, self.left, self.stopped}
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return work.done()

    async def aclose(self) -> None:
        await cancel(self.left, self.stopped)


async def cancel(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel tasks and wait until they are over, whatever they end with."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
