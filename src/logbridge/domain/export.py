"""All logs of a filter, page by page: each at most once, and none missing that was there at the start."""

from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec

from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import InvalidRequest, ReaderUnavailable
from logbridge.domain.query import LIMIT_MAX, LogFilter, LogPage, LogQuery
from logbridge.domain.timestamp import epoch_us

EXPORT_DEFAULT = 100_000
EXPORT_MAX = 1_000_000

_Key = tuple[str, str]


async def every_page(
    which: LogFilter, limit: int, ask: Callable[[LogQuery], Awaitable[LogPage]]
) -> AsyncGenerator[LogPage, None]:
    """Up to ``limit`` logs, newest first; always a first page, whose total_count is of all that match.

    The place is a time, not an offset: logs that are written or removed meanwhile move no other out of sight.
    What is written while it runs may be among them or not. In memory are one page, and the ids of the logs of
    one microsecond. Raises what ask raises.
    """
    moment, offset, left = which.end_time, 0, limit
    # The logs of that moment which were given, and whether the next page is to begin with one of them.
    given: set[_Key] = set()
    overlaps = False
    while True:
        page = await ask(_query(which, moment, offset, min(LIMIT_MAX, left + 1)))
        entries = page.entries
        if overlaps and (not entries or _key(entries[0]) not in given):
            # Logs of this moment went meanwhile, and others are where they were: look through all of them.
            offset, overlaps = 0, False
            continue
        fresh = [entry for entry in entries if _key(entry) not in given][:left]
        yield LogPage(fresh, page.total_count)
        left -= len(fresh)
        if not left or not entries or offset + len(entries) >= page.total_count:
            return
        last = entries[-1].timestamp
        if not moment or not _same(last, moment):
            given, before = set(), sum(not _same(entry.timestamp, last) for entry in entries)
            moment, offset = last, -before
        given.update(_key(entry) for entry in entries if _same(entry.timestamp, moment))
        # One log comes again, and shows that none was passed over.
        overlaps = len(entries) > 1
        offset += len(entries) - overlaps


def _query(which: LogFilter, moment: str, offset: int, limit: int) -> LogQuery:
    fields = msgspec.structs.asdict(which) | {"end_time": moment, "offset": offset, "limit": limit}
    try:
        return LogQuery(**fields)
    except InvalidRequest as error:  # a log service of another make may have stored anything
        raise ReaderUnavailable(f"the log service gave a log whose time is none: {error.reason}") from None


def _key(entry: LogEntry) -> _Key:
    return entry.service_name, entry.id


def _same(one: str, other: str) -> bool:
    try:
        return one == other or epoch_us(one) == epoch_us(other)
    except ValueError:
        return False
