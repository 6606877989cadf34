"""Counts what uses a connection, so that closing it waits for what was begun."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class InUse:
    """``with in_use():`` keeps ``idle()`` waiting."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self._count += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._idle.set()

    async def idle(self) -> None:
        """Returns once nothing uses it."""
        await self._idle.wait()
