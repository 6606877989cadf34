"""Followers: who waits for new entries, and is woken from whatever thread stores them."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator


class Followers:
    """Wakes every follower when something was stored; followers may live in several loops and threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    @contextlib.contextmanager
    def joined(self) -> Iterator[asyncio.Event]:
        """The event of one more follower in the running loop: ``wake`` sets it, the follower clears it."""
        event = asyncio.Event()
        with self._lock:
            self._waiting[event] = asyncio.get_running_loop()
        try:
            yield event
        finally:
            with self._lock:
                del self._waiting[event]

    def wake(self) -> None:
        """Set the event of every follower; may be called from any thread."""
        with self._lock:
            waiting = list(self._waiting.items())
        for event, loop in waiting:
            # A loop that was closed under its follower has nobody left to wake.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)
