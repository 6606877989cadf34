"""What time it is, and new ids, which begin with it."""

import time

import uuid_utils

from logbridge.domain.timestamp import rfc3339_utc


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def utc_now() -> str:
    """Now as RFC 3339 with microseconds."""
    return rfc3339_utc(now_us())


def new_id() -> str:
    """A new UUIDv7."""
    return str(uuid_utils.uuid7())
