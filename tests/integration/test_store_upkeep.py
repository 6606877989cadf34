"""Backup, restore, check and vacuum: the functions on real files, and the commands while a service serves."""

import asyncio
import contextlib
import json
import random
import re
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from logbridge.adapters.sqlite import file
from logbridge.adapters.sqlite.file import open_store_file
from logbridge.adapters.sqlite.space import gives_back
from logbridge.adapters.sqlite.store import SqliteStore
from logbridge.adapters.sqlite.upkeep import StoreFile
from logbridge.adapters.sqlite.write import store_batches
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import StoreError
from logbridge.domain.outcome import Accepted
from tests.factories import make_entry, soon
from tests.integration.test_cli import DEADLINE_S, end, read_until, start
from tests.integration.test_store_upgrade import MESSAGES, make_version_1, version_of
from tests.sink_contract import read_back


class Ticks(list[tuple[str, int, int]]):
    """What a progress bar would have been told."""

    def __call__(self, what: str, done: int, total: int) -> None:
        self.append((what, done, total))


def fill(path: Path, *entries: LogEntry) -> None:
    """Store entries in a file, with nobody serving it."""
    with contextlib.closing(open_store_file(path, 1)) as connection:
        assert store_batches(connection, [entries]) == [[Accepted(entry.id) for entry in entries]]


def change(path: Path, *statements: str) -> None:
    """What no logbridge does."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


async def logs_in(path: Path) -> list[LogEntry]:
    """All logs of a file, newest first."""
    store = SqliteStore(path)
    found = await read_back(store)
    await store.aclose()
    return found


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store that serves the file ``logs.db``."""
    store = SqliteStore(tmp_path / "logs.db")
    yield store
    await store.aclose()


def partials_in(folder: Path) -> list[Path]:
    """Backups that have no name yet."""
    return list(folder.glob("*.partial*"))


async def write_on(store: SqliteStore, enough: asyncio.Event) -> list[LogEntry]:
    """Write until told to stop; every log must be accepted."""
    written: list[LogEntry] = []
    while not enough.is_set():
        entry = make_entry()
        assert await store.write([entry], deadline=soon(30)) == [Accepted(entry.id)]
        written.append(entry)
    return written


async def while_it_is_written_to(store: SqliteStore, work: Callable[[], Any]) -> tuple[Any, list[LogEntry]]:
    """What the work in another thread gave, and the logs that were written meanwhile."""
    enough = asyncio.Event()
    writing = asyncio.ensure_future(write_on(store, enough))
    try:
        done = await asyncio.to_thread(work)
    finally:
        enough.set()
    return done, await writing


async def test_a_backup_is_one_moment_of_a_store_that_is_written_to(
    store: SqliteStore, tmp_path: Path
) -> None:
    """It holds all that was stored before it began, ends although writes never do, and is one sound file."""
    before = [make_entry(message=f"log {number}") for number in range(3000)]
    await store.write(before, deadline=soon(30))
    file, ticks = tmp_path / "backup.db", Ticks()
    made, written = await while_it_is_written_to(
        store, lambda: StoreFile(tmp_path / "logs.db").backup(file, ticks)
    )
    assert written
    found = await logs_in(file)
    assert made.entries == len(found)
    assert made.file == str(file)
    assert [entry for entry in found if entry in before] == before[::-1]
    assert {entry.id for entry in found} <= {entry.id for entry in (*before, *written)}
    assert StoreFile(file).check(Ticks()).problems == []
    assert partials_in(tmp_path) == []
    copied = [done for what, done, _ in ticks if what == "copy"]
    assert copied == sorted(copied)
    assert copied[-1] > 0


def test_a_backup_replaces_nothing(tmp_path: Path) -> None:
    """A file that exists is left alone, and the line says so; so is a directory that does not exist."""
    fill(tmp_path / "logs.db", make_entry())
    file = tmp_path / "backup.db"
    file.write_text("precious")
    with pytest.raises(StoreError, match="replaces nothing: choose another name"):
        StoreFile(tmp_path / "logs.db").backup(file, Ticks())
    assert file.read_text() == "precious"
    with pytest.raises(StoreError, match=r"no directory .*for the backup"):
        StoreFile(tmp_path / "logs.db").backup(tmp_path / "none" / "backup.db", Ticks())


def test_a_backup_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """Of two backups under one name the first one stays."""
    fill(tmp_path / "logs.db", make_entry())
    file = tmp_path / "backup.db"

    def tick(what: str, done: int, total: int) -> None:
        file.write_text("the first one")

    with pytest.raises(StoreError, match="replaces nothing"):
        StoreFile(tmp_path / "logs.db").backup(file, tick)
    assert file.read_text() == "the first one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.db", "logs.db"]


def test_an_interrupted_backup_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle: no file under the backup's name, and no part of one beside it."""
    fill(tmp_path / "logs.db", make_entry())

    def tick(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StoreFile(tmp_path / "logs.db").backup(tmp_path / "backup.db", tick)
    assert [path.name for path in tmp_path.iterdir()] == ["logs.db"]


@pytest.mark.parametrize("command", ["check", "backup", "vacuum"])
def test_ctrl_c_ends_a_long_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """A signal that comes while SQLite works is Ctrl-C, neither damage nor an error."""
    path = tmp_path / "logs.db"
    fill(path, *(make_entry(message=f"log {number} {'x' * 500}") for number in range(2000)))
    # An old file, which vacuum rewrites in one statement.
    change(path, "PRAGMA auto_vacuum = NONE", "VACUUM")

    def ctrl_c() -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(file, "_nothing", ctrl_c)
    monkeypatch.setattr(file, "_OPCODES_PER_LOOK_FOR_CTRL_C", 1000)
    work = getattr(StoreFile(path), command)
    with pytest.raises(KeyboardInterrupt):
        work(*([tmp_path / "backup.db"] if command == "backup" else []), Ticks())
    assert [each for each in tmp_path.iterdir() if not each.name.startswith("logs.db")] == []
    monkeypatch.undo()
    assert StoreFile(path).check(Ticks()).problems == []


@pytest.mark.parametrize("taken", [False, True])
def test_a_backup_where_no_links_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool) -> None:
    """On a file system without hard links, as FAT, a backup gets its name too, and still replaces nothing."""
    fill(tmp_path / "logs.db", make_entry())
    file = tmp_path / "backup.db"

    def link(*_: object) -> None:
        if taken:
            file.write_text("the first one")
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr("os.link", link)  # tests have no such file system at hand
    with pytest.raises(StoreError, match="replaces nothing") if taken else contextlib.nullcontext():
        StoreFile(tmp_path / "logs.db").backup(file, Ticks())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.db", "logs.db"]
    assert taken or StoreFile(file).check(Ticks()).entries == 1


def test_a_damaged_store_makes_no_backup(tmp_path: Path) -> None:
    """A copy that is not sound is no backup; the line says what is wrong and what saves the rest."""
    path = tmp_path / "logs.db"
    fill(path, make_entry(), make_entry())
    change(path, "UPDATE logs SET level = 99 WHERE seq = 1")
    with pytest.raises(StoreError, match=r"damaged: log 1: .*store restore .*saves what can be read"):
        StoreFile(path).backup(tmp_path / "backup.db", Ticks())
    assert [file.name for file in tmp_path.iterdir()] == ["logs.db"]


@pytest.mark.parametrize("command", ["check", "vacuum", "backup", "restore"])
@pytest.mark.parametrize("content", [None, b"", b"these are notes, " * 100])
def test_a_file_that_is_no_store_is_named(tmp_path: Path, command: str, content: bytes | None) -> None:
    """No file, an empty one or another one: a line that names it, and nothing is made or changed."""
    path = tmp_path / "other.db"
    if content is not None:
        path.write_bytes(content)
    work: dict[str, Callable[[], object]] = {
        "check": lambda: StoreFile(path).check(Ticks()),
        "vacuum": lambda: StoreFile(path).vacuum(Ticks()),
        "backup": lambda: StoreFile(path).backup(tmp_path / "backup.db", Ticks()),
        "restore": lambda: StoreFile(tmp_path / "new.db").restore(path, Ticks()),
    }
    with pytest.raises(StoreError, match=r"other\.db") as raised:
        work[command]()
    assert "\n" not in str(raised.value)
    assert [file.name for file in tmp_path.iterdir()] == ([] if content is None else ["other.db"])
    assert content is None or path.read_bytes() == content


async def test_restore_into_a_new_store_keeps_the_order(tmp_path: Path) -> None:
    """Everything is there in the order of storing, found by text, with its times as they were written."""
    entries = [
        make_entry(message=f"日志 {number}\x00end", timestamp_assigned=number % 2 == 0)
        for number in range(1000)
    ]
    fill(tmp_path / "logs.db", *entries)
    StoreFile(tmp_path / "logs.db").backup(tmp_path / "backup.db", Ticks())
    ticks = Ticks()
    restored = StoreFile(tmp_path / "new" / "logs.db").restore(tmp_path / "backup.db", ticks)
    assert (restored.added, restored.present, restored.conflicts, restored.damaged) == (1000, 0, 0, 0)
    assert await logs_in(tmp_path / "new" / "logs.db") == entries[::-1]
    store = SqliteStore(tmp_path / "new" / "logs.db")
    assert len(await read_back(store, text="日志 77")) == 11
    await store.aclose()
    assert ticks[-1] == ("logs", 1000, 1000)


async def test_restore_adds_what_is_missing_and_changes_nothing(tmp_path: Path) -> None:
    """What is there stays; the same id with other content is counted and named; a second run adds nothing."""
    path = tmp_path / "logs.db"
    both, lost, changed = make_entry(), make_entry(), make_entry()
    fill(tmp_path / "backup.db", both, lost, changed)
    other = make_entry(id=changed.id, message="other content")
    fill(path, other, both)
    for added, present in ((1, 1), (0, 2)):
        restored = StoreFile(path).restore(tmp_path / "backup.db", Ticks())
        assert (restored.added, restored.present, restored.conflicts) == (added, present, 1)
        assert changed.id in restored.conflicting[0]
    assert await logs_in(path) == [lost, both, other]


async def test_restore_while_the_store_is_written_to(store: SqliteStore, tmp_path: Path) -> None:
    """Writes are accepted all the while, and in the end everything is there once."""
    backed_up = [make_entry() for _ in range(2000)]
    fill(tmp_path / "backup.db", *backed_up)
    restored, written = await while_it_is_written_to(
        store, lambda: StoreFile(tmp_path / "logs.db").restore(tmp_path / "backup.db", Ticks())
    )
    assert restored.added == 2000
    assert written
    found = [entry.id for entry in await read_back(store)]
    assert sorted(found) == sorted(entry.id for entry in (*backed_up, *written))


async def test_restore_reads_backups_of_version_1(tmp_path: Path) -> None:
    """A backup of an older logbridge is restored, and stays as it is."""
    make_version_1(tmp_path / "backup.db")
    assert StoreFile(tmp_path / "logs.db").restore(tmp_path / "backup.db", Ticks()).added == len(MESSAGES)
    assert [entry.message for entry in await logs_in(tmp_path / "logs.db")] == list(MESSAGES[::-1])
    assert version_of(tmp_path / "backup.db") == 1


def test_restore_saves_what_a_damaged_store_still_holds(tmp_path: Path) -> None:
    """Rows that are no logs are counted and named; all others get into the new store."""
    path = tmp_path / "logs.db"
    fill(path, *(make_entry() for _ in range(10)))
    change(
        path,
        "UPDATE logs SET level = 99 WHERE seq = 2",
        "UPDATE logs SET metadata = '{' WHERE seq = 4",
        "UPDATE logs SET trace_id = CAST(x'ff' AS TEXT) WHERE seq = 6",
    )
    restored = StoreFile(tmp_path / "new.db").restore(path, Ticks())
    assert (restored.added, restored.damaged) == (7, 3)
    assert [text.split(":")[0] for text in restored.damage] == ["log 2", "log 4", "log 6"]
    assert StoreFile(tmp_path / "new.db").check(Ticks()).problems == []


def test_a_store_is_not_its_own_backup(tmp_path: Path) -> None:
    """Restoring a store from itself is a slip, and said to be one."""
    fill(tmp_path / "logs.db", make_entry())
    with pytest.raises(StoreError, match="is the store itself"):
        StoreFile(tmp_path / "logs.db").restore(tmp_path / "logs.db", Ticks())


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE logs SET level = 99 WHERE seq = 3", "log 3: 99 is not a valid"),
        ("UPDATE logs SET metadata = '{' WHERE seq = 3", "log 3: "),
        ("UPDATE logs SET time_us = 0 WHERE seq = 3", "log 3: the time or text"),
        ("UPDATE logs SET message = CAST(x'6162ff' AS TEXT) WHERE seq = 3", "log 3: 'utf-8' codec"),
        ("UPDATE logs SET message = 'longer than it was before' WHERE seq = 3", "text index: "),
        ("INSERT INTO logs_text (rowid, message) VALUES (99, 'nobody wrote this')", "text index: "),
        ("INSERT INTO logs_text (logs_text) VALUES ('delete-all')", "text index: "),
        ("DROP INDEX logs_time", "file: index logs_time is missing"),
        ("DROP TRIGGER logs_text_insert", "file: trigger logs_text_insert is missing"),
        ("DELETE FROM logs_text_data WHERE id = 10", "the file cannot be read: "),
    ],
)
def test_check_names_what_is_wrong(tmp_path: Path, statement: str, problem: str) -> None:
    """Each kind of damage is found and named; the logs that can be read are counted."""
    path = tmp_path / "logs.db"
    fill(path, *(make_entry(message=f"the log of number {number}") for number in range(9)))
    assert StoreFile(path).check(Ticks()).problems == []
    change(path, statement)
    found = StoreFile(path).check(Ticks())
    assert any(text.startswith(problem) for text in found.problems), found.problems
    assert found.entries >= 8


def test_check_survives_flipped_bytes(tmp_path: Path) -> None:
    """Whatever a disk did to the pages of logs and indexes, a check ends with problems, without raising."""
    path = tmp_path / "logs.db"
    fill(path, *(make_entry(message=f"log {number} " * 20) for number in range(500)))
    sound = path.read_bytes()
    dice = random.Random(20240830)
    found_some = 0
    for _ in range(20):
        damaged = bytearray(sound)
        for _ in range(50):
            # The first page names the schema: without it there is no store to speak of.
            damaged[dice.randrange(4096, len(damaged))] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        found_some += bool(StoreFile(path).check(Ticks()).problems)
    assert found_some == 20


async def test_check_while_the_store_is_written_to(store: SqliteStore, tmp_path: Path) -> None:
    """A store in use is sound in the middle of writes, and writes are accepted all the while."""
    await store.write([make_entry() for _ in range(2000)], deadline=soon(30))
    found, written = await while_it_is_written_to(
        store, lambda: StoreFile(tmp_path / "logs.db").check(Ticks())
    )
    assert found.problems == []
    assert found.entries >= 2000
    assert written


async def test_vacuum_while_the_store_is_written_to(store: SqliteStore, tmp_path: Path) -> None:
    """The space of removed logs goes back to the disk in steps, while writes are accepted; the rest stays."""
    await store.write([make_entry(message=f"{number} " * 100) for number in range(3000)], deadline=soon(30))
    keep = make_entry(message="to keep")
    await store.write([keep], deadline=soon())
    change(tmp_path / "logs.db", "DELETE FROM logs WHERE message <> 'to keep'")
    ticks = Ticks()
    _, written = await while_it_is_written_to(store, lambda: StoreFile(tmp_path / "logs.db").vacuum(ticks))
    assert sorted(entry.id for entry in await read_back(store)) == sorted(e.id for e in (keep, *written))
    assert await read_back(store, text="keep") == [keep]
    assert StoreFile(tmp_path / "logs.db").check(Ticks()).problems == []
    # Not the size of the file in the end: nobody knows how much is written meanwhile.
    steps = [freed for what, freed, _ in ticks if what == "free pages"]
    assert len(steps) > 1
    assert max(steps) > 100


def test_vacuum_teaches_an_old_file_to_give_back(tmp_path: Path) -> None:
    """A file of version 1 cannot give pages back before its first vacuum, and can from then on."""
    path = tmp_path / "logs.db"
    make_version_1(path)
    with contextlib.closing(open_store_file(path, 1)) as connection:
        assert not gives_back(connection)
    StoreFile(path).vacuum(Ticks())
    with contextlib.closing(open_store_file(path, 1)) as connection:
        assert gives_back(connection)
    assert StoreFile(path).check(Ticks()).entries == len(MESSAGES)


async def test_an_old_file_is_rewritten_under_a_service(tmp_path: Path) -> None:
    """The service that has the file open goes on writing and removing in it, and it stays sound."""
    path = tmp_path / "logs.db"
    make_version_1(path)
    store = SqliteStore(path, lock_wait_s=30)
    _, written = await while_it_is_written_to(store, lambda: StoreFile(path).vacuum(Ticks()))
    assert await store.write([make_entry() for _ in range(2000)], deadline=soon(30))
    change(path, "DELETE FROM logs WHERE seq % 2")
    await store.write([make_entry() for _ in range(500)], deadline=soon(30))
    await store.aclose()
    assert written
    assert StoreFile(path).check(Ticks()).problems == []


@pytest.fixture
def served(tmp_path: Path) -> Any:
    """A folder with a ``logbridge service`` of its own process, whose store is data/logs.db."""
    fill(tmp_path / "data" / "logs.db", *(make_entry(message=f"log {number}") for number in range(500)))
    process = start(tmp_path, "service", "--grpc-server-port", "0")
    assert process.stderr is not None
    read_until(process.stderr, "log service listens")
    yield tmp_path
    assert end(process, signal.SIGTERM)[0] == 0


def run(folder: Path, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """A ``logbridge store`` command in a process of its own."""
    process = start(folder, "store", *arguments, **variables)
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


def test_the_commands_while_the_service_serves(served: Path) -> None:
    """backup, restore, check and vacuum each end with 0 and their result, as a line and as JSON."""
    assert run(served, "check") == (0, "logs that can be read: 500; problems: 0\n", "")
    code, out, _ = run(served, "backup", "one.db")
    assert code == 0
    assert re.fullmatch(r"500 logs, \d+ bytes in one\.db, checked\n", out)
    made = json.loads(run(served, "backup", "two.db", "--json")[1])
    assert made == {"file": "two.db", "entries": 500, "size_bytes": (served / "two.db").stat().st_size}
    already = "0 added, 500 there already, 0 with a taken id, 0 damaged\n"
    assert run(served, "restore", "one.db") == (0, already, "")
    restored = json.loads(run(served, "restore", "one.db", "--json", "--store", "sqlite:///new.db")[1])
    assert (restored["added"], restored["conflicting"]) == (500, [])
    assert run(served, "check", "--json", LOGBRIDGE_STORE="sqlite:///new.db") == (
        0,
        '{"entries":500,"problems":[]}\n',
        "",
    )
    assert re.fullmatch(r"\d+ bytes before, \d+ bytes after\n", run(served, "vacuum")[1])
    assert set(json.loads(run(served, "vacuum", "--json")[1])) == {"before_bytes", "after_bytes"}


def test_the_service_removes_what_is_too_old(tmp_path: Path) -> None:
    """With LOGBRIDGE_STORE_AGE_DAYS_MAX a service that starts removes old logs, and says so in one line."""
    fill(tmp_path / "data" / "logs.db", *(make_entry() for _ in range(500)))
    process = start(tmp_path, "service", "--grpc-server-port", "0", LOGBRIDGE_STORE_AGE_DAYS_MAX="30")
    assert process.stderr is not None
    read_until(process.stderr, "INFO.*retention removed logs older than 30 days: 500")
    assert end(process, signal.SIGTERM)[0] == 0


def test_what_is_wrong_is_exit_code_1(tmp_path: Path) -> None:
    """Problems, conflicts and a backup's name that is taken: a line each on stderr, and exit code 1."""
    fill(tmp_path / "data" / "logs.db", make_entry(id="a"), make_entry(id="b"))
    fill(tmp_path / "other.db", make_entry(id="b", message="other"))
    code, out, err = run(tmp_path, "restore", "other.db")
    assert (code, out) == (1, "0 added, 0 there already, 1 with a taken id, 0 damaged\n")
    assert err.startswith("logbridge: not restored: id 'b' of service")
    code, _, err = run(tmp_path, "backup", "other.db")
    assert (code, err.count("\n")) == (1, 1)
    change(tmp_path / "data" / "logs.db", "UPDATE logs SET level = 99 WHERE id = 'a'")
    code, out, err = run(tmp_path, "check")
    assert (code, out) == (1, "logs that can be read: 1; problems: 1\n")
    assert "data/logs.db: log 1: " in err
    assert "logbridge store restore" in err


@pytest.mark.parametrize("command", [["check"], ["vacuum"], ["backup", "x.db"], ["restore", "x.db"]])
def test_memory_has_no_file(tmp_path: Path, command: list[str]) -> None:
    """A store in memory is refused with one line and exit code 2."""
    code, out, err = run(tmp_path, *command, "--store", "memory://")
    assert (code, out) == (2, "")
    assert err.startswith("logbridge: LOGBRIDGE_STORE=memory://: logs in memory have no file")
    assert err.count("\n") == 1
