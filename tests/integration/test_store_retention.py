"""Retention of the store: what is too old or too much goes, everything else stays and is found."""

import asyncio
import contextlib
import logging
import sqlite3
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from logbridge.adapters.sqlite import SqliteStore
from logbridge.adapters.sqlite_check import check
from logbridge.adapters.sqlite_file import connect_reader, open_store_file
from logbridge.adapters.sqlite_query import find_page
from logbridge.adapters.sqlite_retention import Retention
from logbridge.adapters.sqlite_space import used_bytes
from logbridge.adapters.sqlite_write import store_batches
from logbridge.domain.entry import LogEntry, LogLevel
from logbridge.domain.outcome import Accepted
from logbridge.domain.policy import RetentionPolicy
from logbridge.domain.query import LogFilter, LogQuery
from logbridge.domain.timestamp import rfc3339
from tests.factories import make_entry, soon
from tests.sink_contract import read_back

START = datetime(2024, 8, 30, tzinfo=UTC)
DAY_S = 86_400
KIB = 1024


def at(days: float) -> str:
    """The time so many days after START."""
    return rfc3339(START + timedelta(days=days))


class _Store:
    """A store's file with its writer, its retention and a clock that tests set."""

    def __init__(self, path: Path, policy: RetentionPolicy) -> None:
        self.days = 0.0
        self.writer = open_store_file(path, 1)
        self.reader = connect_reader(path, 1)
        self.retention = Retention(policy, lambda: START.timestamp() + self.days * DAY_S)

    def write(self, entries: list[LogEntry]) -> None:
        assert store_batches(self.writer, [entries]) == [[Accepted(entry.id) for entry in entries]]

    def retain(self) -> int:
        """Steps that it took."""
        return sum(1 for _ in self.retention.run(self.writer))

    def found(self, **which: object) -> list[LogEntry]:
        found: list[LogEntry] = []
        while True:
            page = find_page(self.reader, LogQuery(**which, limit=1000, offset=len(found)))  # type: ignore[arg-type]  # any filters
            found += page.entries
            if len(found) == page.total_count:
                return found

    def problems(self) -> list[str]:
        return check(self.reader, lambda *_: None).problems

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


@contextlib.contextmanager
def opened(policy: RetentionPolicy):  # noqa: ANN201 (a context of _Store)
    with tempfile.TemporaryDirectory() as directory:
        store = _Store(Path(directory, "logs.db"), policy)
        try:
            yield store
        finally:
            store.close()
