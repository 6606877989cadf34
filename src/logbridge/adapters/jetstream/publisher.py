"""Publishing: a message counts as kept when the stream's acknowledgement is here, and only then."""

import asyncio
import time
from collections.abc import Callable

from nats.errors import Error, MaxPayloadError

from logbridge.adapters.jetstream.connection import ApiError, Connection, NoAnswer, QueueAway
from logbridge.adapters.jetstream.streams import DUPLICATE_WINDOW_S
from logbridge.domain.errors import StoreError
from logbridge.domain.outcome import Cause
from logbridge.domain.ports import Deadline

PUBLISHES_IN_FLIGHT_MAX = 1024
ATTEMPT_S = 2.0
PAUSE_S = 0.1
# The election of a leader takes about as long; who is away longer is answered at once.
AWAY_S = 5.0
# The same message goes again only while its stream still knows the id.
GO_ON_S = DUPLICATE_WINDOW_S / 2
RETRY_AFTER_S = 5.0
_FULL = 10077
_UNAVAILABLE = 503


class NotKept(Exception):
    """A message that has no acknowledgement. may_be_kept: whether it may be in the stream all the same.

    may_go_again: whether waiting may help.
    """

    def __init__(
        self, reason: str, cause: Cause, *, may_be_kept: bool = False, may_go_again: bool = True
    ) -> None:
        super().__init__(reason)
        self.cause = cause
        self.may_be_kept = may_be_kept
        self.may_go_again = may_go_again


class Publisher:
    """Publishes under an id, and again under it while there is no answer: the stream keeps it once."""

    def __init__(self, connection: Connection, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._monotonic = monotonic
        self._room = asyncio.Semaphore(PUBLISHES_IN_FLIGHT_MAX)

    async def publish(self, subject: str, data: bytes, headers: dict[str, str], deadline: Deadline) -> None:
        """Returns once the stream has it. Raises NotKept."""
        until_s = min(deadline.at_s, self._monotonic() + GO_ON_S)
        doubt = False
        # What is said where there is no attempt at all.
        away = f"no NATS server answers at {self._connection.servers}"
        last = NotKept(away, Cause.UNAVAILABLE)
        while (left_s := until_s - self._monotonic()) > 0 and self._connection.away_s < AWAY_S:
            try:
                return await self._attempt(subject, data, headers, left_s)
            except NotKept as error:
                doubt, last = doubt or error.may_be_kept, error
                if not error.may_go_again:
                    break
            await asyncio.sleep(min(PAUSE_S, left_s))
        raise NotKept(str(last), last.cause, may_be_kept=doubt)

    async def _attempt(self, subject: str, data: bytes, headers: dict[str, str], left_s: float) -> None:
        try:
            async with asyncio.timeout(left_s):
                await self._room.acquire()
        except TimeoutError:
            raise NotKept("too many logs wait for the stream", Cause.OVERLOADED) from None
        try:
            await self._connection.request(subject, data, headers, min(ATTEMPT_S, left_s))
        except (QueueAway, StoreError, ApiError, Error) as error:
            raise _not_kept(error) from None
        finally:
            self._room.release()


def _not_kept(error: Exception) -> NotKept:
    match error:
        case NoAnswer():
            return NotKept(str(error), Cause.NO_ANSWER, may_be_kept=True)
        case QueueAway() | StoreError():
            return NotKept(str(error), Cause.UNAVAILABLE)
        case MaxPayloadError():
            reason = "it is larger than the NATS server takes (max_payload)"
            return NotKept(reason, Cause.TOO_LARGE, may_go_again=False)
        case ApiError() if error.err_code == _FULL or "maximum" in str(error):
            reason = f"the stream is full ({error}): it has room when workers deliver, or with more max_bytes"
            return NotKept(reason, Cause.OVERLOADED, may_go_again=False)
        case ApiError():
            again = error.code == _UNAVAILABLE
            return NotKept(f"the stream did not take it: {error}", Cause.UNAVAILABLE, may_go_again=again)
        case _:
            # The connection broke; whether the message had left by then is not said.
            reason = f"the connection to the stream broke: {error}"
            return NotKept(reason, Cause.NO_ANSWER, may_be_kept=True)
