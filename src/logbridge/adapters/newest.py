"""The newest logs of several sources together, where each can only be asked for its own."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import QueryNotSupported
from logbridge.domain.query import LIMIT_MAX, LogPage, LogQuery
from logbridge.domain.timestamp import epoch_us

# Each source gives its first offset + limit entries, and all of them are in memory.
MERGED_ENTRIES_MAX = 10_000


def check_depth(query: LogQuery, why: str) -> None:
    """Raises QueryNotSupported if merging it takes too many entries. why: how the sources can be asked."""
    if query.offset + query.limit > MERGED_ENTRIES_MAX:
        raise QueryNotSupported(f"{why}, or stay within offset + limit = {MERGED_ENTRIES_MAX}")


async def newest(ask: Callable[[LogQuery], Awaitable[LogPage]], query: LogQuery) -> LogPage:
    """The first offset + limit entries of one source, page by page. Raises what ask raises."""
    needed = query.offset + query.limit
    entries: list[LogEntry] = []
    while True:
        limit = min(needed - len(entries), LIMIT_MAX)
        page = await ask(msgspec.structs.replace(query, offset=len(entries), limit=limit))
        entries += page.entries
        if not page.entries or len(entries) >= min(needed, page.total_count):
            return LogPage(entries, page.total_count)


def merge(pages: Sequence[LogPage], query: LogQuery, missing: Sequence[str] = ()) -> LogPage:
    """The page that was asked for, of what ``newest`` gave for each source."""
    entries = [entry for page in pages for entry in page.entries]
    # Stable: of one moment, each source's own order.
    entries.sort(key=_moment_us, reverse=True)
    total = sum(page.total_count for page in pages)
    return LogPage(entries[query.offset : query.offset + query.limit], total, tuple(missing))


def _moment_us(entry: LogEntry) -> int:
    try:
        return epoch_us(entry.timestamp)
    except (ValueError, OverflowError):
        return 0  # a peer may have stored anything
