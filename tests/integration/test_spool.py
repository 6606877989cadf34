"""The spool on a real disk: what it keeps, what it survives, and what it says of damage."""

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from logbridge.adapters.memory import MemorySink
from logbridge.adapters.spool.file import DATABASE_NAME, SCHEMA_VERSION, SpoolFile
from logbridge.adapters.spool.inventory import SpoolInventory
from logbridge.adapters.spool.lock import BRIDGE_LOCK_NAME, BridgeLock
from logbridge.adapters.spool.spool import SpoolLimits, SqliteSpool
from logbridge.adapters.spool.tally import TALLY_NAME
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import StoreError
from logbridge.domain.outcome import Accepted, Cause, Failed, Refused
from logbridge.domain.ports import LogSink
from logbridge.entrypoints.clock import new_id, utc_now
from logbridge.entrypoints.container import Container, close, start
from logbridge.entrypoints.settings import Settings
from tests.factories import make_entry, soon
from tests.sink_contract import SinkContract

NO_LIMITS = SpoolLimits(bytes_max=2**40, disk_free_bytes_min=0)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A spool directory that does not exist yet."""
    return tmp_path / "not yet" / "spool"


def open_spool(directory: Path, limits: SpoolLimits = NO_LIMITS, token: str = "") -> SqliteSpool:
    lock = BridgeLock.join(directory, token) if token else BridgeLock.acquire(directory, "token", utc_now())
    return SqliteSpool(directory, limits, lock, now=utc_now, new_id=new_id)


@asynccontextmanager
async def opened(directory: Path, limits: SpoolLimits = NO_LIMITS) -> AsyncIterator[SqliteSpool]:
    spool = open_spool(directory, limits)
    try:
        yield spool
    finally:
        await spool.aclose()


async def keep(directory: Path, entries: list[LogEntry]) -> None:
    async with opened(directory) as spool:
        outcomes = await spool.append(entries, deadline=soon())
        assert list(outcomes) == [Accepted(entry.id, spooled=True) for entry in entries]


async def taken(spool: SqliteSpool) -> list[LogEntry]:
    found: list[LogEntry] = []
    while batch := await spool.take(100, 2**20):
        found += [spooled.entry for spooled in batch]
    return found


def folder_of(directory: Path) -> Path:
    (folder,) = (path for path in directory.iterdir() if (path / DATABASE_NAME).exists())
    return folder


class TestDurableChain(SinkContract):
    """The contract suite over the durable chain, as the container builds it, on a real spool."""

    reads_back = False
    follows = False
    honours_ids = False

    @pytest.fixture
    async def sink(self, directory: Path) -> AsyncIterator[LogSink]:
        container = Container(Settings(ack="durable", spool=f"sqlite:///{directory}"), MemorySink())
        chain = container.durable
        assert chain is not None
        start(container)
        yield chain
        await close(container)


async def test_kept_entries_are_given_until_they_are_settled(directory: Path) -> None:
    """What was kept is given once to a process, again after a restart, and never after it was delivered."""
    entries = [make_entry(message=f"log {number}\x00日志") for number in range(250)]
    await keep(directory, entries)
    async with opened(directory) as spool:
        assert await taken(spool) == entries
    async with opened(directory) as spool:
        first = await spool.take(100, 2**20)
        await spool.settle(first, [])
        assert await taken(spool) == entries[100:]
    async with opened(directory) as spool:
        assert await taken(spool) == entries[100:]
    status = SpoolInventory(directory).status()
    assert (status.waiting, status.delivered, status.dead, status.damaged) == (150, 100, 0, [])


async def test_a_batch_keeps_to_its_bytes(directory: Path) -> None:
    """A batch ends before it grows past its bytes, and holds at least one entry, however large."""
    entries = [make_entry(message="x" * size) for size in (10, 10, 5000, 10)]
    await keep(directory, entries)
    async with opened(directory) as spool:
        sizes = []
        while batch := await spool.take(100, 1000):
            sizes.append(len(batch))
    assert sizes == [2, 1, 1]


async def test_entries_that_arrive_together_are_all_kept(directory: Path) -> None:
    """Hundreds of writes at once share transactions, and each gets its own answer."""
    entries = [make_entry() for _ in range(500)]
    async with opened(directory) as spool:
        answers = await asyncio.gather(*(spool.append([entry], deadline=soon(30)) for entry in entries))
        assert [answer[0] for answer in answers] == [Accepted(entry.id, spooled=True) for entry in entries]
        assert {entry.id for entry in await taken(spool)} == {entry.id for entry in entries}


async def test_dead_letters_are_kept_with_their_reason(directory: Path) -> None:
    """A refused entry is not given again, also after a restart; retry gives it back to a running bridge."""
    good, bad = make_entry(), make_entry()
    await keep(directory, [good, bad])
    async with opened(directory) as spool:
        first, second = await spool.take(10, 2**20)
        await spool.settle([first], [(second, Refused(bad.id, "no, thanks"))])
    async with opened(directory) as spool:
        assert await taken(spool) == []
        inventory = SpoolInventory(directory)
        (letter,) = inventory.entries(dead=True)
        assert (letter.entry, letter.reason) == (bad, "no, thanks")
        assert inventory.retry() == 1
        assert await taken(spool) == [bad]
    assert inventory.status().buried == 1


@pytest.mark.parametrize("work", ["retry", "purge"])
async def test_what_is_interrupted_goes_on(directory: Path, work: str) -> None:
    """Retry and purge tell how far they are; interrupted they leave whole steps, and can go on."""
    async with opened(directory) as spool:
        await spool.append([make_entry() for _ in range(1200)], deadline=soon(30))
        letters = await spool.take(1200, 2**30)
        await spool.settle([], [(letter, Refused(letter.entry.id, "no")) for letter in letters])
        inventory = SpoolInventory(directory)
        arguments: dict[str, Any] = {} if work == "retry" else {"dead": True}
        told: list[tuple[int, int]] = []

        def interrupt(done: int, total: int) -> None:
            told.append((done, total))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            getattr(inventory, work)(interrupt, **arguments)
        left = inventory.status().dead
        assert told == [(1200 - left, 1200)]
        assert 0 < left < 1200
        assert getattr(inventory, work)(lambda done, total: told.append((done, total)), **arguments) == left
        assert told[-1] == (left, left)
        assert (inventory.status().dead, len(await taken(spool))) == (0, 1200 if work == "retry" else 0)
    assert SpoolInventory(directory).status().damaged == []


async def test_purged_letters_are_gone_and_not_lost(directory: Path) -> None:
    """Purging removes for good, makes room at once, and is no damage at the next start."""
    limits = SpoolLimits(bytes_max=5000, disk_free_bytes_min=0)
    async with opened(directory, limits) as spool:
        await spool.append([make_entry(message="x" * 5000)], deadline=soon())
        assert isinstance((await spool.append([make_entry()], deadline=soon()))[0], Failed)
        (only,) = await spool.take(10, 2**20)
        await spool.settle([], [(only, Refused(only.entry.id, "no"))])
        assert SpoolInventory(directory).purge(dead=True) == 1
        assert await taken(spool) == []
        assert isinstance((await spool.append([make_entry()], deadline=soon()))[0], Accepted)
    async with opened(directory) as spool:
        assert len(await taken(spool)) == 1
    assert SpoolInventory(directory).status().damaged == []


async def test_the_spool_is_bounded(directory: Path) -> None:
    """Beyond its bytes, and when the disk has too little room, nothing is kept, and the setting is named."""
    full = SpoolLimits(bytes_max=1, disk_free_bytes_min=0)
    async with opened(directory, full) as spool:
        (accepted,) = await spool.append([make_entry()], deadline=soon())
        (failed,) = await spool.append([make_entry()], deadline=soon())
        assert isinstance(accepted, Accepted)
        assert isinstance(failed, Failed)
        assert (failed.cause, "LOGBRIDGE_SPOOL_BYTES_MAX=1" in failed.reason) == (Cause.OVERLOADED, True)
        assert not (await spool.check()).reachable
        await spool.settle(await spool.take(10, 2**20), [])
        assert (await spool.check()).reachable
    async with opened(directory, SpoolLimits(2**40, disk_free_bytes_min=2**60)) as spool:
        (failed,) = await spool.append([make_entry()], deadline=soon())
        assert isinstance(failed, Failed)
        assert "LOGBRIDGE_SPOOL_DISK_FREE_BYTES_MIN" in failed.reason


async def test_a_second_bridge_is_refused(directory: Path) -> None:
    """The error names the process that holds the directory; its own workers get in; afterwards all may."""
    async with opened(directory):
        with pytest.raises(StoreError, match=f"process {os.getpid()} on .*LOGBRIDGE_SPOOL"):
            open_spool(directory)
        with pytest.raises(StoreError, match="another bridge"):
            open_spool(directory, token="of another bridge")
        worker = open_spool(directory, token="token")
        await worker.aclose()
    async with opened(directory):
        pass


async def test_a_worker_takes_over_what_a_dead_one_left(directory: Path) -> None:
    """Entries of a worker that ended are given by one that lives, and its file goes when it is empty."""
    clock = [0.0]
    lock = BridgeLock.acquire(directory, "token", utc_now())
    alive = SqliteSpool(directory, NO_LIMITS, lock, now=utc_now, new_id=new_id, monotonic=lambda: clock[0])
    dying = open_spool(directory, token="token")
    entry = make_entry()
    await dying.append([entry], deadline=soon())
    assert await taken(alive) == []
    await dying.aclose()
    clock[0] += 60
    (left,) = await alive.take(10, 2**20)
    assert left.entry == entry
    await alive.settle([left], [])
    assert await taken(alive) == []
    assert SpoolInventory(directory).status().delivered == 1
    assert folder_of(directory)  # one is left
    await alive.aclose()


_KILLED = """
import asyncio, sys
from pathlib import Path
from typing import Any
from tests.factories import make_entry, soon
from tests.integration.test_spool import open_spool

async def write():
    spool = open_spool(Path(sys.argv[1]))
    number = 0
    while True:
        batch = [make_entry(id=f"{number + n}", message="x" * 500) for n in range(10)]
        number += 10
        outcomes = await spool.append(batch, deadline=soon(30))
        sys.stdout.write("".join(f"{outcome.log_id}\\n" for outcome in outcomes))
        sys.stdout.flush()

asyncio.run(write())
"""


def killed_writer(directory: Path, lines: int) -> list[str]:
    """A process that keeps entries until it is killed with -9; the ids that it acknowledged."""
    writer = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(directory)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert writer.stdout is not None
    ids = [writer.stdout.readline().strip() for _ in range(lines)]
    writer.kill()
    rest, _ = writer.communicate(timeout=60)
    assert writer.returncode == -signal.SIGKILL
    return ids + rest.split()


async def test_acknowledged_entries_survive_kill_9(directory: Path) -> None:
    """Whatever was acknowledged before the process was killed is there, and nothing counts as damaged."""
    ids = killed_writer(directory, 500)
    async with opened(directory) as spool:
        found = {entry.id for entry in await taken(spool)}
    assert set(ids) <= found
    assert SpoolInventory(directory).status().damaged == []


Damage = Callable[[Path, random.Random], None]


def flip(name: str) -> Damage:
    def damage(folder: Path, chance: random.Random) -> None:
        raw = bytearray((folder / name).read_bytes())
        for _ in range(chance.randint(1, 20)):
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        (folder / name).write_bytes(raw)

    return damage


def cut(name: str) -> Damage:
    def damage(folder: Path, chance: random.Random) -> None:
        os.truncate(folder / name, chance.randrange((folder / name).stat().st_size))

    return damage


def remove(name: str) -> Damage:
    def damage(folder: Path, chance: random.Random) -> None:
        (folder / name).unlink()

    return damage


DAMAGES = {
    f"{kind.__name__} {name}": kind(name)
    for kind in (flip, cut, remove)
    for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal", TALLY_NAME)
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A spool as a killed bridge leaves it, with entries in the database and in its write-ahead log."""
    directory = tmp_path_factory.mktemp("killed") / "spool"

    async def deliver_some() -> None:
        async with opened(directory) as spool:
            await spool.append([make_entry(id=f"first {n}") for n in range(300)], deadline=soon())
            await spool.settle(await spool.take(100, 2**20), [])

    asyncio.run(deliver_some())
    return directory, [f"first {n}" for n in range(100, 300)] + killed_writer(directory, 1000)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(name="flip spool.db", seed=15802)
@given(name=st.sampled_from(sorted(DAMAGES)), seed=st.integers(0, 2**32))
def test_damage_is_counted_and_named_exactly(
    killed: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory, name: str, seed: int
) -> None:
    """Whatever happens to one file: the spool opens, each entry is given or named as lost, none comes that
    was delivered before, and a damaged tally alone costs nothing."""
    original, acknowledged = killed
    directory = tmp_path_factory.mktemp("damaged") / "spool"
    subprocess.run(["cp", "-r", str(original), str(directory)], check=True)
    DAMAGES[name](folder_of(directory), random.Random(seed))

    async def look() -> set[str]:
        async with opened(directory) as spool:
            found = {entry.id for entry in await taken(spool)}
            assert isinstance((await spool.append([make_entry()], deadline=soon()))[0], Accepted)
            return found

    found = asyncio.run(look())
    reports = SpoolInventory(directory).status().damaged
    lost = {log_id for report in reports for log_id in report.lost_ids}
    assert set(acknowledged) - found == lost
    assert sum(report.lost for report in reports) == len(lost)
    assert not any(log_id.startswith("first ") and int(log_id.split()[1]) < 100 for log_id in found)
    if TALLY_NAME in name:
        assert lost == set()


async def test_what_can_be_read_is_saved(directory: Path) -> None:
    """A database whose root page is destroyed still gives what lies in its other pages."""
    entries = [make_entry(message="x" * 1000) for _ in range(200)]
    await keep(directory, entries)
    folder = folder_of(directory)
    raw = bytearray((folder / DATABASE_NAME).read_bytes())
    with closing(sqlite3.connect(folder / DATABASE_NAME)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'entries'").fetchone()
    raw[8192 * (root - 1) : 8192 * root] = bytes(8192)
    (folder / DATABASE_NAME).write_bytes(raw)
    async with opened(directory) as spool:
        assert {entry.id for entry in await taken(spool)} == {entry.id for entry in entries}
    (report,) = SpoolInventory(directory).status().damaged
    assert (report.found, report.lost) == (200, 0)


async def test_damage_while_it_runs_is_set_aside(directory: Path) -> None:
    """A file that goes bad under a running bridge is replaced, and writes go on."""
    async with opened(directory) as spool:
        entries = [make_entry() for _ in range(50)]
        await spool.append(entries, deadline=soon())
        with closing(sqlite3.connect(folder_of(directory) / DATABASE_NAME)) as connection:
            connection.execute("UPDATE entries SET record = zeroblob(50) WHERE seq = 7")
            connection.commit()
        # Its bytes still stand in the write-ahead log, so not even this one is lost.
        assert {entry.id for entry in await taken(spool)} == {entry.id for entry in entries}
        assert isinstance((await spool.append([make_entry()], deadline=soon()))[0], Accepted)
    (report,) = SpoolInventory(directory).status().damaged
    assert (report.found, report.lost) == (50, 0)
    assert "entry 7" in report.why


async def test_saving_goes_on_after_a_crash(directory: Path) -> None:
    """A file that was set aside by a process that ended before saving it is saved by the next one."""
    entries = [make_entry() for _ in range(10)]
    await keep(directory, entries)
    folder = folder_of(directory)
    (directory / "damaged").mkdir()
    folder.rename(directory / "damaged" / "it-1")
    (directory / "it-1-saved.half-done").mkdir()
    async with opened(directory) as spool:
        assert await taken(spool) == entries
    assert [report.file for report in SpoolInventory(directory).status().damaged] == ["it-1"]


async def test_a_newer_spool_is_refused(directory: Path) -> None:
    """A file of a newer logbridge is left alone; the one line says what to do."""
    await keep(directory, [make_entry()])
    with closing(sqlite3.connect(folder_of(directory) / DATABASE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match="schema version 2, this logbridge knows up to 1"):
        open_spool(directory)
    with pytest.raises(StoreError, match="schema version 2"):
        SpoolInventory(directory).status()


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """A spool below a file is refused with its path and the setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/spool: Not a directory.*LOGBRIDGE_SPOOL"):
        open_spool(tmp_path / "file" / "spool")
    with pytest.raises(StoreError, match="there is no spool"):
        SpoolInventory(tmp_path / "none")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk may be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_full_disk_loses_nothing(small_disk: Path) -> None:
    """Without room nothing is accepted; what was accepted is given, and removed when there is room again."""
    directory = small_disk / "spool"
    async with opened(directory, SpoolLimits(2**40, disk_free_bytes_min=2**20)) as spool:
        accepted: list[str] = []
        outcomes = await spool.append([make_entry(message="x" * 20_000)], deadline=soon())
        while isinstance(outcomes[0], Accepted):
            accepted.append(outcomes[0].log_id)
            outcomes = await spool.append([make_entry(message="x" * 20_000)], deadline=soon())
        assert isinstance(outcomes[0], Failed)
        ballast = small_disk / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        batch = await spool.take(1000, 2**30)
        assert [spooled.entry.id for spooled in batch] == accepted
        await spool.settle(batch, [])
        assert await taken(spool) == []
        ballast.unlink()
        assert await taken(spool) == []
    async with opened(directory) as spool:
        assert await taken(spool) == []
    assert SpoolInventory(directory).status().delivered == len(accepted)


async def test_a_crash_between_tally_and_removal_gives_nothing_twice(directory: Path) -> None:
    """What the tally knows as settled is not given again, though the database still has it."""
    await keep(directory, [make_entry(id="a"), make_entry(id="b")])
    file = SpoolFile(folder_of(directory))
    file._tally.remove([1])
    file.close()
    async with opened(directory) as spool:
        assert [entry.id for entry in await taken(spool)] == ["b"]
    assert SpoolInventory(directory).status().damaged == []


async def test_a_database_older_than_its_tally_has_lost_entries(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tally that was begun anew is shorter than the one that a database without its end remembers: what is
    missing there is lost and named, and the tally is not taken for the damaged one."""
    monkeypatch.setattr("logbridge.adapters.spool.file.TALLY_BYTES_MIN", 2000)
    kept, copy = directory.parent / "kept", directory.parent / "copy"
    async with opened(directory) as spool:
        await spool.append([make_entry() for _ in range(100)], deadline=soon())
        await spool.append([make_entry()], deadline=soon())
        shutil.copytree(directory, kept)
        await spool.settle(await spool.take(1000, 2**20), [])
        await spool.append([make_entry(id="lost")], deadline=soon())
        shutil.copytree(directory, copy)
    folder = folder_of(copy)
    for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal"):
        (folder / name).write_bytes((kept / folder.name / name).read_bytes())
    async with opened(copy) as spool:
        # Delivered ones come again: at least once, where the memory of their end is gone with the database's.
        assert len(await taken(spool)) == 101
    (report,) = SpoolInventory(copy).status().damaged
    assert report.lost_ids == ["lost"]


async def test_the_tally_stays_in_proportion(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size follows what waits, not what ever passed through."""
    monkeypatch.setattr("logbridge.adapters.spool.file.TALLY_BYTES_MIN", 2000)
    async with opened(directory) as spool:
        for _ in range(30):
            await spool.append([make_entry() for _ in range(10)], deadline=soon())
            await spool.settle(await spool.take(100, 2**20), [])
        await spool.append([make_entry(id="last")], deadline=soon())
    assert (folder_of(directory) / TALLY_NAME).stat().st_size < 3000
    async with opened(directory) as spool:
        assert [entry.id for entry in await taken(spool)] == ["last"]


async def test_a_closed_spool_says_so(directory: Path) -> None:
    """After aclose nothing is kept, and closing again does nothing."""
    spool = open_spool(directory)
    await spool.aclose()
    await spool.aclose()
    (failed,) = await spool.append([make_entry()], deadline=soon())
    assert isinstance(failed, Failed)
    assert "closed" in failed.reason


def test_nobody_else_may_read_the_spool(directory: Path) -> None:
    """Logs are private: the folders are open to their owner only."""
    asyncio.run(keep(directory, [make_entry()]))
    assert {path.stat().st_mode & 0o077 for path in (directory, folder_of(directory))} == {0}
    assert json.loads((directory / BRIDGE_LOCK_NAME).read_bytes())["pid"] == os.getpid()
