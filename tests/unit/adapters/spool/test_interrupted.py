"""A process that dies between handing entries on and the answer: they go again, and are counted."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from logbridge.adapters.spool.file import DATABASE_NAME, SpoolFile
from logbridge.adapters.spool.folders import Folders, OwnedFile
from tests.factories import make_entry

NOW = "2026-01-01T00:00:00Z"
ENTRIES = 3


@pytest.fixture
def died(tmp_path: Path) -> Iterator[SpoolFile]:
    """The spool file of a process that kept entries and then just stopped working on them."""
    file = SpoolFile(tmp_path / "spool" / "worker")
    file.append([make_entry() for _ in range(ENTRIES)], NOW)
    yield file
    file.close()


def adopted(file: SpoolFile) -> OwnedFile:
    """What the next process makes of it."""
    names = map(str, count())
    return next(Folders(file.folder.parent, lambda: NOW, lambda: next(names)).adopt(set()))


def resent(owned: OwnedFile) -> int:
    found = owned.file.counters().get("resent", 0)
    owned.close()
    return found


def test_entries_in_flight_are_counted_once(died: SpoolFile) -> None:
    """What was handed on counts as sent again; the process after the next one does not count it anew."""
    died.send([sequence for sequence, _ in died.take(ENTRIES, 10**6)])
    assert resent(adopted(died)) == ENTRIES
    assert resent(adopted(died)) == ENTRIES


def test_entries_with_an_answer_are_not_counted(died: SpoolFile) -> None:
    """What was settled, or is known not to be written, does not count."""
    sequences = [sequence for sequence, _ in died.take(ENTRIES, 10**6)]
    died.send(sequences)
    died.settle(sequences[:1], [], NOW)
    died.answered(sequences[1:])
    assert resent(adopted(died)) == 0


def test_entries_in_flight_are_counted_after_a_new_tally(died: SpoolFile) -> None:
    """A tally that was written anew still knows what was handed on."""
    died.send([sequence for sequence, _ in died.take(ENTRIES, 10**6)])
    died.renew_tally()
    assert resent(adopted(died)) == ENTRIES


def test_counters_survive_damage(died: SpoolFile) -> None:
    """Counts that can be read in a damaged file are kept, and what was in flight is added."""
    died.count("resent", 5)
    died.send([sequence for sequence, _ in died.take(1, 10**6)])
    broken = "UPDATE entries SET record = substr(record, 1, 20) WHERE seq = 3"
    with died._connection:
        died._connection.execute(broken)
    assert (died.folder / DATABASE_NAME).exists()
    assert resent(adopted(died)) == 5 + 1
