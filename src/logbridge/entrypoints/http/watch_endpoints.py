"""Statistics and metrics over HTTP: once, or as a stream with one look each second."""

from collections.abc import AsyncGenerator

from starlette.types import Receive, Scope, Send

from logbridge.domain.access import Caller
from logbridge.domain.access import Scope as Right
from logbridge.domain.errors import LogbridgeError
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.events import event, send_events, wants_events
from logbridge.entrypoints.http.lifecycle import Interrupts, Lifecycle
from logbridge.entrypoints.http.metrics import render
from logbridge.entrypoints.http.parameters import read_history_s, read_nothing
from logbridge.entrypoints.http.problems import Answer, error_answer, ok
from logbridge.entrypoints.http.stats import Stats, make_stats
from logbridge.entrypoints.settings import Settings
from logbridge.entrypoints.vitals import Look, Vitals


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
            history_s = read_history_s(scope)
        except LogbridgeError as error:
            await error_answer(error, lambda _: {}).send(send)
            return
        if not wants_events(scope) or scope["method"] == "HEAD":
            answer = ok(self._stats(await self._vitals.look(), caller, history_s), headers=_NOT_KEPT)
            await answer.send(send, scope.get("extensions", ()))
            return
        interrupts = Interrupts(self._lifecycle, receive)
        try:
            await send_events(self._beats(caller, history_s), interrupts, send)
        finally:
            await interrupts.aclose()

    async def _beats(self, caller: Caller, history_s: int) -> AsyncGenerator[str, None]:
        look = await self._vitals.look()
        yield event(self._stats(look, caller, history_s))
        told_until_s = 0
        while True:
            # It goes back when a worker begins.
            told_until_s = max(told_until_s, look.until_s)
            await self._vitals.next_beat()
            if not self._gate.still_lets_in(caller):
                return
            look = await self._vitals.look()
            # Of the past only what is new: nearly always one second, and each of them once.
            yield event(self._stats(look, caller, max(0, look.until_s - told_until_s)))

    def _stats(self, look: Look, caller: Caller, history_s: int) -> Stats:
        return make_stats(look, self._settings, history_s=history_s, services=caller.services)


class MetricsEndpoint:
    """The metrics, in the format that the request accepts."""

    def __init__(self, vitals: Vitals, gate: Gate, settings: Settings) -> None:
        self._vitals = vitals
        self._gate = gate
        self._settings = settings

    async def show(self, scope: Scope, _receive: Receive) -> Answer:
        self._gate.admit(scope, Right.READ)
        read_nothing(scope)
        accepted = [value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"]
        body, media_type = render(await self._vitals.look(), self._settings, ",".join(accepted))
        return Answer(200, body, media_type, _NOT_KEPT)


_NOT_KEPT = {"Cache-Control": "no-store"}
