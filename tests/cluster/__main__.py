"""make cluster: faults under load for so many seconds, then the ledger of each scene."""

import argparse
import functools
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tests.cluster import redelivery, run, services
from tests.cluster.run import Ledger
from tests.cluster.services import ServicesLedger


class Scene(NamedTuple):
    """What is run, and what it needs. run: in a folder, for so many seconds, telling what happens."""

    title: str
    run: Callable[..., Ledger | ServicesLedger]
    program: str = ""


SCENES = {
    "queue": Scene("three NATS servers, replicas=3", run.run, "nats-server"),
    "services": Scene("three log services behind one bridge", services.run),
    "redelivery": Scene(
        "three NATS servers, the consumer's leader killed during redelivery",
        redelivery.run_seed,
        "nats-server",
    ),
}
USUAL = ("queue", "services")


def main() -> int:
    """0 for clean ledgers, 1 for any other, 2 where a program is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each scene (60)")
    parser.add_argument("--scene", choices=SCENES, action="append", help=f"without it {' and '.join(USUAL)}")
    parser.add_argument("--seed", type=int, default=1, help="what redelivery draws from (1)")
    asked = parser.parse_args()
    scenes = [SCENES[name] for name in asked.scene or USUAL]
    for scene in scenes:
        if scene.program and shutil.which(scene.program) is None:
            parser.error(f"there is no {scene.program} here; make nats installs it where it may")
    clean = [_played(scene, asked.seconds, asked.seed) for scene in scenes]
    return 0 if all(clean) else 1


def _played(scene: Scene, seconds: float, seed: int) -> bool:
    folder = Path(tempfile.mkdtemp(prefix="logbridge-cluster-"))
    play = functools.partial(scene.run, seed=seed) if scene.run is redelivery.run_seed else scene.run
    ledger = play(folder, seconds, lambda what: print(what, file=sys.stderr, flush=True))
    table = Table(title=f"Ledger, {seconds:g} s, {scene.title}", title_justify="left")
    for name in ledger._fields[:-1]:
        table.add_column(name, justify="right")
    table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in ledger[:-1]))
    console = Console(width=110)
    console.print(table)
    console.print(
        f"The ledger is {'clean' if ledger.clean else 'NOT clean'}; {len(ledger.events)} faults and returns."
    )
    if ledger.clean:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        console.print(f"everything is kept in {folder}")
    return ledger.clean


if __name__ == "__main__":
    sys.exit(main())
