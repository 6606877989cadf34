"""One request and its answer on an HTTP connection: uvicorn's, with a short way for a whole answer."""

import asyncio
import contextlib
import logging
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from logbridge.domain.trace import TRACES, Trace
from logbridge.entrypoints.http.meter import Refusal, RequestMeter
from logbridge.entrypoints.http.parting import Voice
from logbridge.entrypoints.http.problems import REFUSAL, WHOLE, Answer, RequestRejected, problem
from logbridge.entrypoints.http.recorded import Recorded
from logbridge.entrypoints.http.refused import Refused
from logbridge.entrypoints.request_id import HEADER, REQUEST_ID, new_request_id

logger = logging.getLogger(__name__)

# What a scope says of the messages that ``send`` takes besides ASGI's own ones (ASGI, "Extensions").
EXTENSIONS: dict[str, dict[str, Any]] = {WHOLE: {}}
# In a scope: its body is a stream, see LOGBRIDGE_STREAM_IDLE_TIMEOUT_S.
LASTING = "logbridge.request.lasting"


def head_bytes(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """Bytes of a head as far as it has been read, less those of a line that is not complete."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def lasts(cycle: RequestResponseCycle) -> bool:
    """Whether its body may take as long as it likes, as long as something comes."""
    return LASTING in cycle.scope and not cycle.response_complete


class Signal:
    """asyncio.Event, made only when somebody waits: most requests are here as a whole and nobody does."""

    __slots__ = ("_event", "_set")

    def __init__(self) -> None:
        self._set = False
        self._event: asyncio.Event | None = None

    def set(self) -> None:
        """See asyncio.Event."""
        self._set = True
        if self._event is not None:
            self._event.set()

    def clear(self) -> None:
        """See asyncio.Event."""
        self._set = False
        if self._event is not None:
            self._event.clear()

    async def wait(self) -> None:
        """See asyncio.Event."""
        if self._set:
            return
        if self._event is None:
            self._event = asyncio.Event()
        await self._event.wait()


class Exchange(RequestResponseCycle):
    """uvicorn's cycle, which sends a whole answer with one write; ``Task.cancel`` on it answers 503.

    meter: is told of it when its answer begins. began_s: when its head had come, as time.perf_counter counts.
    request_id: see X-Request-ID.
    """

    meter: RequestMeter
    began_s: float
    request_id: bytes

    # Why the rest of its body will not be read; of the class, because nearly no request has one.
    rejection: RequestRejected | None = None
    # Whether the end of the connection is the end of the answer. Of the class, as above.
    ends_with_connection = False
    # What its caller told of traces, and the span that records it. Of the class, as above.
    traces: tuple[Trace, ...] = ()
    recorded: Recorded | None = None

    async def run_asgi(self, app: ASGIApp) -> None:  # type: ignore[override]  # uvicorn has types of its own
        """Let the application answer. See uvicorn."""
        # Also where there is none: a pipelined request inherits those of the one before it.
        REQUEST_ID.set(self.request_id)
        if self.traces or TRACES.get():
            TRACES.set(self.traces)
        try:
            await app(self.scope, self.receive, self.send)  # type: ignore[arg-type]  # the same
        except asyncio.CancelledError:
            # Only the end of the drain cancels a request.
            if not self.response_started:
                reason = "the bridge stopped before this was answered: it may have been done"
                await problem(503, reason).send(self.send)
        except Exception as error:
            logger.error("%s %s failed", self.scope["method"], self.scope["path"], exc_info=error)
        if not self.disconnected and not self.response_complete:
            await self._break_off()
        if self.recorded is not None:
            self.recorded.end()
        # It holds the connection, which holds this: a ring that only the garbage collector would undo.
        self.on_response = _nothing

    async def refuse(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """The application of the drain."""
        # A body is read before it is refused, unless the client waits to be asked for it.
        with contextlib.suppress(RequestRejected):
            while not self.waiting_for_100_continue and (await self.receive()).get("more_body", False):
                pass
        await problem(503, "the bridge is stopping", refusal=Refusal.STOPPING).send(send)

    def refusing(self, refused: Refused) -> ASGIApp:
        """An application that answers with this problem; the connection ends."""

        async def refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
            self.keep_alive = False
            await problem(refused.status, refused.reason, refusal=refused.counted).send(send)

        return refuse

    def reject(self, error: RequestRejected) -> None:
        """Raise this where the body is waited for: no more of it is read, and the connection ends."""
        self.rejection = error
        self.keep_alive = False
        self.message_event.set()

    async def _break_off(self) -> None:
        if self.ends_with_connection:
            # Else a part would look like the whole.
            cast(Voice, self.transport).reset()
        elif self.response_started:
            self.transport.close()
        else:
            await self.send_500_response()

    async def receive(self) -> Any:
        """See uvicorn; a body that is here already takes the short way."""
        if self.more_body or self.response_complete or self.disconnected or not self.body:
            return await self._receive_slowly()
        self.flow.resume_reading()
        body, self.body = bytes(self.body), bytearray()
        self.message_event.clear()
        return {"type": "http.request", "body": body, "more_body": False}

    async def _receive_slowly(self) -> Any:
        message = None if self.rejection else await super().receive()
        if self.rejection is not None and not (self.disconnected or self.response_complete):
            raise self.rejection
        return message or {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override]  # the same
        """Send an ASGI message, or a whole answer (WHOLE)."""
        if self.waiting_for_100_continue and self.more_body:
            # Its body may come or not, so that nobody could say where the next request begins.
            self.keep_alive = False
        if message["type"] == "http.response.start" and not self.response_started:
            self._begin_answer(message["status"], message.get(REFUSAL, ""))
        if self.ends_with_connection:
            await self._send_piece(message)
        elif message["type"] != WHOLE:
            self._know_its_end(message)
            await super().send(message)  # type: ignore[arg-type]  # the same
        elif self._takes_the_short_way():
            self._send_whole(message["answer"])
        else:
            self._begin_answer(message["answer"].status, message["answer"].refusal)
            for part in message["answer"].parts():
                await super().send(part)

    def _begin_answer(self, status: int, refusal: str) -> None:
        self._note(status, refusal)
        self.default_headers = [*self.default_headers, (HEADER, self.request_id)]

    def _note(self, status: int, refusal: str) -> None:
        self.meter.note(self.scope, status, self.began_s, refusal)  # type: ignore[arg-type]  # the same
        if self.recorded is not None:
            self.recorded.status = status

    def _know_its_end(self, message: MutableMapping[str, Any]) -> None:
        """HTTP/1.0 knows no chunks (RFC 9112, section 6.1): such an answer ends with the connection."""
        if self.scope["http_version"] == "1.0" and not self.response_started:
            names = [name.lower() for name, _ in message.get("headers", ())]
            if b"content-length" not in names and self.scope["method"] != "HEAD":
                self.ends_with_connection = True
                self.chunked_encoding = False

    async def _send_piece(self, message: MutableMapping[str, Any]) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        self.transport.write(message["body"])
        if not message.get("more_body", False):
            self.response_complete = True
            self.message_event.set()
            self.transport.close()
            self.on_response()

    def _takes_the_short_way(self) -> bool:
        return self.keep_alive and not (
            self.disconnected or self.flow.write_paused or self.access_log or self.scope["method"] == "HEAD"
        )

    def _send_whole(self, answer: Answer) -> None:
        self._note(answer.status, answer.refusal)
        head = _head(answer.status, answer.media_type, *self.default_headers)
        self.transport.write(
            b"%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (head, self.request_id, len(answer.body), answer.body)
        )
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.message_event.set()
        self.on_response()


def bytes_of(answer: Answer, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    """An answer that is written where no request could be read; the connection ends with it."""
    start, body = answer.parts()
    headers = [
        *default_headers,
        (HEADER, new_request_id()),
        *start["headers"],
        (b"connection", b"close"),
    ]
    lines = b"".join(b"%b: %b\r\n" % header for header in dict(headers).items())
    return STATUS_LINE[answer.status] + lines + b"\r\n" + bytes(body["body"])


@lru_cache(maxsize=64)
def _head(status: int, media_type: str, *headers: tuple[bytes, bytes]) -> bytes:
    # The headers hold the date: for a second all answers of a status begin alike.
    lines = [b"%b: %b\r\n" % header for header in (*headers, (b"content-type", media_type.encode()))]
    return STATUS_LINE[status] + b"".join(lines)


def _nothing() -> None:
    pass
