"""What is measured, as data."""

from enum import Enum

from msgspec import Struct

from benchmarks.contenders import (
    BESIDE_BUSY,
    DURABLE,
    ENVOY,
    GZIPPED,
    KEYED,
    LOGBRIDGE,
    NOOP,
    PATIENT,
    REFERENCE,
    TWO_WORKERS,
    UNCOALESCED,
)

# Processes that measure a part alone, beside the contenders.
MICRO = "its parts alone"
SQLITE_ROW_BY_ROW = "SQLite alone, a statement for each row"
SQLITE_AT_ONCE = "SQLite alone, one statement for all rows"
ALONE: dict[str, tuple[str, ...]] = {
    MICRO: ("benchmarks.micro",),
    SQLITE_ROW_BY_ROW: ("benchmarks.sqlite_alone", "--way", "row-by-row"),
    SQLITE_AT_ONCE: ("benchmarks.sqlite_alone", "--way", "all-at-once"),
}


class Kind(Enum):
    """How a scenario is measured."""

    LOAD = "load"  # connections that each write on, for some seconds
    TEST = "test"  # one POST to concurrent-test
    MEMORY = "memory"  # connections that each have one write in flight, which nobody answers


class Peer(Enum):
    """What is behind the gateway."""

    COUNTING = "counting"
    SLOW = "slow"
    STORE = "store"


class Scenario(Struct, frozen=True):
    """contenders: in the order of a round. entries: of one request. entry_bytes: at least, of one as JSON.

    short: few rounds are enough, since no target needs them.
    """

    name: str
    title: str
    contenders: tuple[str, ...]
    kind: Kind = Kind.LOAD
    connections: int = 1
    entries: int = 1
    entry_bytes: int = 0
    peer: Peer = Peer.COUNTING
    short: bool = False


SLOW_MS = 20.0
TEST_COUNT, TEST_WORKERS = 10_000, 50
GROWTH = (1, 5, 20, 50, 200, 1000, 10_000)
_ALL = (NOOP, REFERENCE, LOGBRIDGE, ENVOY)


def growth_name(connections: int) -> str:
    """The scenario of the chart of growing load with so many connections."""
    return f"writes-{connections}"


def _growth() -> tuple[Scenario, ...]:
    targets = (1, 50, 200)
    return tuple(
        Scenario(
            growth_name(connections),
            f"single writes, {connections:,} clients",
            (NOOP, REFERENCE, LOGBRIDGE),
            connections=connections,
            short=True,
        )
        for connections in GROWTH
        if connections not in targets
    )


SCENARIOS = (
    Scenario("writes-1", "single writes, 1 client", (NOOP, REFERENCE, LOGBRIDGE, UNCOALESCED, ENVOY)),
    Scenario("writes-50", "single writes, 50 clients", _ALL, connections=50),
    Scenario(
        "writes-200",
        "single writes, 200 clients",
        (NOOP, "no-op-starlette", REFERENCE, LOGBRIDGE, ENVOY),
        connections=200,
    ),
    Scenario("batches", "batches of 1,000, 4 clients", (*_ALL, MICRO), connections=4, entries=1000),
    Scenario("test", "concurrent test 10,000/50", (REFERENCE, LOGBRIDGE), Kind.TEST),
    *_growth(),
    Scenario("bodies-3k", "entries of 3 KB, 50 clients", _ALL, connections=50, entry_bytes=3_000, short=True),
    Scenario(
        "bodies-100k", "entries of 100 KB, 50 clients", _ALL, connections=50, entry_bytes=100_000, short=True
    ),
    Scenario(
        "gzip",
        "entries of 3 KB in gzip, 50 clients",
        (NOOP, LOGBRIDGE, GZIPPED),
        connections=50,
        entry_bytes=3_000,
        short=True,
    ),
    Scenario(
        "keys",
        "single writes with a key, 200 clients",
        (NOOP, LOGBRIDGE, KEYED),
        connections=200,
        short=True,
    ),
    Scenario(
        "slow-peer",
        "single writes, 200 clients, a log service that takes 20 ms",
        (NOOP, REFERENCE, LOGBRIDGE, ENVOY),
        connections=200,
        peer=Peer.SLOW,
        short=True,
    ),
    Scenario(
        "workers",
        "single writes, 200 clients, two workers",
        (NOOP, LOGBRIDGE, BESIDE_BUSY, TWO_WORKERS),
        connections=200,
    ),
    Scenario(
        "store-batches",
        "batches of 1,000, 4 clients, through the log service onto the disk",
        (SQLITE_ROW_BY_ROW, SQLITE_AT_ONCE, LOGBRIDGE, DURABLE),
        connections=4,
        entries=1000,
        peer=Peer.STORE,
    ),
    Scenario(
        "store-writes",
        "single writes, 200 clients, through the log service onto the disk",
        (NOOP, LOGBRIDGE, DURABLE),
        connections=200,
        peer=Peer.STORE,
        short=True,
    ),
    Scenario(
        "memory", "10,000 writes in flight", (REFERENCE, PATIENT), Kind.MEMORY, connections=10_000, short=True
    ),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
