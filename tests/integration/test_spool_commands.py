"""logbridge spool …: what an operator sees of a spool on a real disk, and does with it."""

import asyncio
import json
from pathlib import Path

import pytest

from logbridge.domain.outcome import Refused
from logbridge.entrypoints.cli import run
from tests.factories import make_entry, soon
from tests.integration.test_spool import folder_of, opened


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A spool with two dead letters and three entries that wait."""
    directory = tmp_path / "spool"

    async def fill() -> None:
        async with opened(directory) as spool:
            await spool.append([make_entry(id=f"{n}", message=f"log {n}") for n in range(5)], deadline=soon())
            batch = await spool.take(2, 2**20)
            await spool.settle([], [(spooled, Refused(spooled.entry.id, "no, thanks")) for spooled in batch])

    asyncio.run(fill())
    return directory


def spool(directory: Path, *arguments: str) -> int:
    return run(["spool", *arguments, "--spool", f"sqlite:///{directory}"])


def test_status_counts(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table and the JSON say how much waits, since when, and what is dead."""
    assert spool(directory, "status") == 0
    assert "dead letters" in capsys.readouterr().out
    assert spool(directory, "status", "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["waiting"], status["dead"], status["files"], status["damaged"]) == (3, 2, 1, [])
    assert status["oldest"].startswith("20")


def test_list_shows_the_reasons(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dead letters come with their reasons, oldest first; --waiting shows the others, --limit fewer."""
    assert spool(directory, "list") == 0
    assert "no, thanks" in capsys.readouterr().out
    assert spool(directory, "list", "--json", "--limit", "1") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert (json.loads(line)["reason"], json.loads(line)["entry"]["log_id"]) == ("no, thanks", "0")
    assert spool(directory, "list", "--waiting", "--json") == 0
    waiting = [json.loads(line)["entry"]["log_id"] for line in capsys.readouterr().out.splitlines()]
    assert waiting == ["2", "3", "4"]
    assert spool(directory, "list", "--limit", "0") == 2


def test_retry_puts_dead_letters_back(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them wait again, and the command says how many."""
    assert spool(directory, "retry") == 0
    assert "2 dead letters wait again" in capsys.readouterr().out
    assert spool(directory, "retry", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"retried": 0}


def test_export_gives_requests(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line is a request that writes the entry, as `logbridge import` reads it."""
    assert spool(directory, "export") == 0
    exported = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["log_id"], one["message"]) for one in exported] == [("0", "log 0"), ("1", "log 1")]
    assert spool(directory, "export", "--waiting") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_purge_wants_to_be_sure(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --yes nothing is deleted, and the line says how much would be."""
    assert spool(directory, "purge") == 2
    assert "this deletes 2 dead letters for ever: add --yes" in capsys.readouterr().err
    assert spool(directory, "purge", "--waiting") == 2
    assert "3 waiting entries" in capsys.readouterr().err
    assert spool(directory, "purge", "--yes") == 0
    assert spool(directory, "purge", "--waiting", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"purged": 3}


def test_no_spool_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that is none, and a file that is damaged, are named with what to do."""
    assert spool(tmp_path / "none", "status") == 1
    assert "there is no spool at" in capsys.readouterr().err
    assert run(["spool", "status", "--spool", "file:///x"]) == 2
    assert "allowed is sqlite:///directory" in capsys.readouterr().err


def test_a_damaged_file_is_named(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read is said in one line, with what mends it."""
    (folder_of(directory) / "spool.db").write_bytes(b"no database at all" * 1000)
    assert spool(directory, "status") == 1
    assert "a start of the bridge sets it aside" in capsys.readouterr().err
