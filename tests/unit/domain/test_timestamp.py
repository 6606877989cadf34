from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logbridge.domain.timestamp import _any_epoch_us, epoch_us, rfc3339


@given(st.datetimes(timezones=st.timezones()))
def test_round_trip(moment: datetime) -> None:
    """Every aware time survives being written and read, to the microsecond."""
    try:
        expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        text = rfc3339(moment)
    except OverflowError:
        return  # an offset pushed it over the ends of the calendar
    assert epoch_us(text) == expected


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2024-08-30T10:30:45Z", "2024-08-30T12:30:45+02:00"),
        ("2024-08-30t10:30:45.5z", "2024-08-30 10:30:45.500000000Z"),
        ("2024-08-30T10:30:45.1234569Z", "2024-08-30T10:30:45.123456Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2024-08-30T10:30:45-03:30", "2024-08-30T14:00:45Z"),
    ],
)
def test_same_moment(text: str, same: str) -> None:
    """Offsets, letter case, fractions and leap seconds are read as RFC 3339 says."""
    assert epoch_us(text) == epoch_us(same)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2024-08-30",
        "2024-08-30T10:30:45",
        "2024-13-01T00:00:00Z",
        "2024-02-30T00:00:00Z",
        "2024-08-30T25:00:00Z",
        "2024-08-30T10:30:45+24:00",
        "2024-08-30T10:30:45Z\n",
        "２０２４-08-30T10:30:45Z",
        "2024-08-30T10:30:45." + "1" * 100 + "Z",
    ],
)
def test_refused(text: str) -> None:
    """What is no RFC 3339 time with an offset is refused with a reason."""
    with pytest.raises(ValueError, match=r"."):
        epoch_us(text)


def test_naive_is_local_and_seconds_in_offsets_vanish() -> None:
    """A naive time is local time; an offset with seconds is rounded, the moment is kept."""
    naive = datetime(2024, 8, 30, 10, 30)
    assert epoch_us(rfc3339(naive)) == int(naive.timestamp() * 1_000_000)
    odd = datetime(1890, 1, 1, tzinfo=timezone(timedelta(hours=1, seconds=17)))
    assert epoch_us(rfc3339(odd)) == (odd - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


NEARLY = st.from_regex(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
    r"(\.[0-9]{1,9})?([Zz]|[+-][0-2][0-9]:[0-7][0-9]|)",
    fullmatch=True,
)


def read(epoch: Callable[[str], int], text: str) -> int | str:
    try:
        return epoch(text)
    except (ValueError, OverflowError) as error:
        return f"{type(error)}: {error}"


@given(NEARLY)
@example("0001-01-01T00:00:00+23:59")
@example("9999-12-31T23:59:59.999999-23:59")
@example("0000-01-01T00:00:00Z")
@example("2023-02-29T00:00:00.123Z")
@example("2024-08-30T10:30:45+00:00\n")
@example("2024-08-30T24:00:00Z")
def test_common_times_are_read_like_any_other(text: str) -> None:
    """The quick way gives the same moment, or the same reason, as the one that knows all of RFC 3339."""
    assert read(epoch_us, text) == read(_any_epoch_us, text)
