"""What has not been measured here: each with its value, its unit, and why it is that."""

from typing import Annotated, get_args, get_origin, get_type_hints

from msgspec import Struct


class Assumptions(Struct, frozen=True):
    """Values that a flag of `make capacity` can set. The note of each is its help and its row."""

    publish_us: Annotated[
        float, "µs of processor time of a bridge for a log, to publish it to JetStream and take the answer"
    ] = 100.0
    forward_us: Annotated[
        float, "µs of processor time of a forwarder for a log: pull, decode, acknowledge to JetStream"
    ] = 80.0
    stream_logs_s: Annotated[
        float, "logs/s that the leader of one stream with three replicas takes and gives out again"
    ] = 20_000.0
    nats_server_logs_s: Annotated[
        float, "copies a second that one NATS server writes, as leader or follower of all its streams"
    ] = 60_000.0
    publish_ms: Annotated[float, "ms from a publish to its acknowledgement by most replicas, unloaded"] = 2.0
    nats_server_mb_s: Annotated[float, "MB/s that the disk of one NATS server takes"] = 200.0
    election_s: Annotated[float, "seconds until a stream has a new leader"] = 3.0
    commit_ms: Annotated[
        float, "ms of a commit with fsync, of the log service and of a spool on the disk"
    ] = 1.0
    rtt_ms: Annotated[float, "ms of network between two machines, there and back"] = 0.5
    health_check_s: Annotated[float, "seconds until a load balancer leaves out a worker that is gone"] = 1.0
    http_bytes: Annotated[
        float, "bytes of the heads of a request and its answer, and of what they travel in"
    ] = 700.0
    message_bytes: Annotated[float, "bytes of a log in gRPC and in JetStream, beyond those of its JSON"] = (
        100.0
    )
    nats_memory_mib: Annotated[float, "MiB of memory of one NATS server"] = 1024.0
    service_memory_mib: Annotated[float, "MiB of memory of one log service"] = 256.0
    service_byte_ns: Annotated[
        float, "ns of a log service for each byte of an entry beyond that of the benchmark"
    ] = 5.0
    service_cores: Annotated[float, "cores of one log service: its writer, and gRPC beside it"] = 2.0
    nats_cores: Annotated[float, "cores of one NATS server"] = 4.0
    cores_a_machine: Annotated[float, "cores of one machine for workers and forwarders"] = 8.0


def notes() -> dict[str, str]:
    """Name to what it is."""
    hints = get_type_hints(Assumptions, include_extras=True)
    return {name: get_args(hint)[1] for name, hint in hints.items() if get_origin(hint) is Annotated}
