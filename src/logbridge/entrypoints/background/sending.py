"""Sending: a batch goes again until each of its logs is settled, or its time is over."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from logbridge.domain.errors import LogbridgeError
from logbridge.domain.outcome import Failed, Outcome, Refused, Unknown
from logbridge.domain.policy import RetryPolicy
from logbridge.entrypoints.background.losses import Losses
from logbridge.entrypoints.background.tally import Tally

BatchAnswer = Sequence[Outcome]
Send = Callable[[list[dict[str, Any]]], BatchAnswer]
_NEVER_S = float("inf")


class Item(NamedTuple):
    """A log that waits. entry: as the REST contract has it. size_bytes: of its JSON."""

    entry: dict[str, Any]
    size_bytes: int


class Clock(NamedTuple):
    """What time between attempts is made of. pause: None for one that closing ends.

    monotonic: seconds of a clock that only goes forward. jitter: gives 0 to 1.
    """

    monotonic: Callable[[], float]
    jitter: Callable[[], float]
    pause: Callable[[float], object] | None = None


class Sending:
    """Delivers batches, one after another, in one thread."""

    def __init__(self, send: Send, policy: RetryPolicy, tally: Tally, losses: Losses, clock: Clock) -> None:
        self._send = send
        self._policy = policy
        self._tally = tally
        self._losses = losses
        self._clock = clock
        self._pause = clock.pause or self._pause_until_closed
        self._closed: SimpleQueue[None] = SimpleQueue()
        self._close_by_s = _NEVER_S
        self._not_before_s = -_NEVER_S
        self._thread = 0

    @property
    def goes_on_here(self) -> bool:
        """Whether this very thread is sending now: what is logged meanwhile comes of sending itself."""
        return threading.get_ident() == self._thread

    def close(self, within_s: float) -> None:
        """End the pause, and begin no attempt after so many seconds."""
        self._close_by_s = self._clock.monotonic() + within_s
        self._closed.put(None)

    def deliver(self, batch: Sequence[Item]) -> None:
        """Returns once each log of the batch is settled. Only what failed goes again."""
        self._wait_until(self._not_before_s)
        until_s = self._clock.monotonic() + self._policy.budget_s
        failures = 0
        while True:
            batch, reason = self._attempt(batch)
            if not batch:
                return
            failures += 1
            next_s = self._next_s(failures, min(until_s, self._close_by_s))
            if next_s is None:
                size_bytes = sum(item.size_bytes for item in batch)
                self._tally.settle(
                    size_bytes, f"given up after {failures} attempts: {reason}", dropped=len(batch)
                )
                return
            self._losses.tell()
            self._wait_until(next_s)
            if self._tally.is_given_up:
                return

    def _next_s(self, failures: int, limit_s: float) -> float | None:
        """When to try again, at the limit at the latest; None if it is over."""
        now_s = self._clock.monotonic()
        if now_s >= limit_s:
            return None
        next_s = min(now_s + self._policy.pause_s(failures, self._clock.jitter()), limit_s)
        if self._close_by_s < _NEVER_S:  # no time left to come back when asked to
            return next_s
        return max(next_s, self._not_before_s) if self._not_before_s < limit_s else None

    def _wait_until(self, at_s: float) -> None:
        wait_s = at_s - self._clock.monotonic()
        if wait_s > 0:
            self._pause(wait_s)

    def _pause_until_closed(self, pause_s: float) -> None:
        with contextlib.suppress(Empty):
            self._closed.get(timeout=pause_s)

    def _attempt(self, batch: Sequence[Item]) -> tuple[list[Item], str]:
        """Send once. What is to go again, and why."""
        try:
            outcomes = self._outcomes_of(batch)
        except LogbridgeError as error:
            # Nothing can go out from here any more: to try again would only keep the program from ending.
            self._tally.settle(sum(item.size_bytes for item in batch), str(error), dropped=len(batch))
            return [], ""
        again: list[Item] = []
        reasons: dict[type[Outcome], str] = {}
        sent = refused = size_bytes = 0
        for item, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Failed | Unknown):
                again.append(item)
                self._heed(outcome.retry_after_s)
                reasons[Failed] = outcome.reason
                continue
            size_bytes += item.size_bytes
            if isinstance(outcome, Refused):
                refused += 1
                reasons[Refused] = outcome.reason
            else:
                sent += 1
        reason = reasons.get(Refused) or reasons.get(Failed, "")
        self._tally.settle(size_bytes, reason, sent=sent, refused=refused)
        return again, reasons.get(Failed, "")

    def _heed(self, asked_s: float | None) -> None:
        if asked_s:  # not for ever: the queue fills up meanwhile
            at_s = self._clock.monotonic() + min(asked_s, self._policy.budget_s)
            self._not_before_s = max(self._not_before_s, at_s)

    def _outcomes_of(self, batch: Sequence[Item]) -> BatchAnswer:
        self._thread = threading.get_ident()
        try:
            outcomes = self._send([item.entry for item in batch])
        except LogbridgeError:
            raise
        except Exception as error:  # a fault of whoever sends; the logs may have been written
            return [Unknown("", f"{type(error).__name__}: {error}")] * len(batch)
        finally:
            self._thread = 0
        if len(outcomes) != len(batch):
            return [Unknown("", f"{len(outcomes)} answers came for {len(batch)} logs")] * len(batch)
        return outcomes
