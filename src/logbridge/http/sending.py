"""Taking the steps of a call with blocking I/O."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx

from logbridge.http.answers import ANSWER_BYTES_MAX, Answer, checked, failure
from logbridge.http.calls import Pause, Reply, Steps, Work

T = TypeVar("T")


class Sender:
    """Takes steps over connections of its own, from any thread. options: of an httpx.Client."""

    def __init__(self, options: dict[str, Any], sleep: Callable[[float], Any] | None = None) -> None:
        self._options = options
        self._sleep = sleep or time.sleep
        # A child has the connections of its parent, too: it must neither use them nor end them.
        self._pools: dict[int, httpx.Client] = {}
        self._closed = False

    def run(self, work: Work[T]) -> T:
        """Take all steps; the answer of the call, or what it raises. RuntimeError once this is closed."""
        with contextlib.closing(Steps(work)) as steps:
            while (step := steps.step) is not None:
                steps.take(self._reply(step))
            return steps.value

    def pause(self, seconds: float) -> None:
        """Wait."""
        self._sleep(seconds)

    @contextlib.contextmanager
    def opened(self, request: httpx.Request) -> Iterator[httpx.Response]:
        """An answer that goes on and on. Raises BridgeError, also for what happens to it within the block."""
        try:
            with contextlib.closing(self._pool().send(request, stream=True)) as response:
                if response.status_code != 200:
                    checked(_read(response))
                yield response
        except httpx.RequestError as error:
            raise failure(error, str(request.url.copy_with(query=None))) from error

    def close(self) -> None:
        """End the connections of this process, and make no more."""
        self._closed = True
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.close()

    def _reply(self, step: httpx.Request | Pause) -> Reply:
        if isinstance(step, Pause):
            self.pause(step.seconds)
            return None
        try:
            with contextlib.closing(self._pool().send(step, stream=True)) as response:
                return _read(response)
        except httpx.RequestError as error:
            return error

    def _pool(self) -> httpx.Client:
        if self._closed:
            raise RuntimeError("this client is closed")
        pid = os.getpid()
        pool = self._pools.get(pid)
        # Of two threads that come first, one makes a pool for nothing; it has no connection yet.
        return pool or self._pools.setdefault(pid, httpx.Client(**self._options))


def _read(response: httpx.Response) -> Answer:
    body = bytearray()
    for part in response.iter_bytes():
        body += part
        if len(body) > ANSWER_BYTES_MAX:
            break
    return Answer(response.status_code, response.headers, bytes(body))
