"""Questions about stored logs, and their answers."""

from typing import Annotated, Self

import msgspec
from msgspec import Meta, Struct

from logbridge.domain.entry import LogEntry, LogLevel
from logbridge.domain.errors import InvalidRequest, ServiceForbidden
from logbridge.domain.timestamp import epoch_us

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
OFFSET_MAX = 2**31 - 1  # int32 on the wire
SEQUENCE_MAX = 2**63 - 1  # int64 on the wire, and in a store
BUCKETS_DEFAULT = 60
BUCKETS_MAX = 200
# A page ends early rather than grow past this: 1,000 entries of 256 KiB would be 256 MiB.
PAGE_BYTES_MAX = 3 * 1024 * 1024


class LogFilter(Struct, frozen=True, kw_only=True):
    """Which logs: all that are given must hold, an empty one holds for every log.

    start_time and end_time: RFC 3339, both included. text: found in the message, letter case ignored.
    services: whose logs the caller may see at all; service_name asks within them.
    Raises InvalidRequest for a time that is none.
    """

    service_name: str = ""
    services: frozenset[str] = frozenset()
    level: LogLevel | None = None
    start_time: str = ""
    end_time: str = ""
    trace_id: str = ""
    metadata: dict[str, str] = {}
    text: str = ""

    def __post_init__(self) -> None:
        for name in ("start_time", "end_time"):
            value = getattr(self, name)
            try:
                _ = value and epoch_us(value)
            except (ValueError, OverflowError) as error:
                raise InvalidRequest(f"$.{name}", f"{error}, got {value[:40]!r}") from None

    def within(self, services: frozenset[str]) -> Self:
        """The same question, narrowed to the logs of these services; empty for any.

        Raises ServiceForbidden if it asks for another one by name.
        """
        if not services:
            return self
        allowed = services & self.services if self.services else services
        asked = self.service_name
        if not allowed or (asked and asked not in allowed):
            raise ServiceForbidden(asked or ", ".join(sorted(self.services)), services)
        if asked or (len(allowed) == 1 and "" not in allowed):
            # Every peer understands one service.
            only = asked or next(iter(allowed))
            return msgspec.structs.replace(self, service_name=only, services=frozenset())
        return msgspec.structs.replace(self, services=allowed)

    def matches(self, entry: LogEntry) -> bool:
        """Whether an entry is one of those asked for."""
        return (
            self.service_name in ("", entry.service_name)
            and (not self.services or entry.service_name in self.services)
            and self.level in (None, entry.level)
            and self.trace_id in ("", entry.trace_id)
            and self.metadata.items() <= entry.metadata.items()
            and self.text.casefold() in entry.message.casefold()
            and self._in_time(entry.timestamp)
        )

    def _in_time(self, timestamp: str) -> bool:
        if not self.start_time and not self.end_time:
            return True
        moment = epoch_us(timestamp)
        after_start = not self.start_time or moment >= epoch_us(self.start_time)
        return after_start and (not self.end_time or moment <= epoch_us(self.end_time))


class LogQuery(LogFilter, frozen=True, kw_only=True):
    """One page of the logs of a filter, newest first. limit: 1 to 1,000. offset: entries to pass over."""

    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    offset: Annotated[int, Meta(ge=0, le=OFFSET_MAX)] = 0

    def __post_init__(self) -> None:
        super(LogQuery, self).__post_init__()  # noqa: UP008 (a Struct class is made twice, zero-argument super breaks)
        if not 1 <= self.limit <= LIMIT_MAX:
            raise InvalidRequest("$.limit", f"expected 1 to {LIMIT_MAX}, got {self.limit}")
        if not 0 <= self.offset <= OFFSET_MAX:
            raise InvalidRequest("$.offset", f"expected 0 to {OFFSET_MAX}, got {self.offset}")


class LogPage(Struct, frozen=True):
    """Entries, newest first, and how many match in all.

    A page may hold fewer than the limit before the end (it stops at 3 MiB of text): the next one starts at
    offset + len(entries), until that reaches total_count. missing: of several log services those whose logs
    are not in it, each with the reason.
    """

    entries: list[LogEntry]
    total_count: int
    missing: tuple[str, ...] = ()


class Followed(Struct, frozen=True):
    """A stored entry and its place in the store; without an entry, the place where a follow starts.

    sequence: of one store up to SEQUENCE_MAX, of several a larger number that has a place in each.
    """

    sequence: int
    entry: LogEntry | None = None


def check_place(after: int | None) -> None:
    """For a reader of one store. Raises InvalidRequest for a place that cannot be in it."""
    if after is not None and after > SEQUENCE_MAX:
        raise InvalidRequest("Last-Event-ID", f"expected a place in this log service, got {str(after)[:40]}")


class HistogramQuery(LogFilter, frozen=True, kw_only=True):
    """How many logs of a filter there are over time, by level. buckets: 1 to 200, the most that there may be.

    Without a start_time or an end_time the oldest or the newest log that matches takes its place.
    """

    buckets: Annotated[int, Meta(ge=1, le=BUCKETS_MAX)] = BUCKETS_DEFAULT

    def __post_init__(self) -> None:
        super(HistogramQuery, self).__post_init__()  # noqa: UP008 (as in LogQuery)
        if not 1 <= self.buckets <= BUCKETS_MAX:
            raise InvalidRequest("$.buckets", f"expected 1 to {BUCKETS_MAX}, got {self.buckets}")


class LogHistogram(Struct, frozen=True):
    """Counts of logs in buckets of equal length, empty ones included, and of each level in each bucket.

    start_us, end_us: microseconds since 1970, what was asked for or the oldest and newest log; None where
    nothing says it. first_us: where the first bucket begins, at start_us or before. counts: for each bucket a
    number for each level, DEBUG first. missing: as in LogPage.
    """

    start_us: int | None
    end_us: int | None
    bucket_us: int
    first_us: int
    counts: list[tuple[int, ...]]
    missing: tuple[str, ...] = ()

    @property
    def total_count(self) -> int:
        """Logs in all buckets together."""
        return sum(map(sum, self.counts))
