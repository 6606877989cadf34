"""The newest logs of several sources together, where each can only be asked for its own."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate, takewhile

import msgspec

from logbridge.domain.entry import LogEntry, text_bytes
from logbridge.domain.errors import QueryNotSupported
from logbridge.domain.query import LIMIT_MAX, PAGE_BYTES_MAX, LogPage, LogQuery
from logbridge.domain.timestamp import epoch_us

# Each source gives its first offset + limit entries, and all are in memory: so many, and so much text.
MERGED_ENTRIES_MAX = 10_000
MERGED_BYTES_MAX = 16 * 1024 * 1024


def check_depth(query: LogQuery, why: str) -> None:
    """Raises QueryNotSupported if merging it takes too many entries. why: how the sources can be asked."""
    if query.offset + query.limit > MERGED_ENTRIES_MAX:
        raise QueryNotSupported(f"{why}, or stay within offset + limit = {MERGED_ENTRIES_MAX}")


async def newest(ask: Callable[[LogQuery], Awaitable[LogPage]], query: LogQuery) -> LogPage:
    """The first offset + limit entries of one source, page by page; fewer beyond MERGED_BYTES_MAX.

    Raises what ask raises.
    """
    needed = query.offset + query.limit
    entries: list[LogEntry] = []
    size_bytes = 0
    while True:
        limit = min(needed - len(entries), LIMIT_MAX)
        page = await ask(msgspec.structs.replace(query, offset=len(entries), limit=limit))
        entries += page.entries
        size_bytes += sum(map(text_bytes, page.entries))
        enough = len(entries) >= min(needed, page.total_count) or size_bytes > MERGED_BYTES_MAX
        if enough or not page.entries:
            return LogPage(entries, page.total_count)


def merge(pages: Sequence[LogPage], query: LogQuery, missing: Sequence[str] = ()) -> LogPage:
    """The page that was asked for, of what ``newest`` gave for each source.

    Raises QueryNotSupported if what comes before it is too much text to be merged.
    """
    needed, total = query.offset + query.limit, sum(page.total_count for page in pages)
    places = [
        (-_moment_us(entry), source, entry) for source, page in enumerate(pages) for entry in page.entries
    ]
    # Stable: of one moment the sources in turn, and of each its own order.
    places.sort(key=lambda place: place[:2])
    # Of a source that gave less than it has, nobody knows what comes after its last entry.
    ends = [
        (-_moment_us(page.entries[-1]), source)
        for source, page in enumerate(pages)
        if page.entries and len(page.entries) < min(needed, page.total_count)
    ]
    known = [entry for *place, entry in places if not ends or tuple(place) <= min(ends)]
    found = _within_bytes(known[query.offset : needed])
    if not found and query.offset < total and known:
        raise QueryNotSupported("what comes before this offset is too much to be merged: narrow the time")
    return LogPage(found, total, tuple(missing))


def _within_bytes(entries: Sequence[LogEntry]) -> list[LogEntry]:
    """As many as a page may have, at least one."""
    sizes = accumulate(map(text_bytes, entries))
    count = sum(1 for _ in takewhile(lambda size_bytes: size_bytes <= PAGE_BYTES_MAX, sizes))
    return [*entries[: max(count, 1)]]


def _moment_us(entry: LogEntry) -> int:
    try:
        return epoch_us(entry.timestamp)
    except (ValueError, OverflowError):
        return 0  # a peer may have stored anything
