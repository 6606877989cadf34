"""Taking the steps of a call in asyncio."""

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, TypeVar

import httpx

from logbridge.http.answers import ANSWER_BYTES_MAX, Answer, checked, failure
from logbridge.http.calls import Pause, Reply, Steps, Work

T = TypeVar("T")


class _Pool(NamedTuple):
    """The connections of one loop. turns: as many calls at once as there are connections.

    Thousands of tasks may write at once. httpx looks through all who wait whenever a connection is free, and
    gives each up after a while; those who wait for their turn here cost nothing, and none is given up.
    """

    client: httpx.AsyncClient
    turns: asyncio.Semaphore


class AsyncSender:
    """Takes steps over connections of the loop that it is called in. options: of an httpx.AsyncClient."""

    def __init__(self, options: dict[str, Any], sleep: Callable[[float], Any] | None = None) -> None:
        self._options = options
        self._sleep = sleep or asyncio.sleep
        # A child of this process runs a loop of its own, and so never meets the connections of its parent.
        self._pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = weakref.WeakKeyDictionary()
        self._closed = False

    async def run(self, work: Work[T]) -> T:
        """Take all steps; the answer of the call, or what it raises. RuntimeError once this is closed."""
        with contextlib.closing(Steps(work)) as steps:
            while (step := steps.step) is not None:
                steps.take(await self._reply(step))
            return steps.value

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await self._sleep(seconds)

    @contextlib.asynccontextmanager
    async def opened(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """An answer that goes on and on. Raises BridgeError, also for what happens to it within the block."""
        try:
            async with contextlib.aclosing(await self._pool().client.send(request, stream=True)) as response:
                if response.status_code != 200:
                    checked(await _read(response))
                yield response
        except httpx.RequestError as error:
            raise failure(error, str(request.url.copy_with(query=None))) from error

    async def aclose(self) -> None:
        """End the connections of this loop, and make no more in any."""
        self._closed = True
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.client.aclose()

    async def _reply(self, step: httpx.Request | Pause) -> Reply:
        if isinstance(step, Pause):
            await self.pause(step.seconds)
            return None
        client, turns = self._pool()
        try:
            async with turns, contextlib.aclosing(await client.send(step, stream=True)) as response:
                return await _read(response)
        except httpx.RequestError as error:
            return error

    def _pool(self) -> _Pool:
        if self._closed:
            raise RuntimeError("this client is closed")
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            turns = asyncio.Semaphore(self._options["limits"].max_connections)
            pool = self._pools[loop] = _Pool(httpx.AsyncClient(**self._options), turns)
        return pool


async def _read(response: httpx.Response) -> Answer:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > ANSWER_BYTES_MAX:
            break
    return Answer(response.status_code, response.headers, bytes(body))
