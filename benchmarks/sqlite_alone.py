"""What SQLite takes with the store's schema and rows, and nothing around it: 2,000 in a transaction.

Two ways: a statement for each row, as most programs write it, and one statement for all rows, which suits the
text index better.
"""

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks import bodies
from logbridge.adapters.sqlite.file import Row, open_store_file, to_row, transaction
from logbridge.adapters.sqlite.store import COMMIT_ENTRIES_MAX
from logbridge.domain.entry import classify
from logbridge.entrypoints.container import build_maker
from logbridge.entrypoints.settings import Settings

_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT = """
INSERT INTO logs (id, service_name, level, message, timestamp, time_us, metadata, trace_id, span_id,
                  timestamp_assigned, searched_text)
VALUES """


def rows(count: int) -> list[Row]:
    """Rows of the entries that the bridge would make of what the load sends."""
    maker = build_maker(Settings())
    draft = classify(msgspec.json.decode(bodies.body(1)))
    return [to_row(maker.make(draft)) for _ in range(count)]


def row_by_row(connection: sqlite3.Connection, made: list[Row]) -> None:
    """A statement for each row."""
    connection.executemany(_INSERT + _ROW, made)


def all_at_once(connection: sqlite3.Connection, made: list[Row]) -> None:
    """One statement for all rows."""
    connection.execute(_INSERT + ", ".join([_ROW] * len(made)), [value for row in made for value in row])


WAYS = {"row-by-row": row_by_row, "all-at-once": all_at_once}


def insert(
    path: Path, measured_s: float, write: Callable[[sqlite3.Connection, list[Row]], None]
) -> dict[str, float]:
    """Figures of inserting for so long into a new file, without the time of making rows."""
    connection = open_store_file(path, 5.0)
    count, took_s, cpu_s = 0, 0.0, 0.0
    while took_s < measured_s:
        made = rows(COMMIT_ENTRIES_MAX)
        began_s, cpu_began_s = time.perf_counter(), time.process_time()
        with transaction(connection):
            write(connection, made)
        took_s += time.perf_counter() - began_s
        cpu_s += time.process_time() - cpu_began_s
        count += len(made)
    connection.close()
    return {"logs_per_s": count / took_s, "cpu_us": 1e6 * cpu_s / count, "logs": count}


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measured-s", type=float, default=3.0)
    parser.add_argument("--way", choices=sorted(WAYS), default="row-by-row")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="logbridge-bench-") as folder:
        figures = insert(Path(folder) / "logs.db", asked.measured_s, WAYS[asked.way])
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
