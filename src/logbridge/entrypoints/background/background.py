"""Background: logs that a program hands over and forgets. One bounded queue, one daemon thread, batches.

`.log()` may be called anywhere, also by a signal handler or a finaliser that interrupts another `.log()` of
the same thread. So there is nothing here that such a call could wait for: SimpleQueue.put and deque.pop are
reentrant, and so is the lock of the Tally.
"""

import atexit
import contextlib
import functools
import json
import os
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing import parent_process
from multiprocessing.util import Finalize
from queue import Empty, SimpleQueue
from typing import Any, TypedDict, Unpack

from logbridge.domain.entry import classify
from logbridge.domain.errors import InvalidEntry, LogbridgeError
from logbridge.domain.policy import BackgroundPolicy, RetryPolicy
from logbridge.entrypoints.background.losses import Losses, OnDrop
from logbridge.entrypoints.background.sending import BatchAnswer, Clock, Item, Send, Sending
from logbridge.entrypoints.background.tally import Counts, Tally
from logbridge.entrypoints.python.drafts import identified

__all__ = ["Background", "BackgroundSettings", "BatchAnswer", "Counts", "PolicySettings", "Send"]

THREAD_NAME = "logbridge-background"
BACKOFF_MAX_S = 5.0
REASON_CHARS_MAX = 500


class PolicySettings(TypedDict, total=False):
    """See BackgroundPolicy."""

    queue_entries_max: int
    queue_bytes_max: int
    batch_entries_max: int
    batch_bytes_max: int
    linger_ms: float
    retry_s: float
    exit_timeout_s: float


class BackgroundSettings(PolicySettings, total=False):
    """The keyword settings that every client has for its `.log()`.

    on_drop: is called with a count and a reason when logs were refused or dropped, in the thread that sends.
    """

    on_drop: OnDrop | None


class _Marker:
    """A place in the queue: `settled` holds something once all before it is settled."""

    def __init__(self) -> None:
        self.settled: SimpleQueue[None] = SimpleQueue()


class Background:
    """Sends logs in batches from one daemon thread, which starts with the first log.

    send: gets 1 or more entries, dicts as of the REST contract, each with its log_id and timestamp; it
    blocks, and answers one outcome for each, in order. Failed and Unknown go again (the ids make it safe),
    not before retry_after_s; Refused does not. A LogbridgeError of it means that nothing will ever go out
    from here; any other exception counts as Unknown for all. begin: is called before the thread starts, by
    whoever logs first. clock: for tests. Raises ValueError or TypeError for a setting that makes no sense.
    """

    def __init__(
        self,
        send: Send,
        *,
        begin: Callable[[], object] = lambda: None,
        clock: Clock = Clock(time.monotonic, random.random),  # noqa: B008 (it has no state)
        on_drop: OnDrop | None = None,
        **settings: Unpack[PolicySettings],
    ) -> None:
        self._policy = BackgroundPolicy(**settings)
        self._send = send
        self._begin = begin
        self._clock = clock
        self._on_drop = on_drop
        self._exit_hook = functools.partial(_close_at_exit, weakref.ref(self))
        self._closed = False
        self._start_afresh()
        _all.add(self)

    def _start_afresh(self) -> None:
        """Empty, and without a thread: in the beginning, and in a child after a fork."""
        retry = RetryPolicy(budget_s=self._policy.retry_s, backoff_max_s=BACKOFF_MAX_S)
        self._losses = Losses(self._on_drop, self._clock.monotonic)
        self._tally = Tally(self._policy, self._losses)
        self._sending = Sending(self._send, retry, self._tally, self._losses, self._clock)
        self._queue: SimpleQueue[Item | _Marker | None] = SimpleQueue()  # None: look what there is to do
        self._held: Item | None = None  # taken, and left for the next batch
        self._newest_marker: _Marker | None = None  # while no log came after it
        self._marking = threading.RLock()
        self._to_start = deque([None])  # who gets this starts the thread
        self._ended = False
        self._thread = 0
        if self._closed:
            self._tally.close()

    def log(self, message: str, /, **fields: Any) -> bool:
        """Hand a log over; the fields are those of write_log. Returns at once, and raises nothing.

        False: it was refused or dropped, which is counted; or sending itself logged it, which would go on
        for ever and is not counted.
        """
        if self._sending.goes_on_here:
            return False
        try:
            item = _item_of({**fields, "message": message})
        except Exception as error:  # whatever a log may hold, the program goes on
            self._turn_away(_reason_of(error), refused=1)
            return False
        if not (self._closed or self._is_started()):
            self._turn_away("no thread can be started here (any more) to send logs", dropped=1)
            return False
        reason = self._tally.admit(item.size_bytes, functools.partial(self._put, item))
        if reason:
            self._turn_away(reason, dropped=1)
        return not reason

    def _put(self, item: Item) -> None:
        self._queue.put(item)
        self._newest_marker = None  # only now: a marker put meanwhile may be before this log

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was handed over before is settled: sent, refused or dropped.

        timeout_s: None for exit_timeout_s. False if that was not enough, or in the thread that sends.
        """
        if self._tally.is_empty:
            return True
        if threading.get_ident() == self._thread or not self._is_started():
            return False
        with self._marking:
            if self._ended:
                return self._tally.is_empty
            marker = self._newest_marker
            if marker is None:
                marker = self._newest_marker = _Marker()
                self._queue.put(marker)
        try:
            marker.settled.get(timeout=self._policy.exit_timeout_s if timeout_s is None else timeout_s)
        except Empty:
            return False
        marker.settled.put(None)  # for the next one that waits for the same
        return True

    def close(self, timeout_s: float | None = None) -> bool:
        """Flush, drop what is left then, and end the thread; later logs are dropped.

        timeout_s: as in flush. True: everything is settled, and nothing was left. What was lost is said
        before it returns.
        """
        within_s = self._policy.exit_timeout_s if timeout_s is None else timeout_s
        atexit.unregister(self._exit_hook)
        self._tally.close()
        self._closed = True
        self._sending.close(within_s)
        settled = self.flush(within_s)
        self._queue.put(None)
        if threading.get_ident() == self._thread:
            return False
        left = self._tally.give_up(f"not acknowledged within the {within_s:g} s that closing may take")
        self._losses.tell(at_once=True)
        return settled and not left

    @property
    def counts(self) -> Counts:
        """What became of the logs so far."""
        return self._tally.counts

    def _turn_away(self, reason: str, *, refused: int = 0, dropped: int = 0) -> None:
        first = self._tally.turn_away(reason, refused=refused, dropped=dropped)
        if self._closed or not self._is_started():
            self._losses.tell()
        elif first:
            self._queue.put(None)  # the thread tells of it: to write a line may block

    def _is_started(self) -> bool:
        try:
            self._to_start.pop()
        except IndexError:
            return True
        try:
            with contextlib.suppress(LogbridgeError):  # send says it again
                self._begin()
            # After `begin`: hooks run in reverse order, and what it starts must still be there.
            self._close_at_exit()
            threading.Thread(target=self._run, name=THREAD_NAME, daemon=True).start()
        except RuntimeError:  # too many threads, or the interpreter ends
            self._to_start.append(None)
            return False
        return True

    def _close_at_exit(self) -> None:
        atexit.register(self._exit_hook)
        if parent_process() is not None:
            # Children of multiprocessing end without the hooks of atexit.
            Finalize(None, self._exit_hook, exitpriority=0)

    def _run(self) -> None:
        self._thread = threading.get_ident()
        while not self._tally.is_given_up:
            batch, marker = self._collect()
            if batch:
                self._sending.deliver(batch)
            if marker is not None:
                marker.settled.put(None)
            self._losses.tell()
            with self._marking:
                self._ended = self._closed and self._held is None and self._queue.empty()
            if self._ended:
                return

    def _collect(self) -> tuple[list[Item], _Marker | None]:
        """The next batch: what is there, and comes within linger_ms of its first log; a marker ends it."""
        batch: list[Item] = []
        size_bytes, until_s = 0, 0.0
        wait_s = self._losses.due_s()
        while len(batch) < self._policy.batch_entries_max:
            item = self._next(wait_s)
            if not isinstance(item, Item):
                return batch, item
            if batch and size_bytes + item.size_bytes > self._policy.batch_bytes_max:
                self._held = item
                break
            if not batch:
                until_s = time.monotonic() + self._policy.linger_ms / 1000
            batch.append(item)
            size_bytes += item.size_bytes
            wait_s = max(0.0, until_s - time.monotonic())
        return batch, None

    def _next(self, wait_s: float | None) -> Item | _Marker | None:
        item, self._held = self._held, None
        if item is not None:
            return item
        try:
            return self._queue.get(timeout=wait_s)
        except Empty:
            return None


def _item_of(fields: Mapping[str, Any]) -> Item:
    """The log as it is now, with its id and its time. Raises InvalidEntry, and UnicodeError for no text."""
    entry = identified(fields)
    classify(entry)
    return Item(entry, len(json.dumps(entry, ensure_ascii=False).encode()))


def _reason_of(error: Exception) -> str:
    try:
        text = str(error) if isinstance(error, InvalidEntry) else f"{type(error).__name__}: {error}"
    except Exception:
        text = type(error).__name__
    return text[:REASON_CHARS_MAX]


def _close_at_exit(background: "weakref.ref[Background]") -> None:
    alive = background()
    if alive is not None:
        alive.close()


_all: "weakref.WeakSet[Background]" = weakref.WeakSet()


def _in_a_child() -> None:
    # What waits is the parent's, and so is the thread.
    for background in list(_all):
        background._start_afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_child)
