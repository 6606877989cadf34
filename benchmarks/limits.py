"""What `make bench-quick` allows: ratios within one run and counted work, never a time.

Wide enough for a busy machine of two cores: a limit is for what got worse by half, not by a tenth.
"""

from msgspec import Struct


class Limit(Struct, frozen=True):
    """The most that a value may be."""

    value: str
    text: str
    most: float


LIMITS = (
    Limit("cpu_to_noop", "CPU a log to that of a no-op, 200 clients", 2.5),
    Limit("cpu_to_reference", "CPU a log to that of the obvious design, 200 clients", 0.26),
    Limit("batch_cpu_to_parts", "CPU a log in batches to that of its parts alone", 2.2),
    Limit("rpcs_200", "RPCs a log, 200 clients", 0.05),
    Limit("rpcs_1", "RPCs a log, 1 client", 1.0),
    Limit("blocks_in_flight", "blocks of memory for a write in flight", 100.0),
    Limit("blocks_left", "blocks of memory that an answered write leaves", 1.0),
    Limit("batch_bytes", "bytes at the peak of a batch, for each entry", 3_400.0),
)
