"""python -m benchmarks.capacity: how many machines for how many logs a second, and what if some fail.

Processor time, memory and log services come from the last report of make bench; what was not measured there
is an assumption with a flag of its own.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table as RichTable

from benchmarks.capacity import page
from benchmarks.capacity.assumptions import Assumptions, notes
from benchmarks.capacity.costs import Costs, NoFigures, fit, last_report
from benchmarks.capacity.play import failure_of, play
from benchmarks.capacity.simulation.arrivals import Arrivals
from benchmarks.capacity.simulation.system import Keeps
from benchmarks.capacity.sizing import Asked, Plan, Way, plan
from benchmarks.capacity.tables import Table, assumptions_table, costs_table, plan_table, seen_table

_ACKS = ("delivered", "durable")
_SPOOLS = ("disk", "jetstream")
_EXAMPLES = """\
examples:
  make capacity ARGS="--logs-s 1000000 --batch 100 --ack durable --spool jetstream"
  make capacity ARGS="--logs-s 20000 --way write --in-flight 200"       single writes, 200 in flight a worker
  make capacity ARGS="--logs-s 100000 --simulate 30 --fail log-service@5+10"
                      of 30 seconds one log service is away from the 5th on for 10
  make capacity ARGS="--write"                        docs/scale.md anew, after make bench

PART of --fail: log-service, worker, forwarder, nats-server. A million logs/s take 3 to 15 s of work for each
simulated second; single writes are simulated in groups then.
"""
_BAR_AFTER_S = 2.0
# Of the tables, the same on a terminal and in a file: at 80 columns their heads would be cut.
_WIDTH = 120


class _Parser(argparse.ArgumentParser):
    """An error is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message}\n")


def main(argv: list[str] | None = None) -> int:
    """The exit code: 2 for what was asked wrongly, or where there are no figures."""
    parser = _parser()
    asked_for = parser.parse_args(argv)
    try:
        report = last_report()
        costs = fit(report)
        if asked_for.write:
            with _bar(page.STEPS, "docs/scale.md") as told:
                page.write(report, told=lambda _: told(1))
            return 0
        assumed = _assumed(asked_for)
        asked = _asked(asked_for)
        made = plan(asked, costs, assumed)
        failures = [failure_of(text) for text in asked_for.fail]
        if failures and not asked_for.simulate:
            raise ValueError("--fail needs --simulate SECONDS")
        seen = None
        if asked_for.simulate:
            with _bar(asked_for.simulate, "simulated seconds") as told:
                seen = play(
                    *(asked, made, costs, assumed, asked_for.simulate),
                    failures=failures,
                    arrivals=Arrivals(asked_for.arrivals),
                    seed=asked_for.seed,
                    told=_steps(told),
                )
    except (NoFigures, ValueError) as error:
        parser.error(str(error))
    if asked_for.json:
        found = {"asked": asked, "plan": made, "costs": costs, "assumptions": assumed, "simulated": seen}
        print(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
    else:
        _print(asked, made, costs, assumed, [seen_table([("simulated", seen)])] if seen else [])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m benchmarks.capacity",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = Asked(logs_s=10_000.0)
    parser.add_argument("--logs-s", type=float, default=default.logs_s, help="logs a second (default 10000)")
    parser.add_argument("--way", choices=[way.value for way in Way], default="batch", help="how logs come in")
    parser.add_argument("--batch", type=int, default=default.batch, help="logs of a batch (default 100)")
    parser.add_argument(
        "--entry-bytes", type=int, default=default.entry_bytes, help="of a log as JSON (default 300)"
    )
    parser.add_argument("--ack", choices=_ACKS, default="delivered", help="LOGBRIDGE_ACK (default delivered)")
    parser.add_argument("--spool", choices=_SPOOLS, default="disk", help="of durable writes (default disk)")
    parser.add_argument(
        "--in-flight",
        type=int,
        default=default.in_flight,
        help="requests in flight at a busy worker: the more, the cheaper a single write (default 50)",
    )
    parser.add_argument(
        "--load",
        type=float,
        default=default.load,
        help="part of what a process carries at most (default 0.6); not of its processor time: a worker with "
        "little to do makes more calls",
    )
    parser.add_argument(
        "--spare", type=int, default=default.spare, help="machines more than needed (default 1)"
    )
    parser.add_argument("--simulate", type=float, default=0.0, metavar="SECONDS", help="play it, too")
    parser.add_argument("--arrivals", choices=[kind.value for kind in Arrivals], default="poisson")
    parser.add_argument(
        "--fail", action="append", default=[], metavar="PART[*COUNT]@SECOND+SECONDS", help="again for more"
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same course (default 1)")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    parser.add_argument("--write", action="store_true", help="renew the tables and picture of docs/scale.md")
    assumptions = parser.add_argument_group("assumptions", "what was not measured here")
    for name, said in notes().items():
        value = getattr(Assumptions(), name)
        flag = "--" + name.replace("_", "-")
        assumptions.add_argument(flag, type=float, default=value, help=f"{said} (default {value:g})")
    return parser


def _assumed(asked_for: argparse.Namespace) -> Assumptions:
    return Assumptions(**{name: getattr(asked_for, name) for name in notes()})


def _asked(asked_for: argparse.Namespace) -> Asked:
    durable = Keeps.JETSTREAM if asked_for.spool == "jetstream" else Keeps.DISK
    return Asked(
        logs_s=asked_for.logs_s,
        way=Way(asked_for.way),
        batch=asked_for.batch,
        keeps=durable if asked_for.ack == "durable" else Keeps.SERVICE,
        entry_bytes=asked_for.entry_bytes,
        in_flight=asked_for.in_flight,
        load=asked_for.load,
        spare=asked_for.spare,
    )


@contextmanager
def _bar(total: float, title: str) -> Iterator[Callable[[float], None]]:
    """Tells how far it is, on the terminal, once it has taken two seconds."""
    began_s, done = time.monotonic(), 0.0
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=total, visible=False)

        def told(more: float) -> None:
            nonlocal done
            done += more
            bar.update(task, completed=done, visible=time.monotonic() - began_s > _BAR_AFTER_S)

        yield told


def _steps(told: Callable[[float], None]) -> Callable[[float], None]:
    """From seconds that have passed to steps."""
    last = 0.0

    def step(now: float) -> None:
        nonlocal last
        told(now - last)
        last = now

    return step


def _print(asked: Asked, made: Plan, costs: Costs, assumed: Assumptions, simulated: list[Table]) -> None:
    console = Console(width=_WIDTH)
    what = f"{asked.logs_s:,.0f} logs/s by {asked.way.value}, kept in the {asked.keeps.value}"
    _show(console, f"{what}, each process at {asked.load:.0%} of its most", plan_table(asked, made))
    for each in simulated:
        _show(console, "In virtual time, the spare ones at work", each)
    _show(console, "Measured: from docs/benchmarks/latest.json", costs_table(costs))
    _show(console, "Assumed: not measured here", assumptions_table(assumed))


def _show(console: Console, title: str, made: Table) -> None:
    shown = RichTable(title=escape(title), title_justify="left")
    for number, column in enumerate(made.columns):
        shown.add_column(escape(column), justify="right" if number == 1 else "left")
    for row in made.rows:
        shown.add_row(*(escape(cell.strip("`")) for cell in row))
    console.print(shown)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
