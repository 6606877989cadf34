"""The short form: a few rounds of what matters most, and counted work, against benchmarks/limits.py."""

import subprocess
import sys
from collections.abc import Callable, Mapping

import msgspec
from rich.progress import Progress

from benchmarks.contenders import LOGBRIDGE, NOOP, REFERENCE
from benchmarks.counted import CountedWork
from benchmarks.limits import LIMITS
from benchmarks.measure import Figures, Times, measure
from benchmarks.report import table
from benchmarks.rounds import Round, ratio, run_rounds
from benchmarks.scenarios import BY_NAME, MICRO

ROUNDS = 3
TIMES = Times(warmup_s=0.4, measured_s=0.8)
# Scenario, contenders, rounds.
_PLAN: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("writes-200", (NOOP, REFERENCE, LOGBRIDGE), ROUNDS),
    ("batches", (LOGBRIDGE, MICRO), ROUNDS),
    ("writes-1", (LOGBRIDGE,), 1),
)


def run(bar: Progress) -> int:
    """The exit code: 1 if a value is over its limit."""
    task = bar.add_task("counted work", total=1 + sum(len(names) * rounds for _, names, rounds in _PLAN))
    work = count_work()
    bar.advance(task)
    measured: dict[str, list[Round]] = {}
    for scenario, names, rounds in _PLAN:
        measured[scenario] = _rounds(scenario, names, rounds, lambda: bar.advance(task))
    values = values_of(measured) | msgspec.structs.asdict(work)
    failed = over_limit(values)
    print(_table(values))
    for text in failed:
        print(f"worse than allowed: {text}", file=sys.stderr)
    return 1 if failed else 0


def _rounds(scenario: str, names: tuple[str, ...], rounds: int, on_step: Callable[[], None]) -> list[Round]:
    def measure_one(name: str) -> Figures:
        seen = measure(name, BY_NAME[scenario], TIMES)
        on_step()
        return seen

    # In a few rounds the median bears a disturbed one; running more would take CI's time.
    return run_rounds(names, measure_one, rounds, extra_tries=0)


def count_work() -> CountedWork:
    """The counts of a process of its own."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.counted"], stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=CountedWork)


def values_of(measured: Mapping[str, list[Round]]) -> dict[str, float]:
    """The ratios and counts of the rounds."""
    writes, batches, single = (measured[name] for name in ("writes-200", "batches", "writes-1"))
    found = {
        "cpu_to_noop": ratio(writes, "cpu_us", LOGBRIDGE, NOOP),
        "cpu_to_reference": ratio(writes, "cpu_us", LOGBRIDGE, REFERENCE),
        "batch_cpu_to_parts": ratio(batches, "cpu_us", LOGBRIDGE, MICRO),
        "rpcs_200": max(each.figures[LOGBRIDGE].rpcs for each in writes),
        "rpcs_1": max(each.figures[LOGBRIDGE].rpcs for each in single),
    }
    return {name: value for name, value in found.items() if value is not None}


def over_limit(values: Mapping[str, float]) -> list[str]:
    """What is worse than allowed, or was not measured."""
    failed = []
    for limit in LIMITS:
        value = values.get(limit.value)
        if value is None or value > limit.most:
            seen = "not measured" if value is None else f"{value:.3g}"
            failed.append(f"{limit.text}: {seen}, at most {limit.most:g}")
    return failed


def _table(values: Mapping[str, float]) -> str:
    rows = [
        (limit.text, f"{values[limit.value]:.3g}", f"{limit.most:g}")
        for limit in LIMITS
        if limit.value in values
    ]
    return table(("", "seen", "at most"), rows)
