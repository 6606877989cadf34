"""From a rate to machines: workers, log services, NATS servers, network and memory."""

import math
from enum import Enum

from msgspec import Struct

from benchmarks.capacity.assumptions import Assumptions
from benchmarks.capacity.costs import Costs
from benchmarks.capacity.simulation.system import Keeps, Size
from benchmarks.capacity.simulation.work import service_log_s
from logbridge.domain.policy import CoalescePolicy, RequestLimits, SpoolPolicy

REPLICAS = 3
# Every round of answers makes a small batch, of who is back first, and a large one of the others.
_CALLS_A_ROUND = 2.0


class Way(Enum):
    """How logs come in. A stream goes in batches as large as they may be."""

    WRITE = "write"
    BATCH = "batch"
    STREAM = "stream"


class Asked(Struct, frozen=True):
    """What the machines are for.

    batch: logs of a request, with the way of that name. in_flight: requests in flight at each worker when it
    is busy. load: part of what a process carries at most that it is to carry.
    spare: machines, log services and NATS servers more than that. Raises ValueError, in one line.
    """

    logs_s: float
    way: Way = Way.BATCH
    batch: int = 100
    keeps: Keeps = Keeps.SERVICE
    entry_bytes: int = 300
    in_flight: int = 50
    load: float = 0.6
    spare: int = 1

    def __post_init__(self) -> None:
        most = RequestLimits().batch_entries_max
        for fits, said in (
            (
                self.logs_s > 0 and math.isfinite(self.logs_s),
                f"logs_s is {self.logs_s:g}, more than 0 is needed",
            ),
            (1 <= self.batch <= most, f"batch is {self.batch}, 1 to {most} is allowed"),
            (self.entry_bytes >= 1, f"entry_bytes is {self.entry_bytes}, at least 1 is needed"),
            (self.in_flight >= 1, f"in_flight is {self.in_flight}, at least 1 is needed"),
            (0 < self.load <= 1, f"load is {self.load:g}, more than 0 and at most 1 is needed"),
            (self.spare >= 0, f"spare is {self.spare}, at least 0 is needed"),
        ):
            if not fits:
                raise ValueError(said)

    @property
    def logs_a_request(self) -> int:
        """Logs that come together."""
        full = RequestLimits().batch_entries_max
        return {Way.WRITE: 1, Way.BATCH: self.batch, Way.STREAM: full}[self.way]


class Plan(Struct, frozen=True):
    """What it takes; counts have the spare ones in them.

    worker_us, forwarder_us: processor time of a log. worker_logs_s, forwarder_logs_s, service_logs_s: what
    one process carries at most. in_gbit_s: from the callers. inside_gbit_s: between the machines.
    """

    worker_us: float
    worker_logs_s: float
    workers: int
    worker_machines: int
    forwarder_us: float
    forwarder_logs_s: float
    forwarders: int
    forwarder_machines: int
    service_logs_s: float
    services: int
    streams: int
    nats_servers: int
    cores: int
    memory_gib: float
    in_gbit_s: float
    inside_gbit_s: float

    def size(self, keeps: Keeps) -> Size:
        """As the simulation needs it."""
        return Size(self.workers, self.services, keeps, self.streams, self.forwarders, self.nats_servers)


def calls_a_log(logs_a_request: int, in_flight: int, services: int) -> float:
    """Calls to log services for a log at a busy worker: each has its part of every request.

    Many requests share two calls a round to each of them; of few, each makes its own.
    """
    alone = min(services, logs_a_request) / logs_a_request
    shared = _CALLS_A_ROUND * services / (in_flight * logs_a_request)
    return max(min(alone, shared), 1 / max(CoalescePolicy().batch_entries_max, logs_a_request))


def plan(asked: Asked, costs: Costs, assumed: Assumptions) -> Plan:
    """The machines for what is asked."""
    jetstream = asked.keeps is Keeps.JETSTREAM
    service_s = service_log_s(costs, assumed, asked.entry_bytes)
    services = _whole(asked, asked.logs_s * service_s) + asked.spare
    delivery_us = costs.log_us / 2 + costs.rpc_us * services / SpoolPolicy().batch_entries_max
    worker_us = _worker_us(asked, costs, assumed, services, delivery_us)
    forwarder_us = assumed.forward_us + delivery_us if jetstream else 0.0
    # Parts of a batch are stored side by side.
    part_s = service_s / services
    forwarder_logs_s = _one_by_one_logs_s(forwarder_us, part_s, assumed, fetch_ms=assumed.publish_ms)
    worker_logs_s = 1e6 / worker_us
    if asked.keeps is Keeps.DISK:
        worker_logs_s = min(worker_logs_s, _one_by_one_logs_s(delivery_us, part_s, assumed, fetch_ms=0.0))
    worker_machines, workers = _spread(asked, assumed, asked.logs_s / worker_logs_s)
    forwarder_machines, forwarders = (
        _spread(asked, assumed, asked.logs_s / forwarder_logs_s) if jetstream else (0, 0)
    )
    nats_servers = _nats_servers(asked, assumed) if jetstream else 0
    cores = workers + forwarders + services * assumed.service_cores + nats_servers * assumed.nats_cores
    memory_kib = (
        workers * (costs.worker_kib + asked.in_flight * costs.flight_kib) + forwarders * costs.worker_kib
    )
    memory_mib = services * assumed.service_memory_mib + nats_servers * assumed.nats_memory_mib
    return Plan(
        worker_us=worker_us,
        worker_logs_s=worker_logs_s,
        workers=workers,
        worker_machines=worker_machines,
        forwarder_us=forwarder_us,
        forwarder_logs_s=forwarder_logs_s if jetstream else 0.0,
        forwarders=forwarders,
        forwarder_machines=forwarder_machines,
        service_logs_s=1 / service_s,
        services=services,
        streams=_whole(asked, asked.logs_s / assumed.stream_logs_s) if jetstream else 0,
        nats_servers=nats_servers,
        cores=math.ceil(cores),
        memory_gib=memory_kib / 1024**2 + memory_mib / 1024,
        in_gbit_s=_gbit_s(asked.logs_s * (asked.entry_bytes + assumed.http_bytes / asked.logs_a_request)),
        inside_gbit_s=_gbit_s(asked.logs_s * _message_bytes(asked, assumed) * _hops(asked)),
    )


def _worker_us(asked: Asked, costs: Costs, assumed: Assumptions, services: int, delivery_us: float) -> float:
    requests = 1 / asked.logs_a_request
    if asked.keeps is Keeps.SERVICE:
        calls = calls_a_log(asked.logs_a_request, asked.in_flight, services)
        return costs.cpu_us(requests, calls, asked.entry_bytes)
    # A spool hands on full batches, however the logs came; half of a log's time is in that.
    if asked.keeps is Keeps.JETSTREAM:
        return costs.cpu_us(requests, 0.0, asked.entry_bytes) - costs.log_us / 2 + assumed.publish_us
    kept_us = costs.disk_request_us * requests + costs.disk_log_us
    return costs.cpu_us(requests, 0.0, asked.entry_bytes) + kept_us + delivery_us


def _one_by_one_logs_s(own_us: float, service_s: float, assumed: Assumptions, fetch_ms: float) -> float:
    """What is delivered by who sends one full batch after the other, and waits for each."""
    full = SpoolPolicy().batch_entries_max
    waits_s = (assumed.commit_ms + assumed.rtt_ms + fetch_ms) / 1e3
    return full / (full * (own_us / 1e6 + service_s) + waits_s)


def _whole(asked: Asked, busy: float) -> int:
    """How many, each as busy as is asked."""
    return max(1, math.ceil(busy / asked.load - 1e-9))


def _spread(asked: Asked, assumed: Assumptions, busy: float) -> tuple[int, int]:
    """Machines and processes: evenly, one to a core, and as many on each spare machine."""
    needed = _whole(asked, busy)
    machines = math.ceil(needed / assumed.cores_a_machine)
    each = math.ceil(needed / machines)
    return machines + asked.spare, (machines + asked.spare) * each


def _nats_servers(asked: Asked, assumed: Assumptions) -> int:
    by_logs = asked.logs_s * REPLICAS / assumed.nats_server_logs_s
    by_bytes = asked.logs_s * REPLICAS * _message_bytes(asked, assumed) / (1e6 * assumed.nats_server_mb_s)
    return max(REPLICAS, _whole(asked, max(by_logs, by_bytes)) + asked.spare)


def _message_bytes(asked: Asked, assumed: Assumptions) -> float:
    return asked.entry_bytes + assumed.message_bytes


def _hops(asked: Asked) -> int:
    """How often a log goes from one machine to another behind the bridge."""
    # To the leader, to each other replica, to the forwarder, to the log service.
    return 1 + (REPLICAS - 1) + 1 + 1 if asked.keeps is Keeps.JETSTREAM else 1


def _gbit_s(bytes_s: float) -> float:
    return bytes_s * 8 / 1e9
