"""The cost model: processor time, memory and bytes of a log, fitted from the benchmark's own last report.

The time of a log is request_us for each HTTP request, rpc_us for each call to the log service, log_us for
each log and byte_ns for each further byte: cpu = request_us * requests + rpc_us * calls + log_us * logs. The
three are fitted by least squares of the relative error over ``FITTED``.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks import bodies
from benchmarks.contenders import DURABLE, LOGBRIDGE, NOOP, PATIENT
from benchmarks.measure import Figures
from benchmarks.report import JSON_FILE, Report
from benchmarks.scenarios import BY_NAME, growth_name

# Few clients, some, many, and batches: the ends of what is measured and one between.
FITTED = (growth_name(1), growth_name(20), growth_name(200), "batches")
# Each gives one more constant.
FITTED_ALONE = ("bodies-100k", "store-batches", "store-writes", "memory", growth_name(10_000))
_PROCESSOR_MIN_US = 0.1


class NoFigures(Exception):
    """The last report lacks a scenario that the model needs."""


class Costs(Struct, frozen=True):
    """Microseconds of processor time, unless the name says another unit.

    request_us, rpc_us, log_us: of a bridge for each request, call and log, answers included. byte_ns: for
    each byte of an entry beyond entry_bytes. disk_request_us, disk_log_us: what the spool on the disk adds.
    client_us, peer_us: of the measurement: the load between answer and next request, a call outside of the
    bridge. service_log_us: of the log service on SQLite, in batches. worker_kib: a process at work.
    flight_kib: a connection with a write in flight. connection_kib: a connection of a busy bridge.
    """

    request_us: float
    rpc_us: float
    log_us: float
    byte_ns: float
    disk_request_us: float
    disk_log_us: float
    client_us: float
    peer_us: float
    service_log_us: float
    worker_kib: float
    flight_kib: float
    connection_kib: float
    entry_bytes: int

    def more_bytes(self, size_bytes: float) -> float:
        """Bytes beyond those of the benchmark's entry."""
        return max(0.0, size_bytes - self.entry_bytes)

    def cpu_us(self, requests: float, calls: float, size_bytes: float = 0.0) -> float:
        """Of one log that comes in so many requests, goes in so many calls and has so many bytes."""
        more_us = self.byte_ns * self.more_bytes(size_bytes) / 1e3
        return self.request_us * requests + self.rpc_us * calls + self.log_us + more_us


def last_report(path: Path = JSON_FILE) -> Report:
    """The last report, of whatever machine. Raises NoFigures."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.MsgspecError) as error:
        raise NoFigures(f"{path}: {error}; make bench writes it") from error


def figures(report: Report, scenario: str, contender: str = LOGBRIDGE) -> Figures:
    """What was measured. Raises NoFigures."""
    measured = report.scenarios.get(scenario)
    if measured is None or contender not in measured.medians:
        raise NoFigures(
            f"the last report has no {contender} in {scenario}: make bench ARGS='--only {scenario}'"
        )
    return measured.medians[contender]


def fit(report: Report) -> Costs:
    """The costs that the report shows. Raises NoFigures."""
    request_us, rpc_us, log_us = _processor(report)
    single, empty = figures(report, growth_name(1)), figures(report, growth_name(1), NOOP)
    client_us = _beside(empty)
    many, memory = figures(report, growth_name(10_000)), figures(report, "memory", PATIENT)
    entry_bytes = len(bodies.body(1))
    costs = Costs(
        request_us=request_us,
        rpc_us=rpc_us,
        log_us=log_us,
        byte_ns=0.0,
        disk_request_us=0.0,
        disk_log_us=0.0,
        client_us=client_us,
        peer_us=max(_PROCESSOR_MIN_US, _beside(single) - client_us),
        service_log_us=1e6 / figures(report, "store-batches").logs_per_s,
        worker_kib=single.memory_kib,
        flight_kib=memory.memory_kib,
        connection_kib=max(0.0, many.memory_kib - single.memory_kib) / 10_000,
        entry_bytes=entry_bytes,
    )
    return _with_disk(_with_bytes(costs, report), report)


def _beside(seen: Figures) -> float:
    """Microseconds of a round with one client that are not the gateway's own."""
    return max(_PROCESSOR_MIN_US, 1e6 / seen.logs_per_s - seen.cpu_us)


def _processor(report: Report) -> tuple[float, float, float]:
    rows = []
    for name in FITTED:
        seen = figures(report, name)
        requests = 1 / BY_NAME[name].entries
        rows.append([requests / seen.cpu_us, seen.rpcs / seen.cpu_us, 1 / seen.cpu_us])
    request_us, rpc_us, log_us = least_squares(rows, [1.0] * len(rows))
    return request_us, rpc_us, log_us


def _with_bytes(costs: Costs, report: Report) -> Costs:
    seen, scenario = figures(report, "bodies-100k"), BY_NAME["bodies-100k"]
    more_bytes = len(bodies.body(1, scenario.entry_bytes)) - costs.entry_bytes
    more_us = max(0.0, seen.cpu_us - costs.cpu_us(1, seen.rpcs))
    return msgspec.structs.replace(costs, byte_ns=1e3 * more_us / more_bytes)


def _with_disk(costs: Costs, report: Report) -> Costs:
    """Two points, two constants: in batches nearly all is the log's, in single writes also the request's."""
    in_batches, alone = (figures(report, name, DURABLE).cpu_us for name in ("store-batches", "store-writes"))
    entries = BY_NAME["store-batches"].entries
    # A spool hands on full batches, however the logs came.
    more_in_batches = in_batches - costs.cpu_us(1 / entries, 1 / entries)
    more_alone = alone - costs.cpu_us(1, 1 / entries)
    request_us = max(0.0, (more_alone - more_in_batches) / (1 - 1 / entries))
    log_us = max(0.0, more_in_batches - request_us / entries)
    return msgspec.structs.replace(costs, disk_request_us=request_us, disk_log_us=log_us)


def least_squares(rows: Sequence[Sequence[float]], wanted: Sequence[float]) -> list[float]:
    """The x for which rows * x is nearest to wanted: normal equations, solved by elimination."""
    size = range(len(rows[0]))
    matrix = [
        [sum(row[i] * row[j] for row in rows) for j in size]
        + [sum(row[i] * value for row, value in zip(rows, wanted, strict=True))]
        for i in size
    ]
    for i in size:
        pivot = max(range(i, len(matrix)), key=lambda k: abs(matrix[k][i]))
        matrix[i], matrix[pivot] = matrix[pivot], matrix[i]
        matrix[i] = [value / matrix[i][i] for value in matrix[i]]
        for k in size:
            if k != i:
                factor = matrix[k][i]
                matrix[k] = [a - factor * b for a, b in zip(matrix[k], matrix[i], strict=True)]
    return [row[-1] for row in matrix]
