"""What is to be reached, as data: ratios within one run."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from benchmarks.contenders import (
    BESIDE_BUSY,
    ENVOY,
    LOGBRIDGE,
    NOOP,
    PATIENT,
    REFERENCE,
    TWO_WORKERS,
    UNCOALESCED,
)
from benchmarks.rounds import Round, medians, ratio
from benchmarks.scenarios import MICRO, SQLITE_AT_ONCE, SQLITE_ROW_BY_ROW


class Target(Struct, frozen=True):
    """One figure of a contender, or its ratio to another's in the same round.

    most, least: the limit, one of the two. enough: the figure itself, beyond which the ratio does not matter.
    """

    number: str
    text: str
    scenario: str
    figure: str
    of: str = LOGBRIDGE
    to: str = ""
    most: float | None = None
    least: float | None = None
    enough: float | None = None


class Verdict(Struct, frozen=True):
    """What came of a target. value: None if it was not measured."""

    number: str
    text: str
    limit: str
    value: float | None
    reached: bool | None


SOAK = "soak"

TARGETS = (
    Target(
        "1a", "CPU a log, 200 clients, to the obvious design", "writes-200", "cpu_us", to=REFERENCE, most=0.1
    ),
    Target("1b", "CPU a log, 200 clients, to the no-op", "writes-200", "cpu_us", to=NOOP, most=1.5),
    Target("1c", "logs/s, 200 clients, to Envoy", "writes-200", "logs_per_s", to=ENVOY, least=2.0),
    Target("1d", "logs/s, 50 clients, to Envoy", "writes-50", "logs_per_s", to=ENVOY, least=1.4),
    Target(
        "2a", "p50, 1 client, to itself without coalescing", "writes-1", "p50_ms", to=UNCOALESCED, most=1.1
    ),
    Target("2b", "p50, 1 client, to the obvious design", "writes-1", "p50_ms", to=REFERENCE, most=1.0),
    Target("3a", "logs/s, batches, to the obvious design", "batches", "logs_per_s", to=REFERENCE, least=45.0),
    Target("3b", "logs/s, batches, to Envoy", "batches", "logs_per_s", to=ENVOY, least=1.5),
    Target("3c", "CPU a log, batches, to its parts alone", "batches", "cpu_us", to=MICRO, most=1.3),
    Target(
        "4", "logs/s, concurrent test, to the obvious design", "test", "logs_per_s", to=REFERENCE, least=8.0
    ),
    Target("5a", "KiB for each of 10,000 writes in flight", "memory", "memory_kib", PATIENT, most=16.0),
    Target("5b", "memory at the end of ten minutes at full load, to that after one", SOAK, "", most=1.03),
    Target(
        "6a",
        "logs/s onto the disk, to SQLite alone, a statement for each row (or 40,000)",
        "store-batches",
        "logs_per_s",
        to=SQLITE_ROW_BY_ROW,
        least=0.7,
        enough=40_000,
    ),
    Target(
        "6b",
        "the same, to SQLite alone, one statement for all rows",
        "store-batches",
        "logs_per_s",
        to=SQLITE_AT_ONCE,
        least=0.7,
        enough=40_000,
    ),
    Target("7a", "CPU a log, two workers, to one", "workers", "cpu_us", TWO_WORKERS, LOGBRIDGE, most=1.1),
    # The cores of many machines are halves of one: what the second worker costs is seen beside a busy one.
    Target(
        "7b",
        "CPU a log, two workers, to one beside a busy core",
        "workers",
        "cpu_us",
        TWO_WORKERS,
        BESIDE_BUSY,
        most=1.1,
    ),
)


def verdict(target: Target, rounds: Mapping[str, Sequence[Round]], grown: float | None = None) -> Verdict:
    """What came of a target. rounds: those that count, of each scenario. grown: the soak's ratio."""
    value = grown if target.scenario == SOAK else _value(target, rounds.get(target.scenario, ()))
    limit = f"≤ {target.most:g}" if target.most is not None else f"≥ {target.least:g}"
    if value is None:
        return Verdict(target.number, target.text, limit, None, None)
    reached = value <= target.most if target.most is not None else value >= (target.least or 0.0)
    if target.enough is not None and not reached:
        own = medians(rounds[target.scenario])[target.of]
        reached = getattr(own, target.figure) >= target.enough
    return Verdict(target.number, target.text, limit, value, reached)


def _value(target: Target, rounds: Sequence[Round]) -> float | None:
    if target.to:
        return ratio(rounds, target.figure, target.of, target.to)
    if not rounds or target.of not in rounds[0].figures:
        return None
    value: float = getattr(medians(rounds)[target.of], target.figure)
    return value
