"""The pulse of a bridge: what it counted in each of the last seconds, of which rates and charts are made."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from logbridge.domain.measures import OUTCOMES, SECONDS, Counts

HISTORY_S = 300
LATE_BEATS = 3


class Second(Struct):
    """What came in one second, or in several together. at_s: its beginning, in seconds since 1970.

    entries: in the order of OUTCOMES. bytes: of the text of logs. latencies: of writes, by the bounds of
    SECONDS.
    """

    at_s: int
    entries: list[int]
    requests: int
    bytes: int
    latencies: list[int]

    def add(self, other: "Second") -> None:
        """Count what another process counted in the same second."""
        self.entries = _sums(self.entries, other.entries)
        self.requests += other.requests
        self.bytes += other.bytes
        self.latencies = _sums(self.latencies, other.latencies)


class Pulse:
    """Looks at the counts once a second, and keeps what has come since. writes: the routes that write."""

    def __init__(self, counts: Counts, writes: Collection[str]) -> None:
        self._counts = counts
        self._writes = frozenset(writes)
        self._before = self._look(0)
        self.history: deque[Second] = deque(maxlen=HISTORY_S)

    def beat(self, end_s: int) -> None:
        """The second that ends then is over."""
        look, before = self._look(end_s - 1), self._before
        self._before = look
        self.history.append(
            Second(
                look.at_s,
                _differences(look.entries, before.entries),
                look.requests - before.requests,
                look.bytes - before.bytes,
                _differences(look.latencies, before.latencies),
            )
        )

    def _look(self, at_s: int) -> Second:
        requests, latencies = 0, [0] * (len(SECONDS) + 1)
        for (_, route, _), distribution in self._counts.requests.items():
            requests += distribution.count
            if route in self._writes:
                latencies = _sums(latencies, distribution.counts)
        entries = [self._counts.entries[name] for name in OUTCOMES]
        return Second(at_s, entries, requests, self._counts.bytes, latencies)


def merged(histories: Iterable[Iterable[Second]]) -> list[Second]:
    """The seconds of several processes as those of one, oldest first."""
    seconds: dict[int, Second] = {}
    for history in histories:
        for second in history:
            if second.at_s not in seconds:
                seconds[second.at_s] = _empty(second.at_s)
            seconds[second.at_s].add(second)
    return [seconds[at_s] for at_s in sorted(seconds)]


def told_until_s(ends: Iterable[int], told: Collection[int], now_s: float) -> int:
    """The end of the last whole second that every process has told of.

    ends: of the last one that each has told of. told: the beginnings of all that any has told of. Who has
    said nothing of LATE_BEATS of them hangs, and is not waited for. Their number counts, not the time: where
    the machine stood still, all are late alike.
    """
    known = [end_s for end_s in ends if end_s <= now_s]
    awaited = [end_s for end_s in known if sum(end_s <= at_s < now_s for at_s in told) < LATE_BEATS]
    return min(awaited, default=int(now_s))


def window(history: Iterable[Second], until_s: int, length_s: int) -> Second:
    """All that came in the last so many seconds before ``until_s``, together."""
    together = _empty(until_s - length_s)
    for second in history:
        if together.at_s <= second.at_s < until_s:
            together.add(second)
    return together


def _empty(at_s: int) -> Second:
    return Second(at_s, [0] * len(OUTCOMES), 0, 0, [0] * (len(SECONDS) + 1))


def by_outcome(second: Second) -> Mapping[str, int]:
    """Its entries by the names of their outcomes."""
    return dict(zip(OUTCOMES, second.entries, strict=True))


def _sums(mine: Iterable[int], theirs: Iterable[int]) -> list[int]:
    return [a + b for a, b in zip(mine, theirs, strict=True)]


def _differences(now: Iterable[int], before: Iterable[int]) -> list[int]:
    return [a - b for a, b in zip(now, before, strict=True)]
