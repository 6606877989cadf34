"""When a request goes again, and what it ends with when it does not. No I/O, no clock of its own."""

from collections.abc import Callable

from logbridge.domain.policy import RetryPolicy
from logbridge.http.errors import BridgeError, OutcomeUnknown, Refused

# Of its own: a program that waits for its logs wants to be back sooner than a bridge.
BACKOFF = RetryPolicy(backoff_first_s=0.2, backoff_max_s=10.0)


class Attempts:
    """The attempts of one request. retry_s: seconds from now in which another one may begin.

    log_ids: of the logs that it writes. monotonic: gives seconds. jitter: gives 0 to 1.
    """

    def __init__(
        self,
        retry_s: float,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
        log_ids: tuple[str, ...] = (),
    ) -> None:
        self._monotonic = monotonic
        self._jitter = jitter
        self._until_s = monotonic() + retry_s
        self._log_ids = log_ids
        self._failures = 0
        self._unknown = False

    def pause_s(self, error: BridgeError) -> float:
        """Seconds to wait before the next attempt.

        Raises the error when there is none; OutcomeUnknown if this or an earlier one may have written the
        logs.
        """
        self._failures += 1
        self._unknown = self._unknown or bool(self._log_ids and error.may_be_written)
        pause_s = BACKOFF.pause_s(self._failures, self._jitter(), error.retry_after_s or 0.0)
        if error.goes_again and self._monotonic() + pause_s < self._until_s:
            return pause_s
        error.log_ids = self._log_ids
        # A refusal is about the log itself: then the attempt before it has not written it either.
        if self._unknown and not isinstance(error, Refused):
            raise OutcomeUnknown(f"it may have been written: {error}", self._log_ids) from error
        raise error
