"""What a spool holds, as an operator sees it: the same for every kind of spool."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from msgspec import Struct

from logbridge.domain.entry import LogEntry

# Told how many are done, and of how many.
Tick = Callable[[int, int], None]


def untold(_done: int, _total: int) -> None:
    """A Tick for whoever is not interested."""


class DamageReport(Struct, frozen=True):
    """What a damaged spool file cost. file: its name. at: RFC 3339. why: what was seen.

    found: entries saved from it. lost: entries that cannot be read any more, lost_ids their ids.
    """

    file: str
    at: str
    why: str
    found: int
    lost: int
    lost_ids: list[str]


class SpoolStatus(Struct, frozen=True):
    """What is in a spool. bytes: of all entries. oldest: RFC 3339, when the longest waiting entry came.

    delivered, buried: entries since the spool was made. resent: entries that went again though they may have
    been written; None where each process counts its own, and the spool does not know. files: one for each
    worker, none in a stream. damaged: what damaged files cost.
    """

    waiting: int
    dead: int
    bytes: int
    oldest: str
    delivered: int
    resent: int | None
    buried: int
    files: int
    damaged: list[DamageReport]


class Kept(NamedTuple):
    """An entry in the spool, or a dead letter. since: RFC 3339, when it was kept or when it died, and why."""

    entry: LogEntry
    dead: bool
    since: str
    reason: str


class Inventory(Protocol):
    """A spool seen from outside, by an operator's command. Each raises StoreError where it cannot be had."""

    def status(self) -> SpoolStatus:
        """Counts over all of it."""
        ...

    def entries(self, *, dead: bool) -> Iterator[Kept]:
        """What waits, or the dead letters, oldest first."""
        ...

    def retry(self, tick: Tick = untold) -> int:
        """Put the dead letters back; gives how many."""
        ...

    def purge(self, tick: Tick = untold, *, dead: bool) -> int:
        """Delete the dead letters, or what waits; gives how many."""
        ...
