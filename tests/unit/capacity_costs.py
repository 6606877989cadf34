"""What a log costs on a machine that nobody has: round numbers, for tests of the model and the simulation."""

from benchmarks import bodies
from benchmarks.capacity.costs import Costs

KNOWN = Costs(
    request_us=60.0,
    rpc_us=400.0,
    log_us=12.0,
    byte_ns=3.0,
    disk_request_us=70.0,
    disk_log_us=10.0,
    client_us=15.0,
    peer_us=120.0,
    service_log_us=32.0,
    worker_kib=80_000.0,
    flight_kib=13.0,
    connection_kib=12.0,
    entry_bytes=len(bodies.body(1)),
)
