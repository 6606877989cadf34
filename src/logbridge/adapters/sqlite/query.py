"""Questions to the SQLite store: filters as SQL with bound parameters, pages, what came after."""

import sqlite3
from collections.abc import Iterable

from logbridge.adapters.sqlite.file import ENTRY_COLUMNS, Row, metadata_json, searchable, to_entry
from logbridge.domain.entry import LogEntry, text_bytes
from logbridge.domain.histogram import ORIGIN_US, asked_range, axis_of, nothing_found
from logbridge.domain.query import (
    PAGE_BYTES_MAX,
    Followed,
    HistogramQuery,
    LogFilter,
    LogHistogram,
    LogPage,
    LogQuery,
)
from logbridge.domain.timestamp import epoch_us

FOLLOW_PAGE_ENTRIES_MAX = 500
_TRIGRAM = 3

Condition = tuple[str, tuple[object, ...]]

_SELECT_AFTER = f"SELECT {ENTRY_COLUMNS}, seq FROM logs WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 (constant)


def find_page(connection: sqlite3.Connection, query: LogQuery) -> LogPage:
    """One page and the count of all matches, both of the same moment."""
    where, values = _where(query)
    count = f"SELECT count(*) FROM logs WHERE {where}"  # noqa: S608 (fixed conditions, values are bound)
    page = (
        f"SELECT {ENTRY_COLUMNS} FROM logs WHERE {where} "  # noqa: S608 (as above)
        "ORDER BY time_us DESC, seq DESC LIMIT ? OFFSET ?"
    )
    connection.execute("BEGIN")
    try:
        total_count = connection.execute(count, values).fetchone()[0]
        rows = connection.execute(page, (*values, query.limit, query.offset))
        entries = [entry for entry, _ in _until_full(rows)]
    finally:
        connection.rollback()
    return LogPage(entries, total_count)


def find_histogram(connection: sqlite3.Connection, query: HistogramQuery) -> LogHistogram:
    """Counts over time by level, all of the same moment."""
    where, values = _where(query)
    counts = (
        f"SELECT (time_us - ?) / ? AS bucket, level, count(*) FROM logs WHERE {where} "  # noqa: S608 (as above)
        "GROUP BY bucket, level"
    )
    connection.execute("BEGIN")
    try:
        axis = axis_of(query, *_found_range(connection, query))
        if axis is None:
            return nothing_found(query)
        rows = connection.execute(counts, (ORIGIN_US, axis.bucket_us, *values))
        return axis.filled({(bucket, level): count for bucket, level, count in rows})
    finally:
        connection.rollback()


def _found_range(connection: sqlite3.Connection, query: HistogramQuery) -> tuple[int | None, int | None]:
    """The times of the oldest and the newest log that match, looked up only where the question needs it."""
    if None not in asked_range(query):
        return None, None
    where, values = _where(query)
    found = f"SELECT min(time_us), max(time_us) FROM logs WHERE {where}"  # noqa: S608 (as above)
    oldest_us, newest_us = connection.execute(found, values).fetchone()
    return oldest_us, newest_us


def find_after(connection: sqlite3.Connection, sequence: int) -> list[Followed]:
    """The entries stored after a sequence, in that order: at most 500, or 3 MiB of text."""
    rows = connection.execute(_SELECT_AFTER, (sequence, FOLLOW_PAGE_ENTRIES_MAX))
    return [Followed(rest[0], entry) for entry, rest in _until_full(rows)]


def last_sequence(connection: sqlite3.Connection) -> int:
    """The sequence of what was stored last, 0 in an empty store."""
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM logs").fetchone()[0])


def _until_full(rows: Iterable[Row]) -> Iterable[tuple[LogEntry, Row]]:
    size_bytes = 0
    for row in rows:
        entry = to_entry(row[:9])
        first = size_bytes == 0
        size_bytes += text_bytes(entry)
        if size_bytes > PAGE_BYTES_MAX and not first:
            return
        yield entry, row[9:]


def _where(which: LogFilter) -> tuple[str, tuple[object, ...]]:
    conditions = [*_field_conditions(which), *_metadata_conditions(which), *_text_conditions(which)]
    if not conditions:
        return "TRUE", ()
    return " AND ".join(sql for sql, _ in conditions), tuple(v for _, values in conditions for v in values)


def _field_conditions(which: LogFilter) -> Iterable[Condition]:
    if which.service_name:
        yield "service_name = ?", (which.service_name,)
    if which.services:
        names = sorted(which.services)
        yield f"service_name IN ({', '.join('?' * len(names))})", tuple(names)
    if which.level is not None:
        yield "level = ?", (int(which.level),)
    if which.trace_id:
        yield "trace_id = ?", (which.trace_id,)
    if which.start_time:
        yield "time_us >= ?", (epoch_us(which.start_time),)
    if which.end_time:
        yield "time_us <= ?", (epoch_us(which.end_time),)


def _metadata_conditions(which: LogFilter) -> Iterable[Condition]:
    # json_each ends a text at U+0000 and would confuse keys that differ after it. Stored metadata has one
    # spelling, so a pair's own JSON text finds the candidates, and metadata_has is asked about these only.
    for key, value in which.metadata.items():
        wanted = metadata_json({key: value})
        yield "instr(metadata, ?) > 0 AND metadata_has(metadata, ?)", (wanted[1:-1], wanted)


def _text_conditions(which: LogFilter) -> Iterable[Condition]:
    text = searchable(which.text)
    if len(text) >= _TRIGRAM:
        quoted = text.replace('"', '""')
        yield "seq IN (SELECT rowid FROM logs_text WHERE logs_text MATCH ?)", (f'"{quoted}"',)
    elif text:
        yield "coalesce(searched_text, message) LIKE ? ESCAPE '\\'", (f"%{_like_escaped(text)}%",)


def _like_escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
