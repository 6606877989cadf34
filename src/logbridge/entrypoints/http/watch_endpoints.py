"""Statistics and metrics over HTTP: once, or as a stream with one look each second."""

import re
from collections.abc import AsyncGenerator
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from logbridge.domain.access import Caller
from logbridge.domain.access import Scope as Right
from logbridge.domain.errors import InvalidRequest, LogbridgeError
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.events import event, send_events, wants_events
from logbridge.entrypoints.http.lifecycle import Interrupts, Lifecycle
from logbridge.entrypoints.http.metrics import render
from logbridge.entrypoints.http.problems import Answer, error_answer, ok
from logbridge.entrypoints.http.stats import Stats, make_stats
from logbridge.entrypoints.pulse import HISTORY_S
from logbridge.entrypoints.settings import Settings
from logbridge.entrypoints.vitals import Vitals

_NUMBER = re.compile(r"[0-9]{1,3}", re.ASCII)


class StatsEndpoint:
    """The ASGI endpoint of the statistics."""

    def __init__(self, vitals: Vitals, gate: Gate, settings: Settings, lifecycle: Lifecycle) -> None:
        self._vitals = vitals
        self._gate = gate
        self._settings = settings
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            caller = self._gate.admit(scope, Right.READ)
            history_s = _history_s(scope)
        except LogbridgeError as error:
            await error_answer(error, lambda _: {}).send(send)
            return
        if not wants_events(scope) or scope["method"] == "HEAD":
            answer = ok(await self._stats(caller, history_s), headers=_NOT_KEPT)
            await answer.send(send, scope.get("extensions", ()))
            return
        interrupts = Interrupts(self._lifecycle, receive)
        try:
            await send_events(self._beats(caller, history_s), interrupts, send)
        finally:
            await interrupts.aclose()

    async def _beats(self, caller: Caller, history_s: int) -> AsyncGenerator[str, None]:
        yield event(await self._stats(caller, history_s))
        while True:
            await self._vitals.next_beat()
            if not self._gate.still_lets_in(caller):
                return
            # Of the past only what is new: the second that has just ended.
            yield event(await self._stats(caller, 1))

    async def _stats(self, caller: Caller, history_s: int) -> Stats:
        look = await self._vitals.look()
        return make_stats(look, self._settings, history_s=history_s, services=caller.services)


class MetricsEndpoint:
    """The metrics, in the format that the request accepts."""

    def __init__(self, vitals: Vitals, gate: Gate, settings: Settings) -> None:
        self._vitals = vitals
        self._gate = gate
        self._settings = settings

    async def show(self, scope: Scope, _receive: Receive) -> Answer:
        self._gate.admit(scope, Right.READ)
        accepted = [value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"]
        body, content_type = render(await self._vitals.look(), self._settings, ",".join(accepted))
        return Answer(200, body, content_type)


_NOT_KEPT = {"Cache-Control": "no-store"}


def _history_s(scope: Scope) -> int:
    """The parameter ``history``: seconds of the past, 0 without it."""
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name != "history":
            raise InvalidRequest(name[:100], "no such parameter; there is history")
        if not _NUMBER.fullmatch(value) or int(value) > HISTORY_S:
            raise InvalidRequest(name, f"expected 0 to {HISTORY_S} seconds, got {value[:40]!r}")
        return int(value)
    return 0
