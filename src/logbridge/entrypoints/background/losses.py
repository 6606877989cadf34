"""What was lost of logs that nobody waits for: said at once, then in one line each REPORT_S at most."""

import logging
import threading
from collections.abc import Callable

OnDrop = Callable[[int, str], object]
REPORT_S = 30.0
LAST_WORD_S = 1.0

# A handler that sends logs leaves out the records of this logger: a loss must not make another one.
LOSSES = "logbridge.client"
logger = logging.getLogger(LOSSES)


class Losses:
    """Counts what is lost, and tells of it. monotonic: seconds of a clock that only goes forward."""

    def __init__(self, on_drop: OnDrop | None, monotonic: Callable[[], float]) -> None:
        self._on_drop = on_drop
        self._monotonic = monotonic
        self._noted = 0  # ever
        self._called = 0  # of these, what on_drop was told
        self._said = 0  # and what the log says
        self._reason = ""
        self._next_line_s = float("-inf")
        self._telling = threading.Lock()

    def note(self, count: int, reason: str) -> bool:
        """So many are lost; True if there was nothing to tell of before. Nothing else happens here: the
        caller holds a lock.
        """
        first = self._noted == self._said
        self._noted += count
        self._reason = reason
        return first

    def due_s(self) -> float | None:
        """Seconds until the next line may be written, None with nothing to say."""
        return None if self._noted == self._said else max(0.0, self._next_line_s - self._monotonic())

    def tell(self, *, at_once: bool = False) -> None:
        """Call on_drop, and write the line if it is due. at_once: the line does not wait for its turn."""
        # Who finds somebody telling leaves it to them: it may be itself, further out.
        if not self._telling.acquire(timeout=LAST_WORD_S if at_once else 0):
            return
        try:
            self._call()
            self._say(at_once)
        finally:
            self._telling.release()

    def _call(self) -> None:
        count, self._called = self._noted - self._called, self._noted
        if count and self._on_drop is not None:
            try:
                self._on_drop(count, self._reason)
            except Exception:
                logger.exception("on_drop failed")

    def _say(self, at_once: bool) -> None:
        count = self._noted - self._said
        if count and (at_once or self.due_s() == 0):
            self._said += count
            self._next_line_s = self._monotonic() + REPORT_S
            # dictConfig, where it is not told otherwise, disables every logger that is there before it ends,
            # so also this one, whose module comes with the handler that it configures.
            logger.disabled = False
            # %r: the reason may hold what somebody sent, and must stay one line.
            logger.warning(
                "logs lost: %d, %d since the start; last reason: %r", count, self._said, self._reason
            )
