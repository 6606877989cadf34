"""When the place of a worker that has ended is filled again."""

import math

# A worker that ends again and again does so after pauses that grow up to this.
PAUSE_S_MAX = 30.0
# Without an end for so long, all is forgotten.
QUIET_S = 60.0
_DOUBLINGS_MAX = 10


class Restarts:
    """The first end is made good at once, the next ones after 1, 2, 4 … seconds.

    Times are seconds that never go back. not_before_s: no worker is to start sooner.
    """

    def __init__(self) -> None:
        self.not_before_s = 0.0
        self._row = 0
        self._last_s = -math.inf

    def ended(self, began_s: float, now_s: float) -> float:
        """A worker that began then has ended now; seconds until the next one may start.

        Only one that began after the last counted end counts: several that end together do not add up.
        """
        if now_s - self._last_s > QUIET_S:
            self._row = 0
        if began_s >= self._last_s:
            pause_s = min(PAUSE_S_MAX, 2.0 ** (self._row - 1)) if self._row else 0.0
            self._row = min(self._row + 1, _DOUBLINGS_MAX)
            self._last_s = now_s
            self.not_before_s = now_s + pause_s
        return max(0.0, self.not_before_s - now_s)
