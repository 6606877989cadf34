"""What people see: tables and lines on stdout, progress bars and notices on stderr."""

import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

_LEVEL_STYLES = {"DEBUG": "dim", "INFO": "green", "WARN": "yellow", "ERROR": "red", "FATAL": "bold red"}


def notice(line: str) -> None:
    """One line for people, on stderr, where it does not mix with results."""
    sys.stderr.write(f"logbridge: {printable(line)}\n")
    sys.stderr.flush()


def line(text: str) -> None:
    """One line of results, on stdout, out at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def json_line(value: Any) -> None:
    """A result as one line of JSON on stdout."""
    line(msgspec.json.encode(value).decode())


def printable(text: str) -> str:
    """A text that cannot steer a terminal: control characters are written as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def styled_level(level: str) -> Text:
    """A level in its colour."""
    return Text(printable(level), style=_LEVEL_STYLES.get(level, ""))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """A table on stdout. Cells are data, never markup."""
    shown = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        shown.add_column(column, overflow="fold", no_wrap=index == 0)
    for row in rows:
        shown.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    Console(file=sys.stdout).print(shown)


def progress_bar(*, in_bytes: bool = False, shown: bool = True) -> Progress:
    """A progress bar on stderr, which shows on a terminal only and leaves no trace."""
    console = Console(file=sys.stderr)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn() if in_bytes else MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (shown and console.is_terminal),
    )
