"""Writing many logs at once: what is new, what is there already, what is refused, one answer for each."""

import asyncio
import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from logbridge.adapters.sqlite.file import open_store_file
from logbridge.adapters.sqlite.store import SqliteStore
from logbridge.adapters.sqlite.write import STATEMENT_ROWS_MAX, store_batches
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Outcome, Refused
from tests.factories import make_entry, soon
from tests.sink_contract import read_back

TIME = "2024-08-30T10:30:45Z"
# Few ids, services and messages: most logs of an example meet another one.
ENTRIES = st.builds(
    make_entry,
    id=st.sampled_from("abcd"),
    service_name=st.sampled_from(["one", "two"]),
    message=st.sampled_from(["same", "other", "half \ud800"]),
    timestamp=st.sampled_from([TIME, TIME, "yesterday"]),
)
TRANSACTIONS = st.lists(st.lists(st.lists(ENTRIES, max_size=5), max_size=4), max_size=3)


def kind(outcome: Outcome) -> tuple[str, Cause | None]:
    return outcome.log_id, outcome.cause if isinstance(outcome, Refused) else None


class Model:
    """What a store must hold, and answer, said plainly: one log after the other."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], LogEntry] = {}

    def write(self, entry: LogEntry) -> tuple[str, Cause | None]:
        if "\ud800" in entry.message or entry.timestamp != TIME:
            return entry.id, Cause.INVALID
        stored = self.stored.setdefault((entry.service_name, entry.id), entry)
        return entry.id, None if stored.same_content(entry) else Cause.CONFLICT


@given(TRANSACTIONS)
def test_any_batches_are_answered_as_a_plain_model_does(transactions: list[list[list[LogEntry]]]) -> None:
    """Logs of one transaction meet each other as they would one by one, and are stored in the same order."""
    model = Model()
    with (
        tempfile.TemporaryDirectory() as directory,
        contextlib.closing(open_store_file(Path(directory) / "logs.db", 1)) as connection,
    ):
        for batches in transactions:
            answers = store_batches(connection, batches)
            assert [[kind(outcome) for outcome in batch] for batch in answers] == [
                [model.write(entry) for entry in batch] for batch in batches
            ]
        rows = connection.execute("SELECT service_name, id, message FROM logs ORDER BY seq").fetchall()
    assert rows == [(*key, entry.message) for key, entry in model.stored.items()]


async def write(store: SqliteStore, entries: Sequence[LogEntry]) -> list[Outcome]:
    return list(await store.write(entries, deadline=soon(30)))


async def test_a_batch_larger_than_one_statement(tmp_path: Path) -> None:
    """Every log of it is answered in its place, also those that come twice or were there before."""
    store = SqliteStore(tmp_path / "logs.db")
    there = make_entry(message="there before")
    await write(store, [there])
    entries = [make_entry(message=f"log {number}") for number in range(STATEMENT_ROWS_MAX + 20)]
    taken = make_entry(id=entries[3].id, message="other content")
    answers = await write(store, [*entries, entries[0], there, taken])
    assert answers[:-1] == [Accepted(entry.id) for entry in (*entries, entries[0], there)]
    assert isinstance(answers[-1], Refused)
    assert answers[-1].cause is Cause.CONFLICT
    assert len(await read_back(store, text="log 2049")) == 1
    assert await write(store, entries) == [Accepted(entry.id) for entry in entries]
    page = await asyncio.gather(read_back(store, text="there before"), read_back(store, text="log 2067"))
    assert [len(found) for found in page] == [1, 1]
    await store.aclose()
