"""All logs of a filter, page by page: each at most once, and none missing that was there at the start."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from logbridge.domain.errors import InvalidRequest, ReaderUnavailable
from logbridge.domain.query import LIMIT_MAX, LogFilter, LogPage, LogQuery
from logbridge.domain.timestamp import epoch_us

EXPORT_DEFAULT = 100_000
EXPORT_MAX = 1_000_000

_Key = tuple[str, str]


class Stored(Protocol):
    """What of a stored log tells its place among others."""

    @property
    def id(self) -> str: ...
    @property
    def service_name(self) -> str: ...
    @property
    def timestamp(self) -> str: ...


L = TypeVar("L", bound=Stored)


class Place:
    """Where in the logs of a filter, newest first, the next page begins; ask ``query``, then ``take`` its
    logs.

    The place is a time, not an offset: logs that are written or removed meanwhile move no other out of sight.
    What is written meanwhile may be among them or not. In memory are the ids of the logs of one microsecond.
    limit: the most logs to take. page_max: the most of one page. more: False when all were taken.
    """

    def __init__(self, which: LogFilter, limit: int, page_max: int = LIMIT_MAX) -> None:
        self.more = limit > 0
        self._which = which
        self._left = limit
        self._page_max = page_max
        self._moment, self._offset = which.end_time, 0
        # The logs of that moment which were given, and whether the next page is to begin with one of them.
        self._given: set[_Key] = set()
        self._overlaps = False

    def query(self) -> LogQuery:
        """The question for the next page. Raises ReaderUnavailable if a log before it has no valid time."""
        # One log comes again, and shows that none was passed over: a page of two at least.
        page = max(2, min(self._page_max, self._left + 1))
        return _query(self._which, self._moment, self._offset, page)

    def take(self, logs: Sequence[L], total_count: int) -> list[L] | None:
        """Those of the answer that were not given yet; None if the same is to be asked once more."""
        if self._overlaps and (not logs or _key(logs[0]) not in self._given):
            # Logs of this moment went meanwhile, and others are where they were: look through all of them.
            self._offset, self._overlaps = 0, False
            return None
        fresh = [log for log in logs if _key(log) not in self._given][: self._left]
        self._left -= len(fresh)
        self.more = bool(self._left and logs) and self._offset + len(logs) < total_count
        if self.more:
            self._move_past(logs)
        return fresh

    def _move_past(self, logs: Sequence[L]) -> None:
        last = logs[-1].timestamp
        if not self._moment or not _same(last, self._moment):
            self._given = set()
            self._moment, self._offset = last, -sum(not _same(log.timestamp, last) for log in logs)
        self._given.update(_key(log) for log in logs if _same(log.timestamp, self._moment))
        self._overlaps = len(logs) > 1
        self._offset += len(logs) - self._overlaps


async def every_page(
    which: LogFilter, limit: int, ask: Callable[[LogQuery], Awaitable[LogPage]]
) -> AsyncGenerator[LogPage, None]:
    """Up to ``limit`` logs, newest first; always a first page, whose total_count is of all that match.

    In memory is one page, and what a Place has. Raises what ask raises, and ReaderUnavailable where one of
    several log services is missing: what is kept as all logs is to be all.
    """
    place = Place(which, limit)
    while place.more:
        page = await ask(place.query())
        if page.missing:
            raise ReaderUnavailable(f"not all logs can be read now: {'; '.join(page.missing)}")
        fresh = place.take(page.entries, page.total_count)
        if fresh is not None:
            yield LogPage(fresh, page.total_count)


def _query(which: LogFilter, moment: str, offset: int, limit: int) -> LogQuery:
    fields = msgspec.structs.asdict(which) | {"end_time": moment, "offset": offset, "limit": limit}
    try:
        return LogQuery(**fields)
    except InvalidRequest as error:  # a log service of another make may have stored anything
        raise ReaderUnavailable(f"the log service gave a log whose time is none: {error.reason}") from None


def _key(log: Stored) -> _Key:
    return log.service_name, log.id


def _same(one: str, other: str) -> bool:
    try:
        return one == other or epoch_us(one) == epoch_us(other)
    except ValueError:
        return False
