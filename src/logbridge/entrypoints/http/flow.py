"""When a connection is read, and for how long it was not because we were not ready."""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """uvicorn's, which also counts the time without reading: that is ours, and no client's fault.

    now: gives seconds, as the event loop counts them.
    """

    def __init__(self, transport: asyncio.Transport, now: Callable[[], float]) -> None:
        super().__init__(transport)
        self._now = now
        self._paused_s = 0.0
        self._paused_at_s = 0.0

    def pause_reading(self) -> None:
        """See uvicorn."""
        if not self.read_paused:
            self._paused_at_s = self._now()
            super().pause_reading()

    def resume_reading(self) -> None:
        """See uvicorn."""
        if self.read_paused:
            self._paused_s += self._now() - self._paused_at_s
            super().resume_reading()

    def paused_s(self) -> float:
        """Seconds, since the connection began, in which nothing was read."""
        return self._paused_s + (self._now() - self._paused_at_s if self.read_paused else 0.0)
