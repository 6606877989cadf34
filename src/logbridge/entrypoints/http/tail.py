"""New logs as server-sent events (WHATWG HTML, section 9.2): the id of an event is the store's sequence."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from logbridge.domain.access import Caller
from logbridge.domain.access import Scope as Right
from logbridge.domain.errors import InvalidRequest, LogbridgeError, ReaderError, ReaderUnavailable
from logbridge.domain.query import Followed
from logbridge.domain.service import LogBridge
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.lifecycle import Interrupts, Lifecycle, cancel
from logbridge.entrypoints.http.parameters import read_filter
from logbridge.entrypoints.http.parting import PARTING_S
from logbridge.entrypoints.http.problems import error_answer
from logbridge.entrypoints.http.schema import log_record
from logbridge.entrypoints.settings import Settings

KEEP_ALIVE_S = 15.0
_SEQUENCE_MAX = 2**63 - 1
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Tail:
    """The ASGI endpoint. It ends when the client leaves, the server stops, the log service is lost, or the
    key that let the client in does so no more.
    """

    def __init__(
        self,
        bridge: LogBridge,
        gate: Gate,
        settings: Settings,
        lifecycle: Lifecycle,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        self._bridge = bridge
        self._gate = gate
        self._settings = settings
        self._lifecycle = lifecycle
        self._keep_alive_s = keep_alive_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        interrupts = Interrupts(self._lifecycle, receive)
        try:
            caller = self._gate.admit(scope, Right.READ)
            stream = self._bridge.follow(read_filter(scope), _resume_after(scope), caller.services)
            await self._follow(stream, caller, interrupts, send, endless=scope["method"] != "HEAD")
        except LogbridgeError as error:
            await error_answer(error, lambda _: {}).send(send)
        finally:
            await interrupts.aclose()

    async def _follow(
        self,
        stream: AsyncGenerator[Followed, None],
        caller: Caller,
        interrupts: Interrupts,
        send: Send,
        *,
        endless: bool,
    ) -> None:
        coming = asyncio.ensure_future(anext(stream))
        try:
            # The first item decides between an answer and a problem, so it comes before the status.
            started = await interrupts.wait_for(coming, self._settings.request_timeout_s)
            first = coming.result() if started else _no_answer()
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            if endless:
                await self._until_interrupted(self._send_events(first, stream, caller, send), interrupts)
            if not interrupts.left.done():
                await _end(send)
        finally:
            await cancel(coming)
            await stream.aclose()

    async def _until_interrupted(self, work: Coroutine[Any, Any, None], interrupts: Interrupts) -> None:
        # As a task: a client that does not read must not hold up a stop.
        sending = asyncio.ensure_future(work)
        try:
            if await interrupts.wait_for(sending):
                sending.result()
        finally:
            await cancel(sending)

    async def _send_events(
        self, first: Followed, stream: AsyncGenerator[Followed, None], caller: Caller, send: Send
    ) -> None:
        coming = asyncio.ensure_future(anext(stream))
        try:
            await _send_frame(send, first)
            while True:
                await asyncio.wait((coming,), timeout=self._keep_alive_s)
                if not self._gate.still_lets_in(caller):
                    return
                if coming.done():
                    await _send_frame(send, coming.result())
                    coming = asyncio.ensure_future(anext(stream))
                else:
                    await _send_text(send, ": keep-alive\n\n")
        except (ReaderError, StopAsyncIteration):
            # The log service is lost: the client connects again, with the last id it saw.
            return
        finally:
            await cancel(coming)


async def _end(send: Send) -> None:
    """The last piece; who does not read does not see it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PARTING_S):
            await send({"type": "http.response.body", "body": b""})


def _no_answer() -> Followed:
    raise ReaderUnavailable("the log service did not begin to follow in time")


def _resume_after(scope: Scope) -> int | None:
    texts = [value.decode("latin-1").strip() for name, value in scope["headers"] if name == b"last-event-id"]
    text = texts[-1] if texts else ""
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,19}", text) or int(text) > _SEQUENCE_MAX:
        raise InvalidRequest("Last-Event-ID", f"expected the id of an event, a number, got {text[:40]!r}")
    return int(text)


async def _send_frame(send: Send, followed: Followed) -> None:
    if followed.entry is None:
        await _send_text(send, f"id: {followed.sequence}\n: following\n\n")
    else:
        record = msgspec.json.encode(log_record(followed.entry)).decode()
        await _send_text(send, f"id: {followed.sequence}\ndata: {record}\n\n")


async def _send_text(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
