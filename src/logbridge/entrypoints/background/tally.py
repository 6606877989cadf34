"""Tally: what became of logs that nobody waits for, in numbers that always add up."""

import threading
from collections.abc import Callable

from msgspec import Struct

from logbridge.domain.policy import BackgroundPolicy
from logbridge.entrypoints.background.losses import Losses


class Counts(Struct, frozen=True):
    """What became of all logs so far; their sum is what was handed over.

    queued: not settled yet, those under way included. sent: acknowledged. refused: never to be taken, by us
    or by whoever is sent to. dropped: no room, no time, or closed. last_error: why the last one did not go.
    """

    queued: int = 0
    sent: int = 0
    refused: int = 0
    dropped: int = 0
    last_error: str = ""


class Tally:
    """Says whether there is room for a log, and counts what becomes of each.

    The lock is reentrant: a signal handler or a finaliser may come in the middle, in the same thread. No
    function is called between reading a number and writing it, so that it finds none half changed.
    """

    def __init__(self, policy: BackgroundPolicy, losses: Losses) -> None:
        self._policy = policy
        self._losses = losses
        self._lock = threading.RLock()
        self._closed = False
        self._given_up = False
        self._queued = self._queued_bytes = self._sent = self._refused = self._dropped = 0
        self._last_error = ""

    @property
    def counts(self) -> Counts:
        """As of now."""
        with self._lock:
            return Counts(self._queued, self._sent, self._refused, self._dropped, self._last_error)

    @property
    def is_empty(self) -> bool:
        """Whether all is settled."""
        return self._queued == 0

    @property
    def is_given_up(self) -> bool:
        """Whether what becomes of the rest does not count any more."""
        return self._given_up

    def admit(self, size_bytes: int, put: Callable[[], object]) -> str:
        """Count a log as queued and put it there, or say why there is no room for it."""
        with self._lock:
            reason = self._no_room_for(size_bytes)
            if not reason:
                self._queued += 1
                self._queued_bytes += size_bytes
                put()  # under the lock: after close() nothing is put any more
            return reason

    def _no_room_for(self, size_bytes: int) -> str:
        policy = self._policy
        if self._closed:
            return "it came after the client was closed, or the program ended"
        if self._queued >= policy.queue_entries_max:
            return f"the queue is full: queue_entries_max={policy.queue_entries_max}"
        if self._queued_bytes + size_bytes > policy.queue_bytes_max:
            return f"the queue is full: queue_bytes_max={policy.queue_bytes_max}"
        return ""

    def turn_away(self, reason: str, *, refused: int = 0, dropped: int = 0) -> bool:
        """Count what never got into the queue; True if there was no loss to tell of before."""
        with self._lock:
            self._refused += refused
            self._dropped += dropped
            self._last_error = reason
            return self._losses.note(refused + dropped, reason)

    def settle(
        self, size_bytes: int, reason: str, *, sent: int = 0, refused: int = 0, dropped: int = 0
    ) -> None:
        """Count what was queued. size_bytes: of all of these. reason: why some did not go, "" if all did."""
        with self._lock:
            if self._given_up:  # they are counted as dropped already
                return
            self._queued -= sent + refused + dropped
            self._queued_bytes -= size_bytes
            self._sent += sent
            self._refused += refused
            self._dropped += dropped
            self._last_error = reason or self._last_error
            if refused or dropped:
                self._losses.note(refused + dropped, reason)

    def close(self) -> None:
        """Admit nothing more."""
        with self._lock:
            self._closed = True

    def give_up(self, reason: str) -> int:
        """Count what is left as dropped, for good. How many that are. The error before is told, too: why
        they waited so long.
        """
        with self._lock:
            self._given_up = True
            left, self._queued, self._queued_bytes = self._queued, 0, 0
            self._dropped += left
            if left:
                self._last_error = f"{reason}; before: {self._last_error}" if self._last_error else reason
                self._losses.note(left, self._last_error)
            return left
