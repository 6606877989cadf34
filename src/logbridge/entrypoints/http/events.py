"""Answers of server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from starlette.types import Scope, Send

from logbridge.entrypoints.http.lifecycle import ClientLeft, Interrupts
from logbridge.entrypoints.http.parting import PARTING_S
from logbridge.entrypoints.http.problems import RequestRejected

EVENT_STREAM = "text/event-stream"
KEEP_ALIVE = ": keep-alive\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


def wants_events(scope: Scope) -> bool:
    """Whether a request accepts events, and says so."""
    return any(name == b"accept" and EVENT_STREAM.encode() in value for name, value in scope["headers"])


def event(data: Any, *, name: str = "") -> str:
    """One event with JSON data. name: its type, empty for the usual one."""
    named = f"event: {name}\n" if name else ""
    return f"{named}data: {msgspec.json.encode(data).decode()}\n\n"


async def send_events(
    frames: AsyncGenerator[str, None], interrupts: Interrupts, send: Send, *, on_stop: str = ""
) -> None:
    """The status, and then frame after frame. on_stop: the last one, when the server stops before the end."""
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    try:
        await interrupts.finish(_send_all(frames, send))
    except ClientLeft:
        return
    except RequestRejected:
        await _end(send, on_stop)
    else:
        await _end(send, "")


async def _send_all(frames: AsyncGenerator[str, None], send: Send) -> None:
    async with contextlib.aclosing(frames):
        async for frame in frames:
            await send({"type": "http.response.body", "body": frame.encode(), "more_body": True})


async def _end(send: Send, last: str) -> None:
    """The last piece; who does not read does not see it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PARTING_S):
            await send({"type": "http.response.body", "body": last.encode()})


async def no_events() -> AsyncGenerator[str, None]:
    """For HEAD: what such an answer looks like, and nothing of it."""
    return
    yield ""
