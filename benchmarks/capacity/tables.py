"""The tables, each as columns and rows of text: for the terminal and for docs/scale.md alike."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from benchmarks.capacity.assumptions import Assumptions, notes
from benchmarks.capacity.check import Point
from benchmarks.capacity.costs import Costs
from benchmarks.capacity.simulation.system import Keeps, Seen
from benchmarks.capacity.sizing import Asked, Plan
from benchmarks.report import table

_COSTS = {
    "request_us": "µs of processor time of a bridge for each HTTP request",
    "rpc_us": "µs for each call to the log service",
    "log_us": "µs for each log: decoded, made, serialized",
    "byte_ns": "ns for each byte of an entry beyond the benchmark's",
    "disk_request_us": "µs more for each request, durable on the disk",
    "disk_log_us": "µs more for each log, durable on the disk",
    "service_log_us": "µs of a log service on SQLite for each log, in batches of 1,000",
    "worker_kib": "KiB of a worker at work",
    "flight_kib": "KiB of each connection with a write in flight",
    "connection_kib": "KiB of each connection at 10,000 busy ones",
    "client_us": "µs of the load between answer and next request (of the measurement)",
    "peer_us": "µs of a call outside of the bridge (of the measurement)",
    "entry_bytes": "bytes of the benchmark's entry as JSON",
}


class Table(NamedTuple):
    """Columns and rows of text."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        """As Markdown."""
        return table(self.columns, self.rows)


def plan_table(asked: Asked, made: Plan) -> Table:
    """One plan, part by part."""
    rows = [
        ("workers", f"{made.workers}", f"{made.worker_machines} machines", _most(made.worker_logs_s)),
        ("log services", f"{made.services}", "SQLite, one writer each", _most(made.service_logs_s)),
    ]
    if asked.keeps is Keeps.JETSTREAM:
        machines = f"{made.forwarder_machines} machines"
        rows.insert(1, ("forwarders", f"{made.forwarders}", machines, _most(made.forwarder_logs_s)))
        rows.append(("NATS servers", f"{made.nats_servers}", f"{made.streams} streams, 3 replicas", ""))
    rows += [
        ("cores", f"{made.cores:,}", "of all of them", f"{made.worker_us:.1f} µs a log in a worker"),
        ("memory", f"{made.memory_gib:.1f} GiB", "of all of them", ""),
        ("network in", f"{made.in_gbit_s:.3g} Gbit/s", "from the callers", ""),
        ("network inside", f"{made.inside_gbit_s:.3g} Gbit/s", "between the machines", ""),
    ]
    return Table(("", "how many", "", "one carries at most"), rows)


def _most(logs_s: float) -> str:
    return f"{_rounded(logs_s)} logs/s"


def sizing_table(plans: Sequence[tuple[str, str, float, Plan]]) -> Table:
    """Many plans: what is acknowledged where, how logs come, logs/s, and the plan."""
    columns = ("acknowledged", "way in", "logs/s", "workers (machines)", "forwarders (machines)")
    more = ("log services", "NATS servers", "streams", "cores", "memory GiB", "Gbit/s in", "Gbit/s inside")
    return Table(
        (*columns, *more),
        [
            (
                *(kept, way, f"{logs_s:,.0f}"),
                f"{made.workers} ({made.worker_machines})",
                f"{made.forwarders} ({made.forwarder_machines})" if made.forwarders else "",
                f"{made.services}",
                *(f"{count}" if count else "" for count in (made.nats_servers, made.streams)),
                *(f"{made.cores:,}", f"{made.memory_gib:.1f}"),
                *(f"{made.in_gbit_s:.2g}", f"{made.inside_gbit_s:.2g}"),
            )
            for kept, way, logs_s, made in plans
        ],
    )


def seen_table(rows: Sequence[tuple[str, Seen]]) -> Table:
    """What came of simulations, one a row."""
    columns = (
        "",
        "logs/s",
        "p50 ms",
        "p99 ms",
        "refused",
        "backlog at most",
        "drained after",
        "workers busy",
    )
    return Table(
        (*columns, "log services busy"),
        [
            (
                title,
                _rounded(seen.logs_per_s),
                _rounded(seen.p50_ms),
                _rounded(seen.p99_ms),
                _percent(seen.refused_share),
                _rounded(seen.backlog_max) if seen.kept else "",
                _seconds(seen),
                f"{seen.worker_busy:.0%}",
                f"{seen.service_busy:.0%}",
            )
            for title, seen in rows
        ],
    )


def _percent(share: float) -> str:
    return "0" if not share else f"{100 * share:.2g} %"


def _seconds(seen: Seen) -> str:
    if not seen.kept or seen.drain_s is None:
        return ""
    return "at once" if seen.drain_s < 0.5 else f"{seen.drain_s:.0f} s"


def check_table(points: Sequence[Point]) -> Table:
    """Measured against simulated."""
    columns = ("", "", "logs/s measured", "simulated", "error", "p50 ms measured", "simulated", "error")
    return Table(
        columns,
        [
            (
                point.title,
                "fitted" if point.fitted else "held out",
                f"{point.measured.logs_per_s:,.0f}",
                f"{_rounded(point.simulated.logs_per_s)}",
                f"{point.logs_error:+.0%}",
                f"{point.measured.p50_ms:.3g}",
                f"{_rounded(point.simulated.p50_ms)}",
                f"{point.p50_error:+.0%}",
            )
            for point in points
        ],
    )


def costs_table(costs: Costs) -> Table:
    """The constants of the model."""
    values = structs.asdict(costs)
    return Table(
        ("constant", "value", "what it is"),
        [(f"`{name}`", _rounded(values[name]), said) for name, said in _COSTS.items()],
    )


def assumptions_table(assumed: Assumptions) -> Table:
    """What was not measured here."""
    values, said = structs.asdict(assumed), notes()
    rows = [(f"`--{name.replace('_', '-')}`", f"{value:,g}", said[name]) for name, value in values.items()]
    return Table(("flag", "value", "what it is"), rows)


def _rounded(value: float) -> str:
    """Three figures: more are not meant."""
    if not value:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(0, digits)}f}"
