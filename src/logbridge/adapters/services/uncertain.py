"""Uncertain: which log service may have an entry already, so that it goes there again and nowhere else."""

import logging
from collections import OrderedDict
from collections.abc import Iterable

from msgspec import Struct

from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Cause, Unknown

logger = logging.getLogger(__name__)

# Of those that are forgotten the first is told, and then one of so many.
_TOLD_EVERY = 10_000


class Whereabouts(Struct, frozen=True):
    """Where an entry may be. address: of the log service. cause: why that is not known."""

    address: str
    cause: Cause


class Uncertain:
    """Entries whose outcome is unknown, by service and id. Beyond entries_max the oldest is forgotten.

    forgotten: int, how many were: each of them, sent again, may be stored twice.
    """

    def __init__(self, entries_max: int) -> None:
        self.forgotten = 0
        self._entries_max = entries_max
        self._places: OrderedDict[tuple[str, str], Whereabouts] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def where(self, entry: LogEntry) -> Whereabouts | None:
        """Where it may be, None for an entry that was nowhere."""
        return self._places.get((entry.service_name, entry.id))

    def note(self, entry: LogEntry, address: str, cause: Cause) -> None:
        """It may be there from now on."""
        key = (entry.service_name, entry.id)
        self._places[key] = Whereabouts(address, cause)
        self._places.move_to_end(key)
        if len(self._places) > self._entries_max:
            self._places.popitem(last=False)
            self._tell_of_one_forgotten()

    def _tell_of_one_forgotten(self) -> None:
        if not self.forgotten % _TOLD_EVERY:
            logger.warning(
                "the outcome of more than %d logs is unknown: of the oldest it is forgotten which log "
                "service may have them, and sent again they may be stored twice",
                self._entries_max,
            )
        self.forgotten += 1

    def settle(self, entries: Iterable[LogEntry]) -> None:
        """What became of these is known, or nobody can tell any more."""
        for entry in entries:
            self._places.pop((entry.service_name, entry.id), None)


def still_unknown(entry: LogEntry, place: Whereabouts, wait_s: float) -> Unknown:
    """The answer for an entry that was not sent now, because where it may be cannot be asked."""
    reason = (
        f"{place.address}: an earlier attempt may have written it there, where it cannot be sent now; "
        "at another log service it could be stored twice"
    )
    return Unknown(entry.id, reason, place.cause, wait_s, may_go_again=True, sent=False)
