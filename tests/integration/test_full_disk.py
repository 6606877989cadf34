"""The log service on a disk that is really full: it refuses, keeps answering questions, and recovers."""

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode

from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.sqlite.file import open_store_file
from logbridge.adapters.sqlite.store import SqliteStore
from logbridge.adapters.sqlite.upkeep import StoreFile
from logbridge.adapters.sqlite.write import store_batches
from logbridge.domain.errors import StoreError
from logbridge.domain.outcome import Cause, Failed
from tests.factories import make_entry, soon
from tests.integration.test_log_service import Client, client_of
from tests.sink_contract import read_back

DISK_BYTES = 8 * 1024 * 1024
BALLAST_BYTES = 2 * 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("CI") == "true":
            raise
        # Mounting needs root; where tests must be complete that is a failure, above.
        pytest.skip(f"a small disk may not be mounted here: {error}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.fixture
async def store(disk: Path) -> AsyncIterator[SqliteStore]:
    """A store on the small disk, of which a ballast takes a part."""
    (disk / "ballast").write_bytes(b"x" * BALLAST_BYTES)
    store = SqliteStore(disk / "logs.db")
    yield store
    await store.aclose()


async def fill(client: Client) -> tuple[list[str], grpc.aio.AioRpcError]:
    """Write until a log is refused; the ids that were acknowledged, and the refusal."""
    acknowledged: list[str] = []
    while True:
        log_id = f"log-{len(acknowledged)}"
        try:
            answer = await client.write(id=log_id, message=f"{log_id} {os.urandom(400).hex()}")
        except grpc.aio.AioRpcError as error:
            return acknowledged, error
        acknowledged.append(answer.log_id)


def fill_up(disk: Path) -> None:
    """Take every byte that is left."""
    with contextlib.suppress(OSError), (disk / "more ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(b"x" * 4096)


async def test_a_full_disk_refuses_and_keeps_serving(disk: Path, store: SqliteStore) -> None:
    """Writes are refused with RESOURCE_EXHAUSTED, questions go on, nothing acknowledged is lost.

    Once there is room again, writes pass, among them the one that was refused.
    """
    async with client_of(store) as client:
        acknowledged, refusal = await fill(client)
        assert refusal.code() is StatusCode.RESOURCE_EXHAUSTED
        assert "disk is full" in (refusal.details() or "")
        assert len(acknowledged) > 100
        batch = [pb.LogEntry(id=f"batch-{number}", message="x" * 900) for number in range(500)]
        refused = await client.call("BatchWriteLog", pb.BatchWriteLogRequest(log_entries=batch))
        assert {result.verdict for result in refused.results} == {pb.EntryResult.FAILED}
        for text in ("", acknowledged[50]):
            found = await client.call("QueryLog", pb.QueryLogRequest(q=text, limit=1))
            assert found.success
        assert {entry.id for entry in await read_back(store)} == set(acknowledged)
        (disk / "ballast").unlink()
        again = f"log-{len(acknowledged)}"
        assert (await client.write(id=again, message="there is room")).log_id == again
    assert {entry.id for entry in await read_back(store)} == {*acknowledged, again}
    assert StoreFile(disk / "logs.db").check(lambda *_: None).problems == []


async def test_a_service_that_ran_into_a_full_disk_starts_again(disk: Path, store: SqliteStore) -> None:
    """Without any room a new service answers questions about all that is acknowledged, and refuses writes."""
    async with client_of(store) as client:
        acknowledged, _ = await fill(client)
    await store.aclose()
    fill_up(disk)
    again = SqliteStore(disk / "logs.db")
    assert {entry.id for entry in await read_back(again)} == set(acknowledged)
    (failed,) = await again.write([make_entry()], deadline=soon(30))
    await again.aclose()
    assert isinstance(failed, Failed)
    assert failed.cause is Cause.OVERLOADED


async def test_the_write_ahead_log_finds_no_room(disk: Path, store: SqliteStore) -> None:
    """Where SQLite speaks of an I/O error only, the line at the start still says that the disk is full."""
    await store.aclose()
    (disk / "ballast").unlink()
    fill_up(disk)
    with pytest.raises(StoreError, match="make room on its disk") as raised:
        SqliteStore(disk / "logs.db")
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is not None
    assert getattr(raised.value.__cause__, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL


def test_no_room_for_a_backup_or_a_restore(disk: Path, tmp_path: Path) -> None:
    """Both end with a line that says to make room; no half backup stays, and the restore goes on later."""
    source = StoreFile(tmp_path / "large.db")
    with contextlib.closing(open_store_file(source.path, 1)) as connection:
        entries = [make_entry(message=os.urandom(400).hex()) for _ in range(2000)]
        store_batches(connection, [entries])
    with pytest.raises(StoreError, match="make room on the disk and run it again"):
        source.backup(disk / "backup.db", lambda *_: None)
    assert not [file for file in disk.iterdir() if "backup" in file.name]
    target = StoreFile(disk / "logs.db")
    with pytest.raises(StoreError, match="make room on the disk and run it again"):
        target.restore(source.path, lambda *_: None)
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    restored = target.restore(source.path, lambda *_: None)
    assert restored.added + restored.present == 2000
    assert restored.present > 0
    assert target.check(lambda *_: None).problems == []
