"""The ledger of all legs as people read it, and as JSON."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from logbridge.entrypoints.commands.terminal import printable
from tests.chaos.legs import LegReport

_WIDTH = 132


def print_table(reports: Sequence[LegReport], seed: int) -> None:
    """The ledger on stdout: a row for each leg, then what is wrong, then which faults ran."""
    console = Console(width=_WIDTH)
    table = Table(title=f"Ledger, CHAOS_SEED={seed}", title_justify="left")
    table.add_column("leg", no_wrap=True)
    for name in _row(reports[0]) if reports else ():
        table.add_column(name, justify="right")
    for report in reports:
        cells = [str(value) for value in _row(report).values()]
        table.add_row(report.leg.name, *cells, style=None if report.clean else "red")
    console.print(table)
    for report in reports:
        for problem in report.ledger.problems:
            console.print(Text(f"WRONG in {report.leg.name}: {printable(problem)}", style="bold red"))
    _print_faults(console, reports)
    verdict = "clean" if all(report.clean for report in reports) else "NOT clean"
    console.print(f"The ledger is {verdict}. The same faults again: CHAOS_SEED={seed} make chaos")


def _row(report: LegReport) -> dict[str, int]:
    ledger = report.ledger
    return {
        "sent": ledger.sent,
        "acknow-\nledged": ledger.acknowledged,
        "stored": ledger.stored,
        "lost": ledger.lost,
        "destro-\nyed": ledger.destroyed,
        "dou-\nbled": ledger.doubled,
        "may be\ndoubled": ledger.possible_duplicates,
        "never\nsent": ledger.never_sent,
        "un-\nequal": ledger.unequal,
        "refused": report.refused,
        "unknown": report.unknown,
        "faults": sum(report.faults.values()),
    }


def _print_faults(console: Console, reports: Sequence[LegReport]) -> None:
    ran: Counter[str] = Counter()
    for report in reports:
        ran.update(report.faults)
    told = [f"{name} {count}" for name, count in sorted(ran.items())]
    console.print(Text("Faults: " + ", ".join(told), style="dim"))
    reached = set(ran)
    not_reached = {name for report in reports for name in report.not_reached} - reached
    left_out = {name for report in reports for name in report.left_out}
    for what, names in (
        ("Not reached in this time", not_reached),
        ("Left out, this machine cannot make them (root with mount, and libfaketime, can)", left_out),
    ):
        if names:
            console.print(f"{what}: {', '.join(sorted(names))}")


def to_json(reports: Sequence[LegReport], seed: int) -> str:
    """Everything that is known, as one JSON object."""
    found: dict[str, Any] = {
        "seed": seed,
        "clean": all(report.clean for report in reports),
        "legs": [msgspec.to_builtins(report, str_keys=True) for report in reports],
    }
    return msgspec.json.encode(found).decode()
