"""Schema versions of the store: files of every earlier version are upgraded in place, newer ones refused."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from logbridge.adapters.sqlite import file as sqlite_file
from logbridge.adapters.sqlite.file import SCHEMA_VERSION, open_store_file, to_row
from logbridge.adapters.sqlite.store import SqliteStore
from logbridge.domain.outcome import Accepted
from tests.factories import make_entry, soon
from tests.sink_contract import read_back

# As the first logbridge wrote them. Files like this are out there: these lines never change.
_VERSION_1 = """
PRAGMA journal_mode = WAL;
CREATE TABLE logs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    service_name TEXT NOT NULL,
    level INTEGER NOT NULL,
    message TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    timestamp_assigned INTEGER NOT NULL,
    searched_text TEXT,
    UNIQUE (service_name, id)
);
CREATE INDEX logs_time ON logs (time_us);
CREATE INDEX logs_service_time ON logs (service_name, time_us);
CREATE INDEX logs_level_time ON logs (level, time_us);
CREATE INDEX logs_trace_time ON logs (trace_id, time_us);
CREATE VIRTUAL TABLE logs_text USING fts5(message, content='', columnsize=0, tokenize='trigram');
CREATE TRIGGER logs_text_insert AFTER INSERT ON logs BEGIN
    INSERT INTO logs_text (rowid, message) VALUES (new.seq, coalesce(new.searched_text, new.message));
END;
PRAGMA user_version = 1;
"""
_INSERT = "INSERT INTO logs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

MESSAGES = ("before\x00after", "日志服务", "the last one")


def make_version_1(path: Path) -> None:
    """A file as the first logbridge left it, with a log for each of MESSAGES."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(_VERSION_1)
        connection.executemany(_INSERT, [to_row(make_entry(message=message)) for message in MESSAGES])
        connection.commit()


def version_of(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


async def test_a_file_of_version_1_is_upgraded_in_place(tmp_path: Path) -> None:
    """Its logs are read and found by text, new ones are stored beside them, and it has today's version."""
    path = tmp_path / "logs.db"
    make_version_1(path)
    store = SqliteStore(path)
    entry = make_entry(message="stored later")
    assert await store.write([entry], deadline=soon()) == [Accepted(entry.id)]
    assert [log.message for log in await read_back(store)] == ["stored later", *MESSAGES[::-1]]
    for text in ("e after", "日志服", "later"):
        assert len(await read_back(store, text=text)) == 1
    await store.aclose()
    assert version_of(path) == SCHEMA_VERSION


def test_removed_logs_leave_the_text_index_of_an_upgraded_file(tmp_path: Path) -> None:
    """The index that version 1 filled forgets a log when it is removed, with U+0000 in it too."""
    path = tmp_path / "logs.db"
    make_version_1(path)
    with contextlib.closing(open_store_file(path, 1)) as connection:
        connection.execute("DELETE FROM logs")
        connection.execute("INSERT INTO logs_text (logs_text) VALUES ('optimize')")
        connection.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, logs_text, 'row')")
        assert connection.execute("SELECT * FROM temp.terms").fetchall() == []


def test_an_upgrade_that_breaks_off_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails in the middle is taken back as a whole; the next start upgrades."""
    path = tmp_path / "logs.db"
    make_version_1(path)
    with monkeypatch.context() as broken:
        # What a crash or a full disk does, at a statement of our choice.
        steps = (sqlite_file._VERSION_1, (*sqlite_file._VERSION_2, "CREATE nothing"))
        broken.setattr(sqlite_file, "_STEPS", steps)
        with pytest.raises(Exception, match="syntax error"):
            open_store_file(path, 1)
    assert version_of(path) == 1
    with contextlib.closing(sqlite3.connect(path)) as connection:
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    assert triggers == [("logs_text_insert",)]
    open_store_file(path, 1).close()
    assert version_of(path) == SCHEMA_VERSION


def test_an_upgraded_file_has_the_schema_of_a_new_one(tmp_path: Path) -> None:
    """Whichever way a file came to its version, it holds the same tables, indexes, triggers and options."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    make_version_1(old)
    schemas = []
    for path in (old, new):
        with contextlib.closing(open_store_file(path, 1)) as connection:
            rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
            options = connection.execute("SELECT * FROM logs_text_config ORDER BY k").fetchall()
        schemas.append([*((kind, name, " ".join((sql or "").split())) for kind, name, sql in rows), *options])
    assert schemas[0] == schemas[1]


def test_a_database_of_another_program_stays_as_it_is(tmp_path: Path) -> None:
    """Not even its journal mode is changed."""
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE accounts (id INTEGER)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(Exception, match="another program"):
        SqliteStore(path)
    assert path.read_bytes() == before
