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
    """A message that has no acknowledgement. may_be_kept: whether it may be in the stream all the same."""

    def __init__(self, reason: str, cause: Cause, *, may_be_kept: bool = False) -> None:
        super().__init__(reason)
        self.cause = cause
        self.may_be_kept = may_be_kept


class Publisher:
    """Publishes under an id, and again under the same one while there is no answer: the stream keeps it once."""

    def __init__(self, connection: Connection, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._monotonic = monotonic
        self._room = asyncio.Semaphore(PUBLISHES_IN_FLIGHT_MAX)

    async def publish(self, subject: str, data: bytes, headers: dict[str, str], deadline: Deadline) -> None:
        """Returns once the stream has it. Raises NotKept."""
        until_s = min(deadline.at_s, self._monotonic() + GO_ON_S)
        doubt = False
        reason, cause = "the stream was not asked before the deadline", Cause.TIMEOUT
        while (left_s := until_s - self._monotonic()) > 0 and self._connection.away_s < AWAY_S:
            try:
                await self._attempt(subject, data, headers, left_s)
            except NotKept as error:
                raise NotKept(str(error), error.cause, may_be_kept=doubt) from None
            except NoAnswer as error:
                doubt, reason, cause = True, str(error), Cause.NO_ANSWER
            except TimeoutError:
                reason, cause = "too many logs wait for the stream", Cause.OVERLOADED
            except QueueAway as error:
                reason, cause = str(error), Cause.UNAVAILABLE
            except Error as error:
                # The connection broke; whether the message had left by then is not said.
                doubt, reason, cause = True, f"the connection to the stream broke: {error}", Cause.NO_ANSWER
            else:
                return
            await asyncio.sleep(min(PAUSE_S, left_s))
        if self._connection.away_s >= AWAY_S and not doubt:
            reason, cause = f"no NATS server answers at {self._connection.servers}", Cause.UNAVAILABLE
        raise NotKept(reason, cause, may_be_kept=doubt)

    async def _attempt(self, subject: str, data: bytes, headers: dict[str, str], left_s: float) -> None:
        async with asyncio.timeout(left_s):
            await self._room.acquire()
        try:
            # Opening has a time of its own, and is shared by all who wait for it.
            await self._connection.request(subject, data, headers, min(ATTEMPT_S, left_s))
        except MaxPayloadError:
            raise NotKept("it is larger than the NATS server takes (max_payload)", Cause.TOO_LARGE) from None
        except StoreError as error:
            raise QueueAway(str(error)) from None
        except ApiError as error:
            if error.code == _UNAVAILABLE and error.err_code != _FULL:
                raise QueueAway(str(error)) from None
            raise _refused(error) from None
        finally:
            self._room.release()


def _refused(error: ApiError) -> NotKept:
    if "maximum" in str(error) or error.err_code == _FULL or "insufficient" in str(error):
        return NotKept(f"the stream is full: {error}", Cause.OVERLOADED)
    return NotKept(f"the stream did not take it: {error}", Cause.UNAVAILABLE)
