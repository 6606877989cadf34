"""The simulation against the benchmark: what was measured, and what comes out of the model for the same."""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks import bodies
from benchmarks.capacity.assumptions import Assumptions
from benchmarks.capacity.costs import FITTED, Costs, NoFigures, figures
from benchmarks.capacity.simulation.arrivals import Shape
from benchmarks.capacity.simulation.system import Keeps, Peer, Seen, Size, System
from benchmarks.contenders import CONTENDERS, DURABLE, LOGBRIDGE, TWO_WORKERS
from benchmarks.measure import Figures
from benchmarks.report import Report
from benchmarks.scenarios import BY_NAME, GROWTH, SLOW_MS, Scenario, growth_name
from benchmarks.scenarios import Peer as Behind

# Of each a constant is made, beside those of FITTED; the first two only say what a byte and a log cost.
_FITTED_TOO = {("bodies-100k", LOGBRIDGE), ("store-batches", LOGBRIDGE)}
_FITTED_TOO |= {("store-batches", DURABLE), ("store-writes", DURABLE)}
_PLAYED = (
    *((growth_name(clients), LOGBRIDGE) for clients in GROWTH),
    ("batches", LOGBRIDGE),
    ("bodies-3k", LOGBRIDGE),
    ("bodies-100k", LOGBRIDGE),
    ("slow-peer", LOGBRIDGE),
    ("workers", TWO_WORKERS),
    ("store-batches", LOGBRIDGE),
    ("store-writes", LOGBRIDGE),
    ("store-batches", DURABLE),
    ("store-writes", DURABLE),
)


class Point(NamedTuple):
    """One measured point, and the same simulated. fitted: whether a constant of the model comes from it."""

    title: str
    fitted: bool
    measured: Figures
    simulated: Seen

    @property
    def logs_error(self) -> float:
        """Of logs/s, as a part of what was measured."""
        return self.simulated.logs_per_s / self.measured.logs_per_s - 1

    @property
    def p50_error(self) -> float:
        """Of the median latency, as a part of what was measured."""
        return self.simulated.p50_ms / self.measured.p50_ms - 1


def check(
    report: Report, costs: Costs, assumed: Assumptions, told: Callable[[str], object] = lambda _: None
) -> list[Point]:
    """All that the report has and the simulation can play. told: called with the title of each."""
    points = []
    for name, contender in _PLAYED:
        try:
            measured = figures(report, name, contender)
        except NoFigures:
            continue
        scenario = BY_NAME[name]
        title = _title(scenario, contender)
        told(title)
        fitted = name in FITTED if contender == LOGBRIDGE else False
        fitted = fitted or (name, contender) in _FITTED_TOO
        points.append(Point(title, fitted, measured, play(scenario, contender, costs, assumed)))
    return points


def play(scenario: Scenario, contender: str, costs: Costs, assumed: Assumptions) -> Seen:
    """A scenario of the benchmark in virtual time."""
    workers = CONTENDERS[contender].cores
    keeps = Keeps.DISK if contender == DURABLE else Keeps.SERVICE
    fixed_ms = {Behind.COUNTING: 0.0, Behind.SLOW: SLOW_MS, Behind.STORE: None}[scenario.peer]
    entry_bytes = len(bodies.body(1, scenario.entry_bytes))
    system = System(
        Size(workers, 1, keeps),
        costs,
        assumed,
        Shape(scenario.entries, entry_bytes),
        peer=Peer(fixed_ms),
        # Of two cores one is the gateway's; with two workers the load has no core of its own.
        shared_us=costs.client_us if workers > 1 else 0.0,
        away_s=costs.peer_us / 1e6,
    )
    system.closed_world(scenario.connections)
    # Many clients need long for a round, and large batches are few.
    seconds = 4.0 if scenario.entries > 1 else 1.0 + scenario.connections / 5_000
    return system.run(seconds, warmup_s=1.0)


def _title(scenario: Scenario, contender: str) -> str:
    more = ", durable on the disk" if contender == DURABLE else ""
    return scenario.title + more
