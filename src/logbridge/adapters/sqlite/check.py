"""Whether a store file is sound: the file itself, every log in it, and the text index beside the logs.

It only reads: writers of other processes go on meanwhile.
"""

import sqlite3
from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct

from logbridge.adapters.sqlite.file import ENTRY_COLUMNS, Row, missing_parts, tell_ctrl_c, to_entry, to_row
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import LogbridgeError

# What is being done, how much of it is done, and how much it is in all; 0 in all where nobody can know.
Tick = Callable[[str, int, int], None]

_PROBLEMS_NAMED_MAX = 20
_ROWS_AT_ONCE = 200

_SELECT_ROWS = (
    f"SELECT seq, {ENTRY_COLUMNS}, time_us, searched_text FROM logs "  # noqa: S608 (constant)
    "WHERE seq > ? ORDER BY seq LIMIT ?"
)
# The trigrams of a text of n characters lie at 0 to n - 3. Sums need no sorting, and any log that is missing
# from the index, there in vain or cut short changes one of them. seq is folded so that no sum can overflow.
_SUMS = "count(*), coalesce(sum({seq} % 1000003), 0), coalesce(sum({offset}), 0)"
_INDEX_SUMS = f"SELECT {_SUMS.format(seq='doc', offset='offset')} FROM temp.text_instances"  # noqa: S608 (constant)
_LOG_SUMS = """
SELECT coalesce(sum(n), 0), coalesce(sum(seq % 1000003 * n), 0), coalesce(sum(n * (n - 1) / 2), 0)
FROM (SELECT seq, max(0, length(coalesce(searched_text, message)) - 2) AS n FROM logs)
"""


class StoreCheck(Struct, frozen=True):
    """What a check found. entries: logs that can be read. problems: what is wrong, the first ones by name."""

    entries: int
    problems: list[str]


class Damaged(Struct, frozen=True):
    """A row that is no log: why."""

    reason: str


def check(connection: sqlite3.Connection, tick: Tick) -> StoreCheck:
    """Check a file. It never raises for what the file holds."""
    tick("file", 0, 0)
    problems = _said(connection, _integrity)
    tick("text index", 0, 0)
    problems += _said(connection, _text_index)
    entries, damaged = _logs(connection, tick)
    return StoreCheck(entries, problems + damaged)


def _said(connection: sqlite3.Connection, look: Callable[[sqlite3.Connection], list[str]]) -> list[str]:
    try:
        return look(connection)
    except sqlite3.Error as error:
        tell_ctrl_c(error)
        return [f"the file cannot be read: {error}"]


def _integrity(connection: sqlite3.Connection) -> list[str]:
    said = connection.execute(f"PRAGMA integrity_check({_PROBLEMS_NAMED_MAX})").fetchall()
    missing = [f"file: {part} is missing" for part in missing_parts(connection)]
    return missing + [f"file: {text}" for (text,) in said if text != "ok"]


def _text_index(connection: sqlite3.Connection) -> list[str]:
    connection.execute(
        "CREATE VIRTUAL TABLE temp.text_instances USING fts5vocab(main, logs_text, 'instance')"
    )
    try:
        # Both sums must be of the same moment.
        connection.execute("BEGIN")
        found = connection.execute(_INDEX_SUMS).fetchone()
        expected = connection.execute(_LOG_SUMS).fetchone()
    finally:
        connection.rollback()
        connection.execute("DROP TABLE temp.text_instances")
    if found == expected:
        return []
    return [f"text index: it holds {found[0]} pieces of text that are not the {expected[0]} of the logs"]


def _logs(connection: sqlite3.Connection, tick: Tick) -> tuple[int, list[str]]:
    entries, damaged = 0, 0
    problems: list[str] = []
    try:
        for rows in stored_rows(connection, tick, "logs"):
            reasons = [row.reason for row in rows if isinstance(row, Damaged)]
            entries += len(rows) - len(reasons)
            damaged += len(reasons)
            problems += reasons[: _PROBLEMS_NAMED_MAX - len(problems)]
    except sqlite3.Error as error:
        tell_ctrl_c(error)
        problems.append(f"the logs cannot be read further: {error}")
    if damaged > _PROBLEMS_NAMED_MAX:
        problems.append(f"{damaged - _PROBLEMS_NAMED_MAX} more logs that cannot be read")
    return entries, problems


def stored_rows(connection: sqlite3.Connection, tick: Tick, what: str) -> Iterator[list[Row | Damaged]]:
    """All logs in the order of storing, 200 at a time, each as the row that to_row() gives for it.

    No transaction stays open between two of them. Raises sqlite3.Error.
    """
    # Text that is not UTF-8 would end the whole question; as bytes it is one damaged row.
    connection.text_factory = bytes
    done, after = 0, 0
    (total,) = connection.execute("SELECT count(*) FROM logs").fetchone()
    while raw := connection.execute(_SELECT_ROWS, (after, _ROWS_AT_ONCE)).fetchall():
        yield [_row(values[0], values[1:]) for values in raw]
        after = raw[-1][0]
        done += len(raw)
        tick(what, done, max(done, total))


def _row(seq: int, values: Row) -> Row | Damaged:
    try:
        texts = tuple(value.decode() if isinstance(value, bytes) else value for value in values)
        row = to_row(to_entry(texts[:9]))
        if (row[5], row[10]) != texts[9:]:
            raise ValueError("the time or text that it is found by is not its own")
    except (ValueError, TypeError, LogbridgeError, msgspec.MsgspecError) as error:
        return Damaged(f"log {seq}: {error}")
    return row


def entry_of(row: Row) -> LogEntry:
    """The entry of a row that to_row() gave."""
    id_, service_name, level, message, timestamp, _, metadata, trace_id, span_id, assigned, _ = row
    return to_entry((id_, service_name, level, message, timestamp, metadata, trace_id, span_id, assigned))
