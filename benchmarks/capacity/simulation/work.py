"""Seconds of processor time in a process of the simulation, from the cost model and the assumptions."""

from msgspec import Struct

from benchmarks.capacity.assumptions import Assumptions
from benchmarks.capacity.costs import Costs


class Work(Struct, frozen=True):
    """Seconds for a request, a call and a log of the size that is asked about.

    publish_s, forward_s: for a log, to publish it to JetStream and to take it out again. disk_request_s,
    disk_log_s: what the spool on the disk adds.
    """

    request_s: float = 0.0
    rpc_s: float = 0.0
    log_s: float = 0.0
    publish_s: float = 0.0
    forward_s: float = 0.0
    disk_request_s: float = 0.0
    disk_log_s: float = 0.0


def work(costs: Costs, assumed: Assumptions, entry_bytes: int, shared_us: float = 0.0) -> Work:
    """shared_us: what a request costs others on the same cores."""
    more_us = costs.byte_ns * costs.more_bytes(entry_bytes) / 1e3
    return Work(
        request_s=(costs.request_us + shared_us) / 1e6,
        rpc_s=costs.rpc_us / 1e6,
        log_s=(costs.log_us + more_us) / 1e6,
        publish_s=assumed.publish_us / 1e6,
        forward_s=assumed.forward_us / 1e6,
        disk_request_s=costs.disk_request_us / 1e6,
        disk_log_s=costs.disk_log_us / 1e6,
    )


def service_log_s(costs: Costs, assumed: Assumptions, entry_bytes: int) -> float:
    """Seconds of a log service on SQLite for a log of full batches."""
    return (costs.service_log_us + assumed.service_byte_ns * costs.more_bytes(entry_bytes) / 1e3) / 1e6
