"""gRPC calls to the log service: who is let in, until when, and with which status a call ends."""

import logging
import time
from collections.abc import Awaitable, Callable

from google.protobuf.message import DecodeError, Message
from grpc import StatusCode
from grpc.aio import ServicerContext

from logbridge import __version__
from logbridge.adapters.grpc.mapping import VERSION_KEY
from logbridge.adapters.grpc.status import NO_KEY, TOO_OFTEN, WRONG_SCOPE, details_of, status_of_error
from logbridge.adapters.grpc.tracing import traces_in
from logbridge.adapters.keys.ring import KeyRing
from logbridge.domain.access import Caller, Scope
from logbridge.domain.errors import InvalidRequest, LogbridgeError, RateExceeded
from logbridge.domain.outcome import Failed
from logbridge.domain.ports import Deadline
from logbridge.domain.trace import TRACES
from logbridge.entrypoints.rates import Rates

logger = logging.getLogger(__name__)

DEADLINE_DEFAULT_S = 30.0
REASON_CHARACTERS_MAX = 1000  # a status travels in HTTP/2 headers, which end at 8 KiB
KEY_NAME = "authorization"
ANYBODY = Caller(scopes=frozenset(Scope))

Context = ServicerContext[bytes, bytes]
Unary = Callable[[bytes, Caller, Deadline], Awaitable[Message]]


class CallEnded(Exception):
    """A call that ends with another status than OK. details: its trailing metadata."""

    def __init__(self, status: StatusCode, reason: str, details: tuple[tuple[str, bytes], ...] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.details = details


class CallGate:
    """Lets calls in. keys: None where everybody may do everything."""

    def __init__(self, keys: KeyRing | None) -> None:
        self._keys = keys
        # Of the keys themselves only: LOGBRIDGE_KEY_RATE is for the bridge's clients, not for the bridge.
        self._rates = Rates()

    def unary(self, name: str, call: Unary, scope: Scope) -> Callable[[bytes, Context], Awaitable[bytes]]:
        """A handler for a method that answers once. scope: what a key needs for it."""

        async def handle(raw: bytes, context: Context) -> bytes:
            TRACES.set(traces_in(context.invocation_metadata() or ()))
            caller = await self.admit(context, scope)
            logger.debug("%s of %d bytes by %s", name, len(raw), caller.name or "anybody")
            remaining_s = context.time_remaining()
            wait_s = DEADLINE_DEFAULT_S if remaining_s is None else remaining_s
            try:
                answer = await call(raw, caller, Deadline(time.monotonic() + wait_s))
            except CallEnded as error:
                await context.abort(error.status, short(str(error)), error.details)
            except LogbridgeError as error:
                await context.abort(status_of_error(error), short(str(error)))
            except Exception as error:
                logger.error("%s failed", name, exc_info=error)
                # grpc would tell the caller the text of the exception.
                await context.abort(StatusCode.UNKNOWN, "a fault of the log service; its own log says more")
            return answer.SerializeToString()

        return handle

    async def admit(self, context: Context, scope: Scope) -> Caller:
        """Who calls, once it is known that it may; else the call ends here."""
        await context.send_initial_metadata(((VERSION_KEY, __version__),))
        if self._keys is None:
            return ANYBODY
        shown = [_shown_key(value) for name, value in context.invocation_metadata() or () if name == KEY_NAME]
        caller = self._keys.find(shown[0]) if len(shown) == 1 else None
        if caller is None:
            reason = "this key is unknown, revoked or expired" if shown else "a key is needed"
            await context.abort(NO_KEY, f"{reason}: send metadata authorization: Bearer KEY")
        if not caller.may(scope):
            await context.abort(
                WRONG_SCOPE, f"the key {caller.name} may not do that: it needs the scope {scope}"
            )
        try:
            self._rates.count_key(caller)
        except RateExceeded as error:
            asked = Failed("", str(error), retry_after_s=error.retry_after_s)
            await context.abort(TOO_OFTEN, str(error), details_of(asked))
        return caller

    def still_lets_in(self, caller: Caller) -> bool:
        """Whether somebody who was admitted would still be: a key may be revoked or end meanwhile."""
        return self._keys is None or self._keys.still_lets_in(caller)


def _shown_key(value: str | bytes) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    scheme, _, key = text.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def parse(message: Message, raw: bytes) -> None:
    """Read a request. Raises InvalidRequest."""
    try:
        message.ParseFromString(raw)
    except DecodeError:
        reason = f"these bytes are not a {type(message).__name__} (a string may not be UTF-8)"
        raise InvalidRequest("$", reason) from None


def short(reason: str) -> str:
    """As much of it as a status takes."""
    return reason if len(reason) <= REASON_CHARACTERS_MAX else f"{reason[:REASON_CHARACTERS_MAX]}…"
