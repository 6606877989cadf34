"""store: backup, restore, check and vacuum of the log service's store, while it serves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.progress import TaskID

from logbridge.entrypoints.commands import terminal
from logbridge.entrypoints.commands.ending import Exit
from logbridge.entrypoints.settings import load
from logbridge.entrypoints.stores import store_file

store = App(
    name="store",
    group="Look after what is kept",
    help="Back up, restore, check or vacuum the log service's store, while it serves.",
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StoreAddress:
    """Which store a command works on."""

    store: Annotated[
        str | None,
        Parameter(help="The store (LOGBRIDGE_STORE; without it sqlite:///./data/logs.db)."),
    ] = None

    @property
    def flags(self) -> dict[str, str]:
        """The flag that was given, as settings.load() takes it."""
        return {} if self.store is None else {"store": self.store}


_SETTINGS_ONLY = StoreAddress()


@store.command
def backup(
    file: Path,
    /,
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
    address: StoreAddress = _SETTINGS_ONLY,
) -> Exit:
    """Copy the store of one moment into a new file, and check the copy.

    Writes go on meanwhile. The file has its name only once it is whole, and never replaces another one.

    Example: logbridge store backup /backup/logs-2024-08-30.db

    Parameters
    ----------
    file
        The backup's file; it must not exist.
    json
        Print the result as JSON.
    """
    opened = store_file(load(address.flags))
    with _progress() as tick:
        made = opened.backup(file, tick)
    if json:
        terminal.json_line(made)
    else:
        terminal.line(
            f"{made.entries} logs, {made.size_bytes} bytes in {terminal.printable(made.file)}, checked"
        )
    return Exit.FINE


@store.command
def restore(
    file: Path,
    /,
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
    address: StoreAddress = _SETTINGS_ONLY,
) -> Exit:
    """Add the logs of a backup that the store does not have; a store that is missing is made.

    What the store has stays as it is: a log whose id is taken by other content is named, and not restored.
    Run again after an interruption, it goes on.

    Example: logbridge store restore /backup/logs-2024-08-30.db

    Parameters
    ----------
    file
        The backup's file.
    json
        Print the result as JSON.
    """
    opened = store_file(load(address.flags))
    with _progress() as tick:
        restored = opened.restore(file, tick)
    for reason in (*restored.conflicting, *restored.damage):
        terminal.notice(f"not restored: {reason}")
    if json:
        terminal.json_line(restored)
    else:
        terminal.line(
            f"{restored.added} added, {restored.present} there already, "
            f"{restored.conflicts} with a taken id, {restored.damaged} damaged"
        )
    return Exit.FAILED if restored.conflicts or restored.damaged else Exit.FINE


@store.command
def check(
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
    address: StoreAddress = _SETTINGS_ONLY,
) -> Exit:
    """Look whether the store's file, its text index and every log are sound; exit code 1 if not.

    It only reads, and may take minutes for gigabytes.

    Example: logbridge store check

    Parameters
    ----------
    json
        Print the result as JSON.
    """
    opened = store_file(load(address.flags))
    with _progress() as tick:
        found = opened.check(tick)
    if json:
        terminal.json_line(found)
    else:
        terminal.line(f"logs that can be read: {found.entries}; problems: {len(found.problems)}")
    for problem in found.problems:
        terminal.notice(f"{opened.path}: {problem}")
    if found.problems:
        terminal.notice(
            f"save what can be read into a new store: logbridge store restore {opened.path} --store sqlite:///NEW"
        )
    return Exit.FAILED if found.problems else Exit.FINE


@store.command
def vacuum(
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
    address: StoreAddress = _SETTINGS_ONLY,
) -> Exit:
    """Give the space that removed logs left back to the disk, in small steps.

    A store that logbridge made before it had retention is rewritten once: writes wait for that time, and it
    needs as much room again.

    Example: logbridge store vacuum

    Parameters
    ----------
    json
        Print the result as JSON.
    """
    opened = store_file(load(address.flags))
    with _progress() as tick:
        done = opened.vacuum(tick)
    if json:
        terminal.json_line(done)
    else:
        terminal.line(f"{done.before_bytes} bytes before, {done.after_bytes} bytes after")
    return Exit.FINE


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each thing that is done, on a terminal only."""
    with terminal.progress_bar() as bar:
        tasks: dict[str, TaskID] = {}

        def tick(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=None)
            bar.update(tasks[what], completed=done, total=total or None)

        yield tick
