"""Buckets of time: which ones there are for a question, and that every log is counted once."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.domain.entry import LogEntry, LogLevel
from logbridge.domain.errors import InvalidRequest
from logbridge.domain.histogram import LEVELS, ORIGIN_US, Axis, count_logs
from logbridge.domain.query import BUCKETS_MAX, HistogramQuery
from logbridge.domain.timestamp import epoch_us, rfc3339, rfc3339_utc
from tests.factories import make_entry

NICE_S = {1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400}
MOMENTS = st.one_of(
    st.datetimes(timezones=st.just(UTC)),
    st.datetimes(datetime(2024, 8, 30), datetime(2024, 9, 2), timezones=st.just(UTC)),
)
ENTRIES = st.lists(
    st.builds(
        lambda moment, level, name: make_entry(timestamp=rfc3339(moment), level=level, service_name=name),
        MOMENTS, st.sampled_from(LogLevel), st.sampled_from(("shop", "pay")),
    ),
    max_size=30,
)  # fmt: skip
BUCKETS = st.integers(1, BUCKETS_MAX)


@given(
    entries=ENTRIES,
    buckets=BUCKETS,
    name=st.sampled_from(("", "shop")),
    bounds=st.tuples(MOMENTS, MOMENTS),
    bounded=st.tuples(st.booleans(), st.booleans()),
)
def test_a_histogram_equals_counting_one_by_one(
    entries: list[LogEntry],
    buckets: int,
    name: str,
    bounds: tuple[datetime, datetime],
    bounded: tuple[bool, bool],
) -> None:
    """Each matching log is in the one bucket of its time, at its level; there are no more than asked for."""
    start, end = (rfc3339(bound) if given else "" for bound, given in zip(bounds, bounded, strict=True))
    query = HistogramQuery(service_name=name, start_time=start, end_time=end, buckets=buckets)
    found = count_logs(query, entries)
    assert len(found.counts) <= buckets
    matching = [entry for entry in entries if query.matches(entry)]
    assert found.total_count == len(matching)
    moments = [epoch_us(entry.timestamp) for entry in matching]
    for number, counts in enumerate(found.counts):
        begin_us = found.first_us + number * found.bucket_us
        for level, count in zip(LEVELS, counts, strict=True):
            inside = [
                entry
                for entry, moment in zip(matching, moments, strict=True)
                if entry.level is level and begin_us <= moment < begin_us + found.bucket_us
            ]
            assert count == len(inside)
    if moments and not start and not end:
        assert (found.start_us, found.end_us) == (min(moments), max(moments))


@given(bounds=st.tuples(MOMENTS, MOMENTS), buckets=BUCKETS)
def test_buckets_are_aligned_and_cover_the_range(bounds: tuple[datetime, datetime], buckets: int) -> None:
    """The first bucket holds the start, the last one the end; lengths are those that people expect."""
    start_us, end_us = sorted(epoch_us(rfc3339(bound)) for bound in bounds)
    found = Axis.over(start_us, end_us, buckets).filled({})
    assert found.first_us <= start_us < found.first_us + found.bucket_us
    last_us = found.first_us + (len(found.counts) - 1) * found.bucket_us
    assert last_us <= end_us < last_us + found.bucket_us
    assert found.bucket_us // 1_000_000 in NICE_S or found.bucket_us % (86_400 * 1_000_000) == 0
    assert (found.first_us - ORIGIN_US) % found.bucket_us == 0


@pytest.mark.parametrize(
    ("seconds", "buckets", "length_s", "first"),
    [
        (59, 60, 1, "10:30:45"),
        (60, 60, 2, "10:30:44"),
        (3600, 60, 120, "10:30:00"),
        (86_400, 60, 1800, "10:30:00"),
        (86_400, 30, 3600, "10:00:00"),
        (10 * 86_400, 60, 21_600, "06:00:00"),
        (59 * 86_400, 60, 86_400, "00:00:00"),
    ],
)
def test_lengths_that_people_read_at_a_glance(seconds: int, buckets: int, length_s: int, first: str) -> None:
    """Buckets are whole seconds, minutes, hours or days, and begin where a clock would show it."""
    start = datetime(2024, 8, 30, 10, 30, 45, tzinfo=UTC)
    found = Axis.over(
        *(epoch_us(rfc3339(moment)) for moment in (start, start + timedelta(seconds=seconds))), buckets
    ).filled({})
    assert (found.bucket_us, rfc3339_utc(found.first_us)[11:19]) == (length_s * 1_000_000, first)


@pytest.mark.parametrize("buckets", [0, 201, -1])
def test_too_few_or_too_many_buckets(buckets: int) -> None:
    """1 to 200 buckets may be asked for; anything else names the field."""
    with pytest.raises(InvalidRequest, match="buckets"):
        HistogramQuery(buckets=buckets)
