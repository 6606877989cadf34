"""The SQLite store on real files: the contract, durability, full text, refusals, and what a disk does."""

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logbridge.adapters.sqlite.file import SCHEMA_VERSION, open_store_file
from logbridge.adapters.sqlite.store import WAITING_ENTRIES_MAX, SqliteStore
from logbridge.adapters.sqlite.write import store_batches
from logbridge.domain.errors import QueryRefused, ReaderUnavailable, StoreError
from logbridge.domain.outcome import Accepted, Cause, Failed, Refused, Unknown
from logbridge.domain.query import LogFilter, LogQuery
from tests.factories import make_entry, soon
from tests.sink_contract import SinkContract, read_back


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist yet, in a directory that does not either."""
    return tmp_path / "new directory" / "logs.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    """An empty store."""
    store = SqliteStore(path, lock_wait_s=0.05)
    yield store
    await store.aclose()


@pytest.fixture
def other_process(store: SqliteStore, path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection to the file of the store, as another process would have."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


class TestSqliteStore(SinkContract):
    """The contract suite over the store."""

    @pytest.fixture
    async def sink(self, path: Path) -> AsyncIterator[SqliteStore]:
        """An empty store on a file of its own."""
        store = SqliteStore(path)
        yield store
        await store.aclose()


async def test_reopened_file_has_everything(path: Path) -> None:
    """What one store wrote, the next one on the same file reads, and refuses to store twice."""
    entry = make_entry()
    for _ in range(2):
        store = SqliteStore(path)
        assert await store.write([entry], deadline=soon()) == [Accepted(entry.id)]
        assert await read_back(store) == [entry]
        await store.aclose()


_WRITER = """
import asyncio, sys
from pathlib import Path
from logbridge.adapters.sqlite.store import SqliteStore
from tests.factories import make_entry, soon

async def write():
    store = SqliteStore(Path(sys.argv[1]))
    for number in range(3):
        outcomes = await store.write([make_entry(message=f"log {number}")], deadline=soon(30))
        sys.stdout.write(f"{type(outcomes[0]).__name__} {outcomes[0].log_id}\\n")
        sys.stdout.flush()
    await asyncio.Event().wait()

asyncio.run(write())
"""


async def test_acknowledged_logs_survive_kill_9(path: Path) -> None:
    """A log that was acknowledged is there after the process was killed on the spot."""
    root = Path(__file__).parents[2]
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, str(path), stdout=subprocess.PIPE, cwd=root
    )
    assert writer.stdout is not None
    lines = [(await writer.stdout.readline()).decode().split() for _ in range(3)]
    writer.kill()
    assert await writer.wait() == -signal.SIGKILL
    store = SqliteStore(path)
    found = {entry.id for entry in await read_back(store)}
    await store.aclose()
    assert [verdict for verdict, _ in lines] == ["Accepted"] * 3
    assert found == {log_id for _, log_id in lines}


@pytest.mark.parametrize(
    "text",
    ["日志", "志服务", "AFTER", "e\x00a", 'say "hi"', "100%", "_x", "\\", "NOT", "a", "🚀 g", "rocket 🚀"],
)
async def test_text_is_found_as_it_stands(store: SqliteStore, text: str) -> None:
    """Text finds the message that holds it: any script, any length, no character means anything special."""
    message = 'before\x00after 日志服务 say "hi" 100% _x \\ NOT rocket 🚀 go'
    decoy = "100 5x"
    await store.write([make_entry(message=message), make_entry(message=decoy)], deadline=soon())
    assert [entry.message for entry in await read_back(store, text=text)] == [message]


async def test_metadata_keys_are_exact(store: SqliteStore) -> None:
    """A metadata filter means that key and that value, whatever characters they hold."""
    odd = [{"a.b": "1"}, {'q"\\': "'"}, {"k\x00x": "v"}, {"k": "v"}, {"x": '"k":"v"'}, {",": ":"}, {"": ""}]
    entries = [make_entry(metadata=metadata) for metadata in odd]
    await store.write([*entries, make_entry(metadata={"a": '{"b":"1"}', ":": "y"})], deadline=soon())
    for entry in entries:
        assert await read_back(store, metadata=entry.metadata) == [entry]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all examples of a property."""
    with asyncio.Runner() as runner:
        yield runner


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
# Folding of letter case differs between scripts and libraries; the model is exact for these.
_PLAIN = st.text("abc xyz\x00日志🚀%_\"'\\*", max_size=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(_TEXT, max_size=8), metadata=st.dictionaries(_TEXT, _TEXT, max_size=4))
def test_any_text_round_trips(runner: asyncio.Runner, messages: list[str], metadata: dict[str, str]) -> None:
    """Whatever text an entry holds, it is read back equal."""
    entries = [make_entry(message=message, metadata=metadata) for message in messages]

    async def round_trip(directory: str) -> list[Any]:
        store = SqliteStore(Path(directory, "logs.db"))
        await store.write(entries, deadline=soon(30))
        found = await read_back(store, metadata=metadata)
        await store.aclose()
        return found

    with tempfile.TemporaryDirectory() as directory:
        assert runner.run(round_trip(directory)) == entries[::-1]


@settings(max_examples=60)
@given(messages=st.lists(_PLAIN, max_size=8), text=_PLAIN)
def test_text_search_agrees_with_a_plain_model(messages: list[str], text: str) -> None:
    """A text finds exactly the messages that contain it, U+0000 counting as a space."""
    entries = [make_entry(message=message) for message in messages]

    async def search(directory: str) -> list[Any]:
        store = SqliteStore(Path(directory, "logs.db"))
        await store.write(entries, deadline=soon(30))
        found = await read_back(store, text=text)
        await store.aclose()
        return found

    wanted = text.replace("\0", " ")
    expected = [entry for entry in entries[::-1] if wanted in entry.message.replace("\0", " ")]
    with tempfile.TemporaryDirectory() as directory:
        assert asyncio.run(search(directory)) == expected


async def test_an_entry_that_cannot_be_stored_is_refused_alone(store: SqliteStore) -> None:
    """Half a surrogate pair or a time that is none is refused; the rest of its batch is stored."""
    good = make_entry()
    bad = [make_entry(message="\ud800"), make_entry(metadata={"k": "\udfff"}), make_entry(timestamp="now")]
    outcomes = await store.write([*bad, good], deadline=soon())
    assert [type(outcome) for outcome in outcomes] == [Refused, Refused, Refused, Accepted]
    assert {outcome.cause for outcome in outcomes if isinstance(outcome, Refused)} == {Cause.INVALID}
    assert await read_back(store) == [good]


async def test_a_fault_of_the_program_is_seen(store: SqliteStore) -> None:
    """What is no entry at all raises at its writer, and the store goes on."""
    with pytest.raises(TypeError):
        await store.write([make_entry(message=5)], deadline=soon())
    assert isinstance((await store.write([make_entry()], deadline=soon()))[0], Accepted)


async def test_a_locked_file_fails_and_recovers(
    store: SqliteStore, other_process: sqlite3.Connection
) -> None:
    """While another process holds the lock a write fails with the reason; afterwards it is accepted."""
    entry = make_entry()
    other_process.execute("BEGIN IMMEDIATE")
    (failed,) = await store.write([entry], deadline=soon())
    other_process.execute("ROLLBACK")
    (accepted,) = await store.write([entry], deadline=soon())
    assert isinstance(failed, Failed)
    assert "locked" in failed.reason
    assert accepted == Accepted(entry.id)


async def test_what_waits_at_the_deadline_is_unknown(path: Path) -> None:
    """A write that the disk holds up is answered at its deadline; what had not begun by then never is."""
    store = SqliteStore(path, lock_wait_s=30)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = asyncio.ensure_future(store.write([make_entry(message="begun")], deadline=soon(0.2)))
        waits = asyncio.ensure_future(store.write([make_entry(message="waits")], deadline=soon(0.1)))
        outcomes = [*await begun, *await waits]
        other.execute("ROLLBACK")
    assert [type(outcome) for outcome in outcomes] == [Unknown, Unknown]
    assert {outcome.cause for outcome in outcomes if isinstance(outcome, Unknown)} == {Cause.TIMEOUT}
    last = make_entry(message="last")
    assert await store.write([last], deadline=soon(30)) == [Accepted(last.id)]
    assert "last" in [entry.message for entry in await read_back(store)]
    await store.aclose()


async def test_waiting_entries_are_limited(path: Path) -> None:
    """Beyond the limit of waiting entries a write fails at once as overloaded, naming the limit."""
    store = SqliteStore(path, lock_wait_s=300)
    entry = make_entry()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        full = [entry] * WAITING_ENTRIES_MAX
        # One of these is begun and held up by the lock, the other fills the queue.
        writes = [asyncio.ensure_future(store.write(full, deadline=soon(300))) for _ in range(3)]
        (over,) = await asyncio.wait_for(_first_failed(store), 30)
        other.execute("ROLLBACK")
    await asyncio.gather(*writes)
    await store.aclose()
    assert over.cause is Cause.OVERLOADED
    assert str(WAITING_ENTRIES_MAX) in over.reason


async def _first_failed(store: SqliteStore) -> list[Failed]:
    while True:
        outcomes = await store.write([make_entry()], deadline=soon(0))
        failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
        if failed:
            return failed


def test_a_full_disk_fails_only_what_does_not_fit(path: Path) -> None:
    """Batches that do not fit on the disk fail as overloaded, those that do are stored, all in one go."""
    small, large = make_entry(), make_entry(message="x" * 1_000_000)
    with contextlib.closing(open_store_file(path, 1)) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 20}")
        (accepted,), (failed,) = store_batches(connection, [[small], [large]])
        stored = connection.execute("SELECT id FROM logs").fetchall()
        texts = connection.execute("SELECT rowid FROM logs_text WHERE logs_text MATCH 'xxx'").fetchall()
    assert accepted == Accepted(small.id)
    assert isinstance(failed, Failed)
    assert failed.cause is Cause.OVERLOADED
    assert stored == [(small.id,)]
    assert texts == []


async def test_a_newer_schema_is_refused(path: Path) -> None:
    """A file of a newer logbridge is not touched; the error says what to do, in one line."""
    await SqliteStore(path).aclose()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(
        StoreError, match=rf"schema version {SCHEMA_VERSION + 1}.*use a newer logbridge"
    ) as raised:
        SqliteStore(path)
    assert "\n" not in str(raised.value)


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """A database that is no store is left alone."""
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE accounts (id INTEGER)")
    with pytest.raises(StoreError, match="another program"):
        SqliteStore(path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file with other content is a StoreError, not a crash later."""
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, " * 100)
    with pytest.raises(StoreError, match=r"notes\.txt as a store: file is not a database"):
        SqliteStore(path)


def test_a_path_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A directory that cannot be made is a StoreError that names the path and the setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="LOGBRIDGE_STORE"):
        SqliteStore(tmp_path / "file" / "logs.db")


async def test_a_broken_file_is_reported(store: SqliteStore, other_process: sqlite3.Connection) -> None:
    """When the tables are gone, writes fail and questions raise ReaderUnavailable, both with the reason."""
    other_process.execute("DROP TABLE logs")
    (failed,) = await store.write([make_entry()], deadline=soon())
    assert isinstance(failed, Failed)
    assert "no such table" in failed.reason
    with pytest.raises(ReaderUnavailable, match="no such table"):
        await store.query(LogQuery(), deadline=soon())


async def test_a_question_that_no_log_can_answer_is_refused(store: SqliteStore) -> None:
    """Half a surrogate pair in a question is refused, as no stored text can hold it."""
    with pytest.raises(QueryRefused):
        await store.query(LogQuery(text="\ud800"), deadline=soon())


async def test_a_late_question_is_given_up(store: SqliteStore) -> None:
    """A query past its deadline raises ReaderUnavailable, and the store still answers the next one."""
    await store.write([make_entry(message="a b" * 50) for _ in range(2000)], deadline=soon(30))
    with pytest.raises(ReaderUnavailable, match="deadline"):
        await store.query(LogQuery(text="a"), deadline=soon(-1))
    assert (await store.query(LogQuery(text="a"), deadline=soon())).total_count == 2000


async def test_a_closed_store_answers(path: Path) -> None:
    """After aclose writes fail, check says so, questions raise; what was begun before is on the disk."""
    store = SqliteStore(path)
    entries = [make_entry() for _ in range(50)]
    writes = [asyncio.ensure_future(store.write([entry], deadline=soon(30))) for entry in entries]
    await asyncio.sleep(0)
    await store.aclose()
    assert [(await write)[0] for write in writes] == [Accepted(entry.id) for entry in entries]
    (outcome,) = await store.write([make_entry()], deadline=soon())
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.UNAVAILABLE
    health = await store.check()
    assert not health.reachable
    assert "closed" in health.detail
    with pytest.raises(ReaderUnavailable, match="closed"):
        await store.query(LogQuery(), deadline=soon())


async def test_closing_ends_a_follow(path: Path) -> None:
    """Who follows is told that the store was closed."""
    store = SqliteStore(path)
    follow = store.follow(LogFilter())
    await anext(follow)
    waiting = asyncio.ensure_future(anext(follow))
    await asyncio.sleep(0)
    await store.aclose()
    with pytest.raises(ReaderUnavailable):
        await asyncio.wait_for(waiting, 30)


async def test_follow_sees_everything_while_being_written_to(store: SqliteStore) -> None:
    """A follow gives every entry once and in order while many writers store, over many pages."""
    batches = [[make_entry() for _ in range(100)] for _ in range(15)]
    async with contextlib.aclosing(store.follow(LogFilter())) as follow:
        await anext(follow)
        writes = [asyncio.ensure_future(store.write(batch, deadline=soon(30))) for batch in batches]
        followed = [await asyncio.wait_for(anext(follow), 30) for _ in range(1500)]
        await asyncio.gather(*writes)
    sequences = [item.sequence for item in followed]
    assert sequences == sorted(set(sequences))
    assert {item.entry.id for item in followed if item.entry} == {e.id for batch in batches for e in batch}


async def test_a_writer_that_gives_up_takes_nobody_with_it(store: SqliteStore) -> None:
    """Cancelling one write leaves the writes that wait beside it alone."""
    entries = [make_entry() for _ in range(20)]
    writes = [asyncio.ensure_future(store.write([entry], deadline=soon(30))) for entry in entries]
    await asyncio.sleep(0)
    for write in writes[::2]:
        write.cancel()
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert [answer[0] for answer in answers[1::2] if isinstance(answer, list)] == [
        Accepted(entry.id) for entry in entries[1::2]
    ]
