"""docs/scale.md: its tables, between markers, and its picture. `make capacity ARGS=--write` renews them."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from benchmarks import svg
from benchmarks.capacity.assumptions import Assumptions
from benchmarks.capacity.check import Point, check
from benchmarks.capacity.costs import Costs, fit
from benchmarks.capacity.play import play
from benchmarks.capacity.simulation.arrivals import Arrivals
from benchmarks.capacity.simulation.system import Failure, Keeps, Part, Seen
from benchmarks.capacity.sizing import REPLICAS, Asked, Plan, Way, plan
from benchmarks.capacity.tables import (
    assumptions_table,
    check_table,
    costs_table,
    seen_table,
    sizing_table,
)
from benchmarks.report import DOCS, Report

PAGE = DOCS / "scale.md"
PICTURE = DOCS / "benchmarks" / "machines.svg"
RATES = (1_000, 10_000, 100_000, 1_000_000)
_WAYS = (
    ("single writes", Way.WRITE, 1),
    ("batches of 100", Way.BATCH, 100),
)
_LINES = (
    ("single writes, delivered", Way.WRITE, Keeps.SERVICE),
    ("batches of 100, delivered", Way.BATCH, Keeps.SERVICE),
    ("batches, on the disk", Way.BATCH, Keeps.DISK),
    ("batches, in JetStream", Way.BATCH, Keeps.JETSTREAM),
)
_KEPT = {
    Keeps.SERVICE: "by the log service",
    Keeps.DISK: "on the disk",
    Keeps.JETSTREAM: "in JetStream",
}
PLAYED_LOGS_S, PLAYED_S, OUTAGE_PLAYED_S = 20_000.0, 20.0, 60.0
FAIL_AT_S, FAIL_FOR_S = 3.0, 5.0
# Each simulated second of it takes many of work.
MILLION_S, MILLION_WARMUP_S = 0.5, 1.0
_ALL = 1_000


class Course(Struct, frozen=True):
    """What is played: who acknowledges, what fails, how logs come, and for how long."""

    title: str
    keeps: Keeps
    part: Part | None = None
    count: int = 1
    arrivals: Arrivals = Arrivals.POISSON

    @property
    def failures(self) -> list[Failure]:
        """One of a kind, or all of it, for some seconds."""
        return [] if self.part is None else [Failure(self.part, FAIL_AT_S, FAIL_FOR_S, self.count)]

    @property
    def seconds(self) -> float:
        """Long enough for a backlog to be gone."""
        return OUTAGE_PLAYED_S if self.count > 1 else PLAYED_S


COURSES = (
    Course("delivered: nothing fails", Keeps.SERVICE),
    Course("delivered: bursts", Keeps.SERVICE, arrivals=Arrivals.BURSTY),
    Course("delivered: one log service killed", Keeps.SERVICE, Part.SERVICE),
    Course("delivered: all log services killed", Keeps.SERVICE, Part.SERVICE, _ALL),
    Course("delivered: a worker killed", Keeps.SERVICE, Part.WORKER),
    Course("on the disk: nothing fails", Keeps.DISK),
    Course("on the disk: all log services killed", Keeps.DISK, Part.SERVICE, _ALL),
    Course("JetStream: nothing fails", Keeps.JETSTREAM),
    Course("JetStream: bursts", Keeps.JETSTREAM, arrivals=Arrivals.BURSTY),
    Course("JetStream: one log service killed", Keeps.JETSTREAM, Part.SERVICE),
    Course("JetStream: all log services killed", Keeps.JETSTREAM, Part.SERVICE, _ALL),
    Course("JetStream: a worker killed", Keeps.JETSTREAM, Part.WORKER),
    Course("JetStream: a forwarder killed", Keeps.JETSTREAM, Part.FORWARDER),
    Course("JetStream: a NATS server lost", Keeps.JETSTREAM, Part.NATS),
)
# Logs acknowledged, seconds and cores of two runs of make cluster: everything on one machine, under faults.
CLUSTER = ((74_680, 60.0, 2), (79_840, 60.0, 2))
CLUSTER_BATCH = 10
# What `told` of write() is called for, about.
STEPS = len(COURSES) + 17

_BLOCK = r"(<!-- capacity:begin {name} -->\n).*?(<!-- capacity:end -->)"
Told = Callable[[str], object]


def write(report: Report, page: Path = PAGE, picture: Path = PICTURE, told: Told = lambda _: None) -> None:
    """Renew both. Raises NoFigures."""
    costs, assumed = fit(report), Assumptions()
    picture.write_text(chart(costs, assumed))
    page.write_text(with_blocks(page.read_text(), blocks(report, costs, assumed, told)))


def with_blocks(text: str, made: Mapping[str, str]) -> str:
    """The page with what is between its markers replaced. Raises ValueError where a marker is missing."""
    for name, block in made.items():
        pattern = re.compile(_BLOCK.format(name=name), re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"the page has no <!-- capacity:begin {name} --> with an end")
        # A function, since a block may hold backslashes.
        text = pattern.sub(lambda found, block=block: f"{found[1]}{block}\n{found[2]}", text)  # type: ignore[misc]
    return text


def blocks(report: Report, costs: Costs, assumed: Assumptions, told: Told = lambda _: None) -> dict[str, str]:
    """Each table by the name of its marker."""
    return computed(report, costs, assumed) | {
        "failures": seen_table(failures(costs, assumed, told)).markdown(),
        "check": checked(check(report, costs, assumed, told)),
    }


def computed(report: Report, costs: Costs, assumed: Assumptions) -> dict[str, str]:
    """Those of them that no simulation is needed for."""
    return {
        "origin": _origin(report),
        "sizing": sizing(costs, assumed),
        "costs": costs_table(costs).markdown(),
        "assumptions": assumptions_table(assumed).markdown(),
        "cluster": cluster(costs, assumed),
    }


def _origin(report: Report) -> str:
    commits = sorted({f"{each.commit} ({each.date})" for each in report.scenarios.values()})
    machine = report.machine
    return (
        f"From what was measured at {', '.join(commits)} on {machine.processor}, {machine.cores} cores, "
        f"{machine.kernel}, {machine.python}."
    )


def _plan(costs: Costs, assumed: Assumptions, way: Way, batch: int, keeps: Keeps, logs_s: float) -> Plan:
    return plan(Asked(logs_s=logs_s, way=way, batch=batch, keeps=keeps), costs, assumed)


def sizing(costs: Costs, assumed: Assumptions) -> str:
    """Every way and acknowledgement at every rate."""
    plans = [
        (_KEPT[keeps], title, float(logs_s), _plan(costs, assumed, way, batch, keeps, logs_s))
        for keeps in Keeps
        for title, way, batch in _WAYS
        for logs_s in RATES
    ]
    return sizing_table(plans).markdown()


def failures(costs: Costs, assumed: Assumptions, told: Told = lambda _: None) -> list[tuple[str, Seen]]:
    """Each failure, and a million logs a second where nothing fails."""
    rows = []
    for course in COURSES:
        told(course.title)
        asked = Asked(logs_s=PLAYED_LOGS_S, keeps=course.keeps)
        made = plan(asked, costs, assumed)
        seen = play(
            *(asked, made, costs, assumed, course.seconds),
            failures=course.failures,
            arrivals=course.arrivals,
        )
        rows.append((course.title, seen))
    title = f"1,000,000 logs/s, {_KEPT[Keeps.JETSTREAM]}"
    told(title)
    asked = Asked(logs_s=1e6, keeps=Keeps.JETSTREAM)
    made = plan(asked, costs, assumed)
    seen = play(asked, made, costs, assumed, MILLION_S, warmup_s=MILLION_WARMUP_S)
    return [*rows, (title, seen)]


def cluster(costs: Costs, assumed: Assumptions) -> str:
    """What the model says of everything that make cluster runs on one machine, against what was seen."""
    asked = Asked(logs_s=1.0, batch=CLUSTER_BATCH, keeps=Keeps.JETSTREAM)
    made = plan(asked, costs, assumed)
    nats_us = 1e6 * REPLICAS * assumed.nats_cores / assumed.nats_server_logs_s
    parts_us = {
        "bridge": made.worker_us,
        "NATS servers": nats_us,
        "forwarder": made.forwarder_us,
        "log service": costs.service_log_us,
    }
    said = ", ".join(f"{name} {value:.0f}" for name, value in parts_us.items())
    seen = " and ".join(f"{1e6 * cores * seconds / logs:.0f}" for logs, seconds, cores in CLUSTER)
    return (
        f"Processor time of a log, in µs, by the model: {said}; together {sum(parts_us.values()):.0f}. "
        f"Two runs of `make cluster` had {seen} for each log they acknowledged, with the load and the idle "
        "time of the faults in it."
    )


def checked(points: list[Point]) -> str:
    """Each point, and how far those are off that were held out."""
    held_out = sorted(abs(point.logs_error) for point in points if not point.fitted)
    latencies = sorted(abs(point.p50_error) for point in points if not point.fitted)
    said = (
        f"Of {len(held_out)} points that were held out, logs/s are off by {held_out[len(held_out) // 2]:.0%} "
        f"in the middle and {held_out[-1]:.0%} at most, p50 by {latencies[len(latencies) // 2]:.0%} and "
        f"{latencies[-1]:.0%}."
        if held_out
        else "No point was held out."
    )
    return f"{check_table(points).markdown()}\n\n{said}"


def chart(costs: Costs, assumed: Assumptions) -> str:
    """Machines against logs/s, for some ways in."""
    rates = [step * 10**power for power in (3, 4, 5) for step in (1, 3)] + [1_000_000]
    series = [
        svg.Series(title, {rate: _cores(costs, assumed, way, keeps, rate) for rate in rates})
        for title, way, keeps in _LINES
    ]
    said = "; ".join(
        f"{each.label}: " + ", ".join(f"{cores:.0f} cores at {rate:,}" for rate, cores in each.points.items())
        for each in series
    )
    return svg.lines("Cores of all machines, spare ones included", said, "logs a second", series)


def _cores(costs: Costs, assumed: Assumptions, way: Way, keeps: Keeps, logs_s: int) -> float:
    return float(_plan(costs, assumed, way, 100, keeps, logs_s).cores)
