"""RFC 3339 times: read, checked and ordered, without losing what the caller wrote."""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)
# What nearly every log has, and fromisoformat() reads as RFC 3339 means it, at a tenth of the cost.
_COMMON = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{3}(?:\d{3})?)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS_MAX = 40


def epoch_us(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 date-time; finer digits are cut off.

    A leap second (``:60``, RFC 3339 section 5.6) counts as the first second of the next minute.
    Raises ValueError with the reason if the text is not an RFC 3339 date-time with an offset.
    """
    if _COMMON.fullmatch(text):
        try:
            since = datetime.fromisoformat(text) - _EPOCH
        except ValueError:
            pass  # no such day: told below
        else:
            return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return _any_epoch_us(text)


def _any_epoch_us(text: str) -> int:
    match = _RFC3339.fullmatch(text) if len(text) <= _DIGITS_MAX else None
    if match is None:
        raise ValueError("expected an RFC 3339 time with an offset, such as 2024-08-30T10:30:45.123Z")
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    fraction, utc, sign, offset_hours, offset_minutes = match.group(7, 8, 9, 10, 11)
    leap = second == 60
    moment = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    since = moment - _EPOCH + timedelta(seconds=leap, microseconds=micros)
    if not utc:
        since -= _offset(sign, int(offset_hours), int(offset_minutes))
    return since // timedelta(microseconds=1)


def _offset(sign: str, hours: int, minutes: int) -> timedelta:
    if hours > 23 or minutes > 59:
        raise ValueError(f"an offset of {sign}{hours:02}:{minutes:02} does not exist")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if sign == "-" else offset


def rfc3339_utc(us: int) -> str:
    """Microseconds since 1970 as RFC 3339 in UTC, for example ``2024-08-30T10:30:45.123456+00:00``."""
    second, micros = divmod(us, 1_000_000)
    return f"{_second_utc(second)}.{micros:06}+00:00"


def nearest_rfc3339(us: int) -> str:
    """As rfc3339_utc(), of the nearest moment in the years 1 to 9999.

    The offset of a log may put its time a day beyond what RFC 3339 can write in UTC.
    """
    return rfc3339_utc(min(max(us, _FIRST_US), _LAST_US))


def rfc3339_ns_utc(ns: int) -> str:
    """Nanoseconds since 1970 as RFC 3339 in UTC: as rfc3339_utc(), with nine digits where six are too few.

    Raises OverflowError after the year 9999.
    """
    us, nanos = divmod(ns, 1000)
    if not nanos:
        return rfc3339_utc(us)
    second, micros = divmod(us, 1_000_000)
    return f"{_second_utc(second)}.{micros:06}{nanos:03}+00:00"


def epoch_ns(text: str) -> int:
    """As epoch_us(), in nanoseconds; finer digits are cut off."""
    us = epoch_us(text)
    digits = _FRACTION.search(text)
    return us * 1000 + int(digits[1].ljust(3, "0") if digits else 0)


# What epoch_us() cuts off.
_FRACTION = re.compile(r"\.\d{6}(\d{1,3})", re.ASCII)


@lru_cache(maxsize=8)
def _second_utc(second: int) -> str:
    # Thousands of logs arrive in a second: all of them share this part.
    # Not strftime(): it writes the year 1 as "1".
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat()


def rfc3339(moment: datetime) -> str:
    """An aware datetime as RFC 3339 with microseconds; a naive one is taken as local time."""
    aware = moment if moment.tzinfo else moment.astimezone()
    return aware.astimezone(_whole_minutes(aware)).isoformat(timespec="microseconds")


def _whole_minutes(moment: datetime) -> timezone:
    # RFC 3339 knows offsets in whole minutes only; old local times have seconds in theirs.
    offset = moment.utcoffset() or timedelta()
    return timezone(timedelta(minutes=round(offset.total_seconds() / 60)))


_FIRST_US, _LAST_US = epoch_us("0001-01-01T00:00:00Z"), epoch_us("9999-12-31T23:59:59.999999Z")
