"""Buckets of time: how long they are for a question, and logs counted into them."""

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from logbridge.domain.entry import LogEntry, LogLevel
from logbridge.domain.query import HistogramQuery, LogHistogram
from logbridge.domain.timestamp import epoch_us

LEVELS = tuple(LogLevel)

_SECOND_US = 1_000_000
_DAY_S = 86_400
# Lengths that people read at a glance. Those of hours divide a day: midnight (UTC) is always a border.
_LENGTHS_S = (
    *(1, 2, 5, 10, 15, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3600 * hours for hours in (1, 2, 3, 6, 12)),
    *(_DAY_S * days for days in (1, 2, 5, 10, 15, 30)),
    *(_DAY_S * first * 10**zeros for zeros in range(2, 7) for first in (1, 2, 5)),
)
# Where buckets are counted from: a day before the year 1 in UTC. With any offset no time is earlier. Of the
# longest buckets one holds all times.
ORIGIN_US = -62_135_683_200 * _SECOND_US


class Axis(Struct, frozen=True):
    """The buckets of an answer: bucket_us long, from the one of start_us to the one of end_us."""

    start_us: int
    end_us: int
    bucket_us: int

    @classmethod
    def over(cls, start_us: int, end_us: int, buckets_max: int) -> "Axis":
        """The shortest buckets of which no more than buckets_max are needed."""
        lengths_us = (length_s * _SECOND_US for length_s in _LENGTHS_S)
        bucket_us = next(each for each in lengths_us if _count(start_us, end_us, each) <= buckets_max)
        return cls(start_us, end_us, bucket_us)

    @property
    def first(self) -> int:
        """The number of the first bucket, counted from ORIGIN_US."""
        return (self.start_us - ORIGIN_US) // self.bucket_us

    def filled(self, counted: Mapping[tuple[int, int], int]) -> LogHistogram:
        """The answer. counted: by number of a bucket (counted from ORIGIN_US) and level."""
        numbers = range(self.first, self.first + _count(self.start_us, self.end_us, self.bucket_us))
        counts = [tuple(counted.get((number, level), 0) for level in LEVELS) for number in numbers]
        first_us = ORIGIN_US + self.first * self.bucket_us
        return LogHistogram(self.start_us, self.end_us, self.bucket_us, first_us, counts)


def _count(start_us: int, end_us: int, bucket_us: int) -> int:
    return (end_us - ORIGIN_US) // bucket_us - (start_us - ORIGIN_US) // bucket_us + 1


def asked_range(query: HistogramQuery) -> tuple[int | None, int | None]:
    """The range of time that a question names, None where it does not; microseconds since 1970."""
    start_us = epoch_us(query.start_time) if query.start_time else None
    return start_us, epoch_us(query.end_time) if query.end_time else None


def axis_of(query: HistogramQuery, oldest_us: int | None, newest_us: int | None) -> Axis | None:
    """The buckets for a question, when the oldest and the newest log that match are known; None for none."""
    start_us, end_us = asked_range(query)
    start_us = oldest_us if start_us is None else start_us
    end_us = newest_us if end_us is None else end_us
    if start_us is None or end_us is None or start_us > end_us:
        return None
    return Axis.over(start_us, end_us, query.buckets)


def nothing_found(query: HistogramQuery) -> LogHistogram:
    """The answer without a bucket: nothing matches, and no range of time was asked for."""
    start_us, end_us = asked_range(query)
    return LogHistogram(start_us, end_us, _LENGTHS_S[0] * _SECOND_US, 0, [])


def count_logs(query: HistogramQuery, entries: Iterable[LogEntry]) -> LogHistogram:
    """The answer, from all the logs that there are."""
    found = [(epoch_us(entry.timestamp), entry.level) for entry in entries if query.matches(entry)]
    moments = [moment for moment, _ in found]
    axis = axis_of(query, min(moments, default=None), max(moments, default=None))
    if axis is None:
        return nothing_found(query)
    return axis.filled(
        Counter(((moment - ORIGIN_US) // axis.bucket_us, int(level)) for moment, level in found)
    )
