"""Clients that write to a bridge without a pause, and count what becomes of each request."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.integration.served import API, Closed, Connection, connected

WRITE = f"{API}/write"
LOG = {"message": "a", "service_name": "s"}


class Load:
    """Clients that write without a pause: some keep their connection, some open one for each request."""

    def __init__(self, port: int) -> None:
        self.seen: Counter[str] = Counter()
        self._port = port
        self._enough = asyncio.Event()

    @asynccontextmanager
    async def pouring(self, *, until_refused: bool = False) -> AsyncIterator[None]:
        """From the first answers on, to the end of the block, or until all of them are refused."""
        async with asyncio.TaskGroup() as clients:
            tasks = [clients.create_task(self._client(kept=n % 2 == 0)) for n in range(16)]
            await asyncio.wait_for(self._enough.wait(), 30)
            yield
            if not until_refused:
                for task in tasks:
                    task.cancel()

    async def _client(self, *, kept: bool) -> None:
        while True:
            try:
                async with connected(self._port) as connection:
                    await self._requests(connection, kept)
            except ConnectionRefusedError:
                self.seen["refused"] += 1
                return
            except ConnectionResetError:
                self.seen["reset"] += 1

    async def _requests(self, connection: Connection, kept: bool) -> None:
        answered = 0
        while True:
            try:
                answer = await connection.ask("POST", WRITE, LOG)
            except Closed:
                self.seen["closed"] += 1
                return
            except ConnectionResetError:
                assert not answered
                raise
            answered += 1
            self.seen[str(answer.status)] += 1
            if self.seen["200"] >= 100:
                self._enough.set()
            if answer.last or not kept:
                return
