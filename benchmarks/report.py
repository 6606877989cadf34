"""The report: JSON with every round, and the tables of docs/performance.md."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.contenders import CONTENDERS, NOOP, REFERENCE
from benchmarks.machine import Machine
from benchmarks.measure import Figures
from benchmarks.rounds import RULE, Round, counting, medians, ratio, undisturbed
from benchmarks.scenarios import BY_NAME, SCENARIOS, Kind
from benchmarks.soak import Soak
from benchmarks.targets import TARGETS, Verdict, verdict

DOCS = Path(__file__).resolve().parent.parent / "docs"
JSON_FILE = DOCS / "benchmarks" / "latest.json"
PAGE = DOCS / "performance.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
_COLUMNS = ("", "logs/s", "p50 ms", "p99 ms", "CPU µs a log", "peak MiB", "core used", "RPCs a log")
_RATIO_COLUMNS = ("logs/s to the no-op", "to the obvious design")


class Measured(Struct, frozen=True):
    """A scenario's rounds, and what they say together."""

    commit: str
    date: str
    rounds: list[Round]
    medians: dict[str, Figures]
    disturbed: bool


class Report(Struct):
    """All that was measured last, each scenario with the commit that it was measured at.

    failed: why a scenario has no figures. One failed request is enough.
    """

    machine: Machine
    rule: str = RULE
    scenarios: dict[str, Measured] = {}
    failed: dict[str, str] = {}
    soak: Soak | None = None
    targets: list[Verdict] = []

    def judge(self) -> None:
        """Compare what there is with the targets."""
        rounds = {name: counting(measured.rounds) for name, measured in self.scenarios.items()}
        grown = self.soak.grown if self.soak else None
        self.targets = [verdict(target, rounds, grown) for target in TARGETS]


def measured(rounds: list[Round], commit: str, date: str) -> Measured:
    """What the rounds of a scenario say together."""
    counted = counting(rounds)
    return Measured(commit, date, rounds, medians(counted), disturbed=counted != undisturbed(rounds))


def read(machine: Machine, path: Path = JSON_FILE) -> Report:
    """The last report of this machine, else a new one: figures of two machines do not mix."""
    if path.is_file():
        last = msgspec.json.decode(path.read_bytes(), type=Report)
        if last.machine == machine:
            return msgspec.structs.replace(last, rule=RULE)
    return Report(machine)


def write(report: Report, path: Path = JSON_FILE) -> None:
    """Save it as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = msgspec.json.format(msgspec.json.encode(report), indent=1)
    path.write_bytes(encoded + b"\n")


def update_page(report: Report, path: Path = PAGE) -> None:
    """Put the tables between the markers of the page; a page without them gets them at its end."""
    page = path.read_text() if path.is_file() else "# Performance\n"
    if BEGIN not in page:
        page = f"{page}\n{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{markdown(report)}\n{END}{after}")


def markdown(report: Report) -> str:
    """The whole report as Markdown."""
    parts = [_origin(report), _targets(report.targets)]
    parts += [
        scenario_markdown(scenario.name, report.scenarios[scenario.name])
        for scenario in SCENARIOS
        if scenario.name in report.scenarios
    ]
    parts += [
        f"**{BY_NAME[name].title}: no figures.** {why.splitlines()[0]}" for name, why in report.failed.items()
    ]
    if report.soak:
        parts.append(report.soak.markdown())
    parts.append("### How it was measured\n\n" + report.rule)
    return "\n\n".join(parts)


def _origin(report: Report) -> str:
    machine = report.machine
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    commits = sorted({f"{each.commit} ({each.date})" for each in report.scenarios.values()})
    return (
        f"Measured at {', '.join(commits) or 'no commit'} on {machine.processor}, {machine.cores} cores, "
        f"{machine.kernel}, {machine.python}; {packages}."
    )


def _targets(verdicts: Iterable[Verdict]) -> str:
    words = {True: "yes", False: "**no**", None: "not measured"}
    rows = [
        (
            each.number,
            each.text,
            each.limit,
            "" if each.value is None else f"{each.value:.3g}",
            words[each.reached],
        )
        for each in verdicts
    ]
    return "### Targets\n\n" + table(("", "target", "limit", "measured", "reached"), rows)


def scenario_markdown(name: str, measured: Measured) -> str:
    """The table of one scenario."""
    scenario = BY_NAME[name]
    counted = counting(measured.rounds)
    if scenario.kind is Kind.MEMORY:
        columns: tuple[str, ...] = ("", "KiB for each write in flight")
        rows: list[tuple[str, ...]] = [
            (title_of(each), f"{seen.memory_kib:.1f}") for each, seen in measured.medians.items()
        ]
    else:
        shown = [column for column in _RATIO_COLUMNS if _ratio_to(column) in measured.medians]
        columns = (*_COLUMNS, *shown)
        rows = [
            (*_row(each, seen), *(_ratio(counted, each, _ratio_to(column)) for column in shown))
            for each, seen in measured.medians.items()
        ]
    title = scenario.title[0].upper() + scenario.title[1:]
    return f"### {title}\n\n{table(columns, rows)}\n\n{_count(measured, counted)}"


def _count(measured: Measured, counted: Sequence[Round]) -> str:
    thrown_out = len(measured.rounds) - len(counted)
    said = f"Median of {len(counted)} rounds"
    said += f"; {thrown_out} more were disturbed and thrown out" if thrown_out else ""
    return said + ("; **too few were undisturbed**." if measured.disturbed else ".")


def _ratio_to(column: str) -> str:
    return NOOP if column == _RATIO_COLUMNS[0] else REFERENCE


def _ratio(rounds: Sequence[Round], of: str, to: str) -> str:
    value = ratio(rounds, "logs_per_s", of, to)
    return "" if value is None else f"{value:.2f}"


def title_of(name: str) -> str:
    """A contender as people read it."""
    return CONTENDERS[name].title if name in CONTENDERS else name


def _row(name: str, seen: Figures) -> tuple[str, ...]:
    return (
        title_of(name),
        f"{seen.logs_per_s:,.0f}",
        f"{seen.p50_ms:.2f}" if seen.p50_ms else "",
        f"{seen.p99_ms:.2f}" if seen.p99_ms else "",
        f"{seen.cpu_us:.1f}",
        f"{seen.memory_kib / 1024:.0f}" if seen.memory_kib else "",
        f"{seen.busy:.0%}" if seen.busy else "",
        f"{seen.rpcs:.3g}" if seen.rpcs else "",
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but texts are to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
