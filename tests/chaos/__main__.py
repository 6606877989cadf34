"""make chaos: every leg, then the ledger. CHAOS_S: seconds in all. CHAOS_SEED: which faults come when."""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import SystemRandom

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tests.chaos.legs import LEGS, LegReport, run_leg, seconds_of
from tests.chaos.report import print_table, to_json
from tests.chaos.scene import Leg

DEFAULT_S = 180.0


def main() -> int:
    """0 for a clean ledger, 1 for any other, 2 for a wrong setting, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the ledger as JSON")
    arguments = parser.parse_args()
    try:
        total_s = float(os.environ.get("CHAOS_S") or DEFAULT_S)
        seed = int(os.environ.get("CHAOS_SEED") or SystemRandom().randrange(1_000_000))
    except ValueError as error:
        parser.error(f"CHAOS_S and CHAOS_SEED are numbers: {error}")
    print(f"CHAOS_SEED={seed}, about {total_s:g} s", file=sys.stderr, flush=True)
    folder = Path(tempfile.mkdtemp(prefix="logbridge-chaos-"))
    reports: list[LegReport] = []
    folders = {leg: folder / f"{leg.ack}-{leg.peer}" for leg in LEGS}
    for each in folders.values():
        each.mkdir()
    try:
        asyncio.run(_all_legs(folders, seed, total_s, reports))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    finally:
        clean = bool(reports) and all(report.clean for report in reports)
        _leave(folder, keep=not clean)
    print(to_json(reports, seed)) if arguments.json else print_table(reports, seed)
    return 0 if clean else 1


async def _all_legs(folders: dict[Leg, Path], seed: int, total_s: float, reports: list[LegReport]) -> None:
    task = asyncio.current_task()
    assert task is not None
    # Like Ctrl-C: whatever runs is ended and unmounted on the way out.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with _progress() as progress:
        for leg in LEGS:
            faults_s = seconds_of(leg, total_s)
            shown = progress.add_task(leg.name, total=faults_s, now="starting")
            begun_s = time.monotonic()

            def told(what: str, shown: TaskID = shown, begun_s: float = begun_s) -> None:
                progress.update(shown, completed=time.monotonic() - begun_s, now=what)

            reports.append(await run_leg(leg, folders[leg], seed, faults_s, told))
            progress.update(shown, completed=faults_s, now="clean" if reports[-1].clean else "NOT clean")


def _progress() -> Progress:
    console = Console(file=sys.stderr)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}", markup=False),
        console=console,
        disable=not console.is_terminal,
    )


def _leave(folder: Path, *, keep: bool) -> None:
    if keep:
        print(f"the output of the processes is kept in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
