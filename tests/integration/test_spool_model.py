"""The spool on a real disk against a plain model: any order of use, restarts and operators' commands."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from logbridge.adapters.spool.inventory import SpoolInventory
from logbridge.adapters.spool.spool import SqliteSpool
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Refused
from logbridge.domain.ports import Spooled
from tests.factories import make_entry, soon
from tests.integration.test_spool import open_spool

_COUNT = st.integers(1, 6)


class SpoolModel(RuleBasedStateMachine):
    """waiting, taken and dead are what the model thinks; the spool must agree after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(), "spool")
        self.spool = self.opened()
        self.waiting: dict[str, LogEntry] = {}
        self.taken: list[Spooled] = []
        self.dead: dict[str, LogEntry] = {}
        self.delivered = 0

    def opened(self) -> SqliteSpool:
        async def made() -> SqliteSpool:
            return open_spool(self.directory)

        return self.runner.run(made())

    @rule(count=_COUNT, size=st.sampled_from([1, 100, 10_000]))
    def append(self, count: int, size: int) -> None:
        entries = [make_entry(message="日" * size) for _ in range(count)]
        outcomes = self.runner.run(self.spool.append(entries, deadline=soon(30)))
        assert list(outcomes) == [Accepted(entry.id, spooled=True) for entry in entries]
        self.waiting |= {entry.id: entry for entry in entries}

    @rule(count=_COUNT)
    def take(self, count: int) -> None:
        batch = self.runner.run(self.spool.take(count, 2**30))
        free = [
            log_id for log_id in self.waiting if log_id not in {spooled.entry.id for spooled in self.taken}
        ]
        assert len(batch) <= count
        assert bool(batch) is bool(free)
        for spooled in batch:
            assert spooled.entry.id in free
            assert self.waiting[spooled.entry.id] == spooled.entry
        self.taken += batch

    @rule(count=_COUNT, refused=st.booleans())
    def settle(self, count: int, refused: bool) -> None:
        settled, self.taken = self.taken[:count], self.taken[count:]
        if refused:
            dead = [(spooled, Refused(spooled.entry.id, "no")) for spooled in settled]
            self.runner.run(self.spool.settle([], dead))
            self.dead |= {spooled.entry.id: spooled.entry for spooled in settled}
        else:
            self.runner.run(self.spool.settle(settled, []))
            self.delivered += len(settled)
        for spooled in settled:
            del self.waiting[spooled.entry.id]

    @rule()
    def restart(self) -> None:
        self.runner.run(self.spool.aclose())
        self.spool = self.opened()
        self.taken = []

    @rule()
    def retry(self) -> None:
        assert SpoolInventory(self.directory).retry() == len(self.dead)
        self.waiting |= self.dead
        self.dead = {}

    @rule()
    def purge(self) -> None:
        assert SpoolInventory(self.directory).purge(dead=True) == len(self.dead)
        self.dead = {}

    @invariant()
    def agrees(self) -> None:
        inventory = SpoolInventory(self.directory)
        status = inventory.status()
        assert (status.waiting, status.dead, status.delivered) == (
            len(self.waiting),
            len(self.dead),
            self.delivered,
        )
        assert status.damaged == []
        assert {kept.entry.id for kept in inventory.entries(dead=False)} == set(self.waiting)
        assert {kept.entry.id for kept in inventory.entries(dead=True)} == set(self.dead)

    def teardown(self) -> None:
        self.runner.run(self.spool.aclose())
        self.runner.close()
        shutil.rmtree(self.directory.parent)


TestSpoolModel = SpoolModel.TestCase
TestSpoolModel.settings = settings(max_examples=20, stateful_step_count=25)
