"""Background: logs that a program hands over and forgets. One bounded queue, one daemon thread, batches.

`.log()` may be called anywhere, also by a signal handler or a finaliser that interrupts another `.log()` of
the same thread. So there is no lock here that such a call could wait for: SimpleQueue.put is reentrant, and
so is an RLock. What the lock guards are a few numbers; no function is called between reading and writing one
of them, so nothing can come in between in the same thread.
"""

import atexit
import functools
import json
import os
import random
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypedDict, Unpack

import uuid_utils
from msgspec import Struct

from logbridge.domain.entry import classify
from logbridge.domain.errors import LogbridgeError
from logbridge.domain.outcome import Accepted, Outcome, Refused, Unknown
from logbridge.domain.policy import BackgroundPolicy, RetryPolicy
from logbridge.domain.timestamp import rfc3339_utc
from logbridge.entrypoints.drafts import plain_fields
from logbridge.entrypoints.losses import Losses, OnDrop

BatchAnswer = Sequence[Outcome]
Send = Callable[[list[dict[str, Any]]], BatchAnswer]
BACKOFF_MAX_S = 5.0


class BackgroundSettings(TypedDict, total=False):
    """The keyword settings of every client's `.log()`; see BackgroundPolicy for the defaults.

    on_drop: is called with a count and a reason when logs were refused or dropped, in the thread that sends.
    """

    queue_entries_max: int
    queue_bytes_max: int
    batch_entries_max: int
    batch_bytes_max: int
    linger_ms: float
    retry_s: float
    exit_timeout_s: float
    on_drop: OnDrop | None


class Counts(Struct, frozen=True):
    """What became of all logs so far; their sum is what was handed over.

    queued: not settled yet, those under way included. sent: acknowledged. refused: never to be taken, by us or
    by whoever is sent to. dropped: no room, no time, or closed. last_error: why, of the last that did not go.
    """

    queued: int = 0
    sent: int = 0
    refused: int = 0
    dropped: int = 0
    last_error: str = ""


class _Item(NamedTuple):
    entry: dict[str, Any]
    bytes: int


class _Marker:
    """A place in the queue: `settled` holds something once all before it is settled."""

    def __init__(self) -> None:
        self.settled: SimpleQueue[None] = SimpleQueue()


class Background:
    """Sends logs in batches from one daemon thread, which starts with the first log.

    send: gets 1 or more entries, dicts as of the REST contract, each with its log_id and timestamp; it blocks,
    and answers one outcome for each, in order. Failed and Unknown go again (the ids make it safe); Refused
    does not. A LogbridgeError of it means that nothing will ever go out from here; any other exception counts
    as Unknown for all. begin: is called once, before the thread starts, by whoever logs first.
    Raises ValueError for a setting that makes no sense.
    """

    def __init__(
        self,
        send: Send,
        *,
        begin: Callable[[], object] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
        jitter: Callable[[], float] = random.random,
        on_drop: OnDrop | None = None,
        **settings: Any,
    ) -> None:
        raise NotImplementedError

    def log(self, /, message: str, **fields: Any) -> bool:
        """Hand a log over; the fields are those of write_log. Returns at once, and raises nothing.

        False: it was refused or dropped, which is counted.
        """
        raise NotImplementedError

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was handed over before is settled: sent, refused or dropped.

        timeout_s: None for exit_timeout_s. False if that was not enough, or in the thread that sends.
        """
        raise NotImplementedError

    def close(self, timeout_s: float | None = None) -> bool:
        """Flush, end the thread, and drop what is left; later logs are dropped. timeout_s, and answer: as flush."""
        raise NotImplementedError

    @property
    def counts(self) -> Counts:
        """What became of the logs so far."""
        raise NotImplementedError
