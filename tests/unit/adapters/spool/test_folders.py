"""The folders of a spool: which worker takes which, also while another one makes its own."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from logbridge.adapters.spool import folders as module
from logbridge.adapters.spool.damage import inspect
from logbridge.adapters.spool.file import DATABASE_NAME
from logbridge.adapters.spool.folders import Folders, OwnedFile
from tests.factories import make_entry

NOW = "2026-01-01T00:00:00Z"


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Those of a worker; any other one of the bridge sees the same."""
    names = map(str, count())
    return Folders(tmp_path / "spool", lambda: NOW, lambda: next(names))


@pytest.fixture
def seen(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[OwnedFile]]:
    """Gives what another worker finds without an owner right after each call of this name in the module."""

    def watch(name: str) -> list[OwnedFile]:
        call, found = getattr(module, name), list[OwnedFile]()

        def watched(*arguments: Any) -> Any:
            result = call(*arguments)
            found.extend(folders.adopt(set()))
            return result

        monkeypatch.setattr(module, name, watched)
        return found

    return watch


def test_a_new_file_belongs_to_its_maker(folders: Folders, seen: Callable[[str], list[OwnedFile]]) -> None:
    """Another worker that looks before it is complete leaves it alone; who is gone leaves it to others."""
    found = seen("SpoolFile")
    owned = folders.make()
    owned.file.append([make_entry()], NOW)
    assert not found
    owned.close()
    (adopted,) = folders.adopt(set())
    assert adopted.file.contents().waiting == 1
    adopted.close()


def test_what_was_saved_belongs_to_who_saved_it(
    folders: Folders, seen: Callable[[str], list[OwnedFile]]
) -> None:
    """Another worker that looks while a damaged file is set aside takes neither that nor what was saved."""
    owned = folders.make()
    owned.file.append([make_entry()], NOW)
    owned.file.close()
    (owned.file.folder / DATABASE_NAME).write_bytes(b"damaged")
    found = seen("read_report")
    saved = folders.set_aside(owned.file.folder, inspect(owned.file.folder))
    owned.let_go()
    assert not found
    saved.close()
