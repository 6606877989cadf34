"""What a bridge counts of its own work: plain numbers that only grow, and cost next to nothing to count.

Rates and percentiles are made of two looks at them at different times.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from msgspec import Struct, field

from logbridge.domain.outcome import Accepted, Failed, Outcome, Refused, Unknown

# Upper ends, each included. Close enough together that a percentile between two of them is a fair guess.
SECONDS = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
    0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0,
)  # fmt: skip
ENTRIES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)
FAILURES_MAX = 50
_REASON_CHARACTERS_MAX = 500
_NAME_CHARACTERS_MAX = 100

OUTCOMES = ("accepted", "spooled", "refused", "failed", "unknown")

_Key = TypeVar("_Key", bound=Hashable)


class Distribution(Struct):
    """How many values fell between the bounds, and above the last one. total: their sum."""

    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0.0

    @classmethod
    def of(cls, bounds: tuple[float, ...]) -> "Distribution":
        """An empty one."""
        return cls(bounds, [0] * (len(bounds) + 1))

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: "Distribution") -> None:
        """Count all that another one with the same bounds has counted."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    @property
    def count(self) -> int:
        """Values in all."""
        return sum(self.counts)


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float:
    """The value below which this share (0 to 1) of the values lies, taken as even between two bounds.

    counts: one for each bound, of values up to it, and one for what lies above the last: of that only the
    bound itself is known. 0 without values.
    """
    wanted = share * sum(counts)
    below, seen = 0.0, 0
    for bound, count in zip(bounds, counts, strict=False):
        if count and seen + count >= wanted:
            return below + (bound - below) * (wanted - seen) / count
        below, seen = bound, seen + count
    return below if any(counts) else 0.0


class Waiting(Struct, frozen=True):
    """What waits in a spool. bytes: of all entries. oldest: RFC 3339, when the oldest one came, or "".

    dead: entries that were refused for good and are kept. delivered: entries since the spool was made.
    resent: those that went again though they may have been written, as far as the spool itself counts them.
    damaged: files that were set aside.
    """

    entries: int
    bytes: int
    oldest: str
    dead: int
    delivered: int
    resent: int
    damaged: int = 0


class Failure(Struct):
    """Entries that came to the same end for the same reason. last_s: seconds since 1970, of the last one."""

    outcome: str
    cause: str
    reason: str
    service_name: str
    count: int
    last_s: float


def _entries() -> Distribution:
    return Distribution.of(ENTRIES)


class Counts(Struct):
    """Everything that is counted in one process, or in several together.

    requests: by method, route and status, the seconds until the answer began. refusals: by why, what was
    refused before it was a log, or no request at all. entries: by outcome. causes: of entries that were not
    accepted. batches: entries of each batch that came. calls: by outcome of the last entry, the seconds of
    each attempt to hand entries on. call_entries: how many those were. bytes: of the text of entries that
    came, less those that break a rule. retried: entries that were handed on again. resent: entries of a
    shared spool that this process sent again though they may have been written; a spool on a disk counts its
    own.
    """

    requests: dict[tuple[str, str, int], Distribution] = {}
    refusals: dict[str, int] = {}
    entries: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    causes: dict[str, int] = {}
    batches: Distribution = field(default_factory=_entries)
    calls: dict[str, Distribution] = {}
    call_entries: Distribution = field(default_factory=_entries)
    bytes: int = 0
    retried: int = 0
    resent: int = 0

    def add(self, other: "Counts") -> None:
        """Count all that another process has counted."""
        _add_distributions(self.requests, other.requests)
        _add_distributions(self.calls, other.calls)
        _add_numbers(self.refusals, other.refusals)
        _add_numbers(self.entries, other.entries)
        _add_numbers(self.causes, other.causes)
        self.batches.add(other.batches)
        self.call_entries.add(other.call_entries)
        self.bytes += other.bytes
        self.retried += other.retried
        self.resent += other.resent


def _add_distributions(mine: dict[_Key, Distribution], theirs: Mapping[_Key, Distribution]) -> None:
    for key, distribution in theirs.items():
        mine.setdefault(key, Distribution.of(distribution.bounds)).add(distribution)


def _add_numbers(mine: dict[str, int], theirs: Mapping[str, int]) -> None:
    for name, number in theirs.items():
        mine[name] = mine.get(name, 0) + number


class Measures:
    """Counts as things happen, and remembers the last failures. now_s: gives seconds since 1970.

    connections, tails: int, how many there are now.
    """

    def __init__(self, now_s: Callable[[], float] = lambda: 0.0) -> None:
        self.counts = Counts()
        self.connections = 0
        self.tails = 0
        self._now_s = now_s
        self._failures: OrderedDict[tuple[str, str, str, str], Failure] = OrderedDict()

    @property
    def failures(self) -> list[Failure]:
        """The last kinds of failures, the newest first."""
        return list(reversed(self._failures.values()))

    def request(self, method: str, route: str, status: int, took_s: float) -> None:
        """A request whose answer has begun."""
        key = (method, route, status)
        distribution = self.counts.requests.get(key)
        if distribution is None:
            distribution = self.counts.requests[key] = Distribution.of(SECONDS)
        distribution.observe(took_s)

    def refusal(self, why: str) -> None:
        """Something was refused before it was a log. why: one of a few, or anybody could make up more."""
        self.counts.refusals[why] = self.counts.refusals.get(why, 0) + 1

    def outcome(self, outcome: Outcome, service_name: str) -> None:
        """What became of an entry."""
        if isinstance(outcome, Accepted):
            self.counts.entries["spooled" if outcome.spooled else "accepted"] += 1
        else:
            self._failed(outcome, service_name)

    def _failed(self, outcome: Refused | Failed | Unknown, service_name: str) -> None:
        counts, name, cause = self.counts, _name_of(outcome), outcome.cause.value
        counts.entries[name] += 1
        counts.causes[cause] = counts.causes.get(cause, 0) + 1
        reason, service_name = outcome.reason[:_REASON_CHARACTERS_MAX], service_name[:_NAME_CHARACTERS_MAX]
        key = (name, cause, reason, service_name)
        failure = self._failures.get(key)
        if failure is None:
            failure = self._failures[key] = Failure(name, cause, reason, service_name, 0, 0.0)
            if len(self._failures) > FAILURES_MAX:
                self._failures.popitem(last=False)
        else:
            self._failures.move_to_end(key)
        failure.count += 1
        failure.last_s = self._now_s()

    @contextmanager
    def tail(self) -> Iterator[None]:
        """A client follows new logs."""
        self.tails += 1
        try:
            yield
        finally:
            self.tails -= 1

    def retry(self, entries: int) -> None:
        """So many entries are handed on again."""
        self.counts.retried += entries

    def resent(self, entries: int) -> None:
        """So many entries of a shared spool go again: possible duplicates."""
        self.counts.resent += entries

    def call(self, outcomes: Sequence[Outcome], took_s: float) -> None:
        """An attempt to hand entries on, and what came of it: one outcome or more, the last the newest."""
        name = _name_of(outcomes[-1])
        distribution = self.counts.calls.get(name)
        if distribution is None:
            distribution = self.counts.calls[name] = Distribution.of(SECONDS)
        distribution.observe(took_s)
        self.counts.call_entries.observe(len(outcomes))


def _name_of(outcome: Outcome) -> str:
    if isinstance(outcome, Accepted):
        return "spooled" if outcome.spooled else "accepted"
    if isinstance(outcome, Refused):
        return "refused"
    return "failed" if isinstance(outcome, Failed) else "unknown"
