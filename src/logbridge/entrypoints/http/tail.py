"""New logs as server-sent events (WHATWG HTML, section 9.2): the id of an event is the store's sequence."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator

from starlette.types import Receive, Scope, Send

from logbridge.domain.access import Caller
from logbridge.domain.access import Scope as Right
from logbridge.domain.errors import InvalidRequest, LogbridgeError, ReaderError, ReaderUnavailable
from logbridge.domain.query import Followed
from logbridge.domain.service import LogBridge
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.events import KEEP_ALIVE, event, no_events, send_events
from logbridge.entrypoints.http.lifecycle import ClientLeft, Interrupts, Lifecycle, cancel
from logbridge.entrypoints.http.parameters import read_filter
from logbridge.entrypoints.http.problems import error_answer
from logbridge.entrypoints.http.schema import log_record
from logbridge.entrypoints.settings import Settings

KEEP_ALIVE_S = 15.0
# A place in one store has up to 19, in several up to 29 for each of them.
PLACE_DIGITS_MAX = 2000


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
        self._measures = bridge.measures
        self._gate = gate
        self._settings = settings
        self._lifecycle = lifecycle
        self._keep_alive_s = keep_alive_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        interrupts = Interrupts(self._lifecycle, receive)
        try:
            caller = self._gate.admit(scope, Right.READ)
            stream = self._bridge.follow(read_filter(scope), _resume_after(scope), caller.services)
            async with contextlib.aclosing(stream):
                first = await self._first(stream, interrupts)
                frames = no_events() if scope["method"] == "HEAD" else self._frames(first, stream, caller)
                with self._measures.tail():
                    await send_events(frames, interrupts, send)
        except ClientLeft:
            pass
        except LogbridgeError as error:
            await error_answer(error, lambda _: {}).send(send)
        finally:
            await interrupts.aclose()

    async def _first(self, stream: AsyncGenerator[Followed, None], interrupts: Interrupts) -> Followed:
        """The first item decides between an answer and a problem, so it comes before the status."""
        try:
            return await interrupts.finish(anext(stream), self._settings.request_timeout_s)
        except TimeoutError:
            raise ReaderUnavailable("the log service did not begin to follow in time") from None

    async def _frames(
        self, first: Followed, stream: AsyncGenerator[Followed, None], caller: Caller
    ) -> AsyncGenerator[str, None]:
        yield _frame(first)
        coming = asyncio.ensure_future(anext(stream))
        try:
            while True:
                await asyncio.wait((coming,), timeout=self._keep_alive_s)
                if not self._gate.still_lets_in(caller):
                    return
                if coming.done():
                    yield _frame(coming.result())
                    coming = asyncio.ensure_future(anext(stream))
                else:
                    yield KEEP_ALIVE
        except (ReaderError, StopAsyncIteration):
            # The log service is lost: the client connects again, with the last id it saw.
            return
        finally:
            await cancel(coming)


def _resume_after(scope: Scope) -> int | None:
    texts = [value.decode("latin-1").strip() for name, value in scope["headers"] if name == b"last-event-id"]
    text = texts[-1] if texts else ""
    if not text:
        return None
    if not re.fullmatch(f"[0-9]{{1,{PLACE_DIGITS_MAX}}}", text):
        raise InvalidRequest("Last-Event-ID", f"expected the id of an event, a number, got {text[:40]!r}")
    return int(text)


def _frame(followed: Followed) -> str:
    if followed.entry is None:
        return f"id: {followed.sequence}\n: following\n\n"
    return f"id: {followed.sequence}\n{event(log_record(followed.entry))}"
