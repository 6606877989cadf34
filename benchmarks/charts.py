"""The charts of a report: who costs what at 200 clients, cost as load grows, batches."""

from pathlib import Path

from benchmarks import svg
from benchmarks.contenders import LOGBRIDGE, NOOP, REFERENCE
from benchmarks.report import JSON_FILE, Measured, Report, title_of
from benchmarks.scenarios import GROWTH, growth_name


def write(report: Report, folder: Path = JSON_FILE.parent) -> None:
    """Save those charts that there are figures for."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, chart in charts(report).items():
        (folder / f"{name}.svg").write_text(chart)


def charts(report: Report) -> dict[str, str]:
    """SVG by name."""
    made: dict[str, str] = {}
    titles = {"writes-200": "Single writes, 200 clients", "batches": "Batches of 1,000, 4 clients"}
    for name, title in titles.items():
        if name in report.scenarios:
            made[name] = _contenders(title, report.scenarios[name])
    growth = _growth(report)
    if any(series.points for series in growth):
        made["growth"] = svg.lines(
            "What a log costs as load grows, µs of processor time",
            "; ".join(f"{each.label}: {_said(each)}" for each in growth),
            "clients, each with one write in flight",
            growth,
        )
    return made


def _contenders(title: str, measured: Measured) -> str:
    # Where a request holds many logs, the no-op does nothing for any of them.
    shown = {name: seen for name, seen in measured.medians.items() if name != NOOP or seen.cpu_us > 5}
    figures = {title_of(name): seen for name, seen in shown.items()}
    panels = [
        svg.Panel("logs a second, more is better", [(n, seen.logs_per_s) for n, seen in figures.items()]),
        svg.Panel(
            "µs of processor time a log, less is better", [(n, seen.cpu_us) for n, seen in figures.items()]
        ),
    ]
    said = "; ".join(
        f"{name}: {seen.logs_per_s:,.0f} logs/s, {seen.cpu_us:.1f} µs" for name, seen in figures.items()
    )
    return svg.bars(title, said, panels, title_of(LOGBRIDGE))


def _growth(report: Report) -> list[svg.Series]:
    measured = {
        n: report.scenarios[growth_name(n)].medians for n in GROWTH if growth_name(n) in report.scenarios
    }
    return [
        svg.Series(
            title_of(name), {n: figures[name].cpu_us for n, figures in measured.items() if name in figures}
        )
        for name in (LOGBRIDGE, REFERENCE, NOOP)
    ]


def _said(series: svg.Series) -> str:
    return ", ".join(f"{y:.0f} µs at {x:,}" for x, y in series.points.items())
