"""python -m benchmarks: measure, print, save. `make bench` runs it whole, `make bench-quick` in short."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from benchmarks import charts, machine, quick, report, soak
from benchmarks.contenders import available
from benchmarks.measure import Figures, MeasurementFailed, Times, measure
from benchmarks.rounds import EXTRA_TRIES, ROUNDS_MIN, Round, run_rounds
from benchmarks.scenarios import ALONE, BY_NAME, SCENARIOS, Scenario

CONSOLE = Console(stderr=True)


def main() -> int:
    """The exit code."""
    asked = _parser().parse_args()
    if asked.list:
        print("\n".join(f"{scenario.name:16}{scenario.title}" for scenario in SCENARIOS))
        return 0
    if asked.quick:
        with progress() as bar:
            return quick.run(bar)
    last = report.read(machine.this_machine())
    if asked.soak_s:
        last.soak = _soaked(asked.soak_s)
    else:
        _measure_scenarios(last, asked)
    last.judge()
    if not asked.dry:
        report.write(last)
        report.update_page(last)
        charts.write(last)
        CONSOLE.print("docs/scale.md is made of these figures, too: make capacity ARGS=--write", markup=False)
    print(report.markdown(last) if not sys.stdout.isatty() else "", end="")
    if sys.stdout.isatty():
        Console().print(Markdown(report.markdown(last)))
    return 1 if last.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument(
        "--only", action="append", choices=list(BY_NAME), metavar="SCENARIO", help="just this one"
    )
    parser.add_argument("--rounds", type=int, default=5, help="that must count (default 5)")
    parser.add_argument("--measured-s", type=float, default=Times().measured_s, help="of each measurement")
    parser.add_argument(
        "--quick", action="store_true", help="compare ratios and counted work with their limits"
    )
    parser.add_argument("--soak-s", type=float, default=0.0, help="memory over so many seconds, nothing else")
    parser.add_argument("--dry", action="store_true", help="print, and change no file")
    return parser


@contextmanager
def progress() -> Iterator[Progress]:
    """A bar on the terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=CONSOLE) as bar:
        yield bar


def _measure_scenarios(last: report.Report, asked: argparse.Namespace) -> None:
    scenarios = [BY_NAME[name] for name in asked.only or BY_NAME]
    commit, date = machine.commit(), machine.today()
    with progress() as bar:
        whole = bar.add_task("scenarios", total=len(scenarios))
        for scenario in scenarios:
            wanted = min(asked.rounds, ROUNDS_MIN) if scenario.short else asked.rounds
            last.failed.pop(scenario.name, None)
            try:
                rounds = _rounds(scenario, wanted, Times(measured_s=asked.measured_s), bar)
                last.scenarios[scenario.name] = report.measured(rounds, commit, date)
            except MeasurementFailed as error:
                last.scenarios.pop(scenario.name, None)
                last.failed[scenario.name] = str(error)
                bar.console.print(f"{scenario.name}: {error}", markup=False)
            bar.advance(whole)


def _rounds(scenario: Scenario, wanted: int, times: Times, bar: Progress) -> list[Round]:
    startable = available()
    names = [name for name in scenario.contenders if name in startable or name in ALONE]
    task = bar.add_task(scenario.title, total=wanted * len(names))

    def measure_one(name: str) -> Figures:
        bar.update(task, description=f"{scenario.title}: {name}")
        seen = measure(name, scenario, times)
        bar.advance(task)
        return seen

    rounds = run_rounds(names, measure_one, wanted, min(EXTRA_TRIES, wanted))
    bar.remove_task(task)
    return rounds


def _soaked(seconds: float) -> soak.Soak:
    with progress() as bar:
        task = bar.add_task("full load", total=int(seconds))
        return soak.soak(seconds, machine.commit(), machine.today(), lambda: bar.advance(task))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
