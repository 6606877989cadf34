"""One event loop in one daemon thread, in which all connections of the Python surface live.

grpc.aio is noisy in several loops of a process; callers come from any loop and any thread.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from logbridge.domain.errors import LogbridgeError
from logbridge.entrypoints.container import Container, close

T = TypeVar("T")


class LoopGone(LogbridgeError):
    """No write can go out from here any more; the message says why."""


class PrivateLoop:
    """One event loop in one daemon thread, for all connections of the process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.open_containers: set[Container] = set()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()  # the end of the program waits for these
        self._until_exit: set[asyncio.Task[Any]] = set()  # and not for these
        self._thread = threading.Thread(target=self._loop.run_forever, name="logbridge", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> "asyncio.Future[T]":
        """Begin work here and await it in the caller's loop; cancelling the wait lets the work go on."""
        return asyncio.wrap_future(self._begin(work, self._tasks))

    def wait_for(self, work: Coroutine[Any, Any, T], *, until_exit: bool = False) -> T:
        """Do work here while the calling thread waits; interrupting the wait lets the work go on.

        until_exit: the end of the program cuts it off: whoever began it has waited as long as it may.
        Raises LoopGone, also where the loop would wait for itself.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise LoopGone("logbridge's own thread cannot wait for itself: a sink may await, and never block")
        return self._begin(work, self._until_exit if until_exit else self._tasks).result()

    def _begin(self, work: Coroutine[Any, Any, T], tasks: set[asyncio.Task[Any]]) -> "Future[T]":
        # Not run_coroutine_threadsafe: it hands a cancellation on to the work.
        answer: Future[T] = Future()

        def begin() -> None:
            task = self._loop.create_task(work)
            tasks.add(task)
            task.add_done_callback(deliver)

        def deliver(task: "asyncio.Task[T]") -> None:
            tasks.discard(task)
            if task.cancelled():
                answer.cancel()
                return
            error = task.exception()
            if not answer.set_running_or_notify_cancel():
                return
            if error is None:
                answer.set_result(task.result())
            else:
                answer.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(begin)
        except RuntimeError:
            work.close()
            raise LoopGone(
                "the interpreter is ending, and with it the connection to the log service"
            ) from None
        return answer

    async def close(self, container: Container, within_s: float | None = None) -> None:
        """Close a container that was opened here; a second call does nothing.

        within_s: seconds for what is in flight, which is answered as unknown then; None lets it end by its
        own deadline.
        """
        if container in self.open_containers:
            self.open_containers.discard(container)
            await close(container, within_s)

    def let_go(self, container: Container) -> None:
        """Close the container of a client that was dropped without aclose."""
        if self.pid == os.getpid() and self._thread.is_alive():
            self._begin(self.close(container), self._tasks)

    def stop(self) -> None:
        """Finish what was begun (each write ends by its deadline), close what is open, and end the thread."""
        if self.pid != os.getpid():
            return
        self._begin(self._finish(), self._tasks).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _finish(self) -> None:
        begun = self._tasks - {asyncio.current_task()}
        await asyncio.gather(*begun, return_exceptions=True)
        for container in list(self.open_containers):
            await self.close(container, 0 if self._until_exit else None)
        left = asyncio.all_tasks() - {asyncio.current_task()}  # at a sink that was handed in, and hangs
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class _OwnLoop:
    """The loop of this process. A child that was forked after its start has none: threads are not forked."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._private: PrivateLoop | None = None

    def get(self) -> PrivateLoop:
        """The loop, started with the first call. Raises LoopGone in a child forked after that."""
        with self._starting:
            if self._private is not None and self._private.pid != os.getpid():
                raise LoopGone("this process was forked after the first write: gRPC's threads stayed behind")
            if self._private is None:
                self._private = PrivateLoop()
                atexit.register(self._private.stop)
            return self._private


private_loop = _OwnLoop().get
