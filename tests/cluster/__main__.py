"""make cluster: faults under load for so many seconds, then the ledger."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.cluster.redelivery import run_seed
from tests.cluster.run import run


def main() -> int:
    """0 for a clean ledger, 1 for any other, 2 where there is no nats-server."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, help="kill the consumer's leader during redelivery, as drawn")
    given = parser.parse_args()
    seconds: float = given.seconds
    if shutil.which("nats-server") is None:
        parser.error("there is no nats-server here; make nats installs it where it may")
    folder = Path(tempfile.mkdtemp(prefix="logbridge-cluster-"))

    def told(what: str) -> None:
        print(what, file=sys.stderr, flush=True)

    seed: int | None = given.seed
    ledger = run(folder, seconds, told) if seed is None else run_seed(folder, seconds, seed, told)
    table = Table(title=f"Ledger, {seconds:g} s, three NATS servers, replicas=3", title_justify="left")
    for name in ledger._fields[:-1]:
        table.add_column(name, justify="right")
    table.add_row(*map(str, ledger[:-1]))
    console = Console(width=110)
    console.print(table)
    console.print(
        f"The ledger is {'clean' if ledger.clean else 'NOT clean'}; {len(ledger.events)} faults and returns."
    )
    if ledger.clean:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        console.print(f"everything is kept in {folder}")
    return 0 if ledger.clean else 1


if __name__ == "__main__":
    sys.exit(main())
