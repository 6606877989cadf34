"""One request and its answer on an HTTP connection: uvicorn's, with a short way for a whole answer."""

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from logbridge.entrypoints.http.lifecycle import Lifecycle
from logbridge.entrypoints.http.problems import WHOLE, problem

logger = logging.getLogger(__name__)

# What a scope says of the messages that ``send`` takes besides ASGI's own ones (ASGI, "Extensions").
EXTENSIONS: dict[str, dict[str, Any]] = {WHOLE: {}}


class Exchange(RequestResponseCycle):
    """uvicorn's cycle, which also knows the drain, and sends a whole answer with one write.

    In the drain it answers 503 in the application's place. ``Task.cancel`` on it answers 503, too.
    """

    def __init__(self, lifecycle: Lifecycle, **options: Any) -> None:
        super().__init__(**options)
        self._lifecycle = lifecycle

    async def run_asgi(self, app: ASGIApp) -> None:  # type: ignore[override]  # uvicorn has types of its own
        """Let the application answer. See uvicorn."""
        try:
            if self._lifecycle.draining:
                await self._refuse()
            else:
                await app(self.scope, self.receive, self.send)  # type: ignore[arg-type]  # the same
        except asyncio.CancelledError:
            # Only the end of the drain cancels a request.
            if not self.response_started:
                reason = "the bridge stopped before this was answered: it may have been done"
                await problem(503, reason).send(self.send)
        except Exception as error:
            logger.error("the application failed", exc_info=error)
        if not self.disconnected and not self.response_complete:
            await self._break_off()
        # It holds the connection, which holds this: a ring that only the garbage collector would undo.
        self.on_response = _nothing

    async def _refuse(self) -> None:
        # A body is read before it is refused, unless the client waits to be asked for it.
        while not self.waiting_for_100_continue and (await self.receive()).get("more_body", False):
            pass
        await problem(503, "the bridge is stopping").send(self.send)

    async def _break_off(self) -> None:
        if self.response_started:
            self.transport.close()
        else:
            await self.send_500_response()

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override]  # the same
        """Send an ASGI message, or a whole answer (WHOLE)."""
        if message["type"] != WHOLE:
            await super().send(message)  # type: ignore[arg-type]  # the same
        elif self._takes_the_short_way():
            self._send_whole(message["status"], message["media_type"], message["body"])
        else:
            for part in message["parts"]():
                await super().send(part)

    def _takes_the_short_way(self) -> bool:
        return self.keep_alive and not (
            self.disconnected or self.flow.write_paused or self.access_log or self.scope["method"] == "HEAD"
        )

    def _send_whole(self, status: int, media_type: bytes, body: bytes) -> None:
        head = [STATUS_LINE[status]]
        for name, value in self.default_headers:
            head += (name, b": ", value, b"\r\n")
        head.append(b"content-type: %b\r\ncontent-length: %d\r\n\r\n" % (media_type, len(body)))
        self.transport.write(b"".join((*head, body)))
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.message_event.set()
        self.on_response()


def _nothing() -> None:
    pass
