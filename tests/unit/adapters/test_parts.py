"""Entries in halves, and one by one."""

import asyncio
from collections.abc import Sequence

from logbridge.adapters.parts import Singles, write_halves
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Outcome
from logbridge.domain.ports import Deadline
from tests.factories import make_entry, soon


async def test_halves_go_one_after_the_other_and_keep_the_order() -> None:
    """Two writes, the smaller half first, and one outcome for each entry in its place."""
    entries, written = [make_entry() for _ in range(5)], []

    async def write(chunk: Sequence[LogEntry], _: Deadline) -> list[Outcome]:
        written.append(len(chunk))
        return [Accepted(entry.id) for entry in chunk]

    outcomes = await write_halves(write, entries, soon())
    assert outcomes == [Accepted(entry.id) for entry in entries]
    assert written == [2, 3]


async def test_singles_are_so_many_at_once_and_keep_the_order() -> None:
    """No more writes are under way than may be, and each outcome is in its place."""
    entries, under_way, most = [make_entry() for _ in range(9)], 0, 0

    async def write(entry: LogEntry, _: Deadline) -> Outcome:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return Accepted(entry.id)

    outcomes = await Singles(3, lambda: 0.0).write(write, entries, soon())
    assert outcomes == [Accepted(entry.id) for entry in entries]
    assert most == 3


def test_singles_are_due_for_a_while() -> None:
    """From the answer that left something open, for so many seconds."""
    now_s = 10.0
    singles = Singles(1, lambda: now_s)
    assert not singles.due
    singles.begin(30)
    now_s = 39.9
    assert singles.due
    now_s = 40.0
    assert not singles.due
