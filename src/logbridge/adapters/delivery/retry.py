"""Retry: what was not written goes again after a pause, within a budget and the caller's own deadline."""

import asyncio
from collections.abc import Callable, Sequence

from logbridge.adapters.delivery.link import Link
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.policy import RetryPolicy
from logbridge.domain.ports import Deadline, LogSink


def passes(outcome: Outcome) -> bool:
    """Whether whoever did not take an entry says that it will pass: such as that there is no room now."""
    return isinstance(outcome, Failed | Unknown) and outcome.may_go_again


def passes_in_time(outcome: Outcome) -> bool:
    """Whether an entry is known not to be written, and may be later: a log service that is away counts."""
    return (
        isinstance(outcome, Failed)
        and outcome.cause is not Cause.STOPPING
        and (outcome.may_go_again or outcome.retry_after_s is not None)
    )


class Retry(Link):
    """A link that shrinks: only entries that failed go again, unknown ones only to a peer that honours ids.

    random: gives 0 to 1, for the jitter. on_retry: is told how many entries go again. may_go_again: whether
    trying again makes sense. Closing it ends all pauses: who waits to try again has its answer.
    """

    def __init__(
        self,
        next_sink: LogSink,
        policy: RetryPolicy,
        monotonic: Callable[[], float],
        random: Callable[[], float],
        on_retry: Callable[[int], object] = lambda _: None,
        may_go_again: Callable[[Outcome], bool] = passes,
    ) -> None:
        super().__init__(next_sink)
        self._policy = policy
        self._monotonic = monotonic
        self._random = random
        self._on_retry = on_retry
        self._may_go_again = may_go_again
        self._stopping = asyncio.Event()
        self._writes = 0
        self._idle = asyncio.Event()  # looked at by aclose only

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        limit_s = self._monotonic() + self._policy.budget_s
        limit = deadline if deadline.at_s <= limit_s else Deadline(limit_s)
        self._writes += 1
        try:
            first = await self._next.write(entries, deadline=limit)
            if not self._any_may_go_again(first):
                return first
            return await self._again(entries, list(first), limit)
        finally:
            self._writes -= 1
            if not self._writes:
                self._idle.set()

    async def _again(
        self, entries: Sequence[LogEntry], outcomes: list[Outcome], limit: Deadline
    ) -> list[Outcome]:
        failures = 0
        while not self._stopping.is_set() and (
            await self._safe(outcomes, limit) or self._any_may_go_again(outcomes)
        ):
            failures += 1
            asked_s = max(map(self._asked_s, outcomes))
            if not await self._pause(self._policy.pause_s(failures, self._random(), asked_s), limit):
                break
            # Asked again: another peer may have come meanwhile.
            going = await self._safe(outcomes, limit)
            self._on_retry(len(going))
            fresh = await self._next.write([entries[index] for index in going], deadline=limit)
            for index, outcome in zip(going, fresh, strict=True):
                outcomes[index] = _after(outcomes[index], outcome)
        return outcomes

    async def _pause(self, pause_s: float, limit: Deadline) -> bool:
        """Wait; False if there is no time for it and an attempt, or the bridge stops."""
        ends_s = pause_s + self._policy.attempt_s_min
        if self._stopping.is_set() or ends_s >= limit.remaining_s(self._monotonic()):
            return False
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return True
        return False

    async def _safe(self, outcomes: list[Outcome], limit: Deadline) -> list[int]:
        """The places of those that may go now; unknown ones are given up at a peer that would double them."""
        waiting = [index for index, outcome in enumerate(outcomes) if self._may_go_again(outcome)]
        unknown = [index for index in waiting if isinstance(outcomes[index], Unknown)]
        honours = await self._next.honours_ids(deadline=limit) if unknown else True
        if honours is False:
            for index in unknown:
                outcomes[index] = _given_up(outcomes[index])
        return waiting if honours else [index for index in waiting if index not in unknown]

    def _any_may_go_again(self, outcomes: Sequence[Outcome]) -> bool:
        # Nearly all of them are accepted, and this is asked for every log.
        return any(type(outcome) is not Accepted and self._may_go_again(outcome) for outcome in outcomes)

    def _asked_s(self, outcome: Outcome) -> float:
        if not (isinstance(outcome, Failed | Unknown) and self._may_go_again(outcome)):
            return 0.0
        return outcome.retry_after_s or 0.0

    async def aclose(self) -> None:
        self._stopping.set()
        while self._writes:
            self._idle.clear()
            await self._idle.wait()
        await self._next.aclose()


def _given_up(outcome: Outcome) -> Outcome:
    assert isinstance(outcome, Unknown)  # noqa: S101 (for the type checker)
    reason = f"{outcome.reason}; not sent again: the log service does not honour ids"
    return Unknown(outcome.log_id, reason, outcome.cause)


def _after(before: Outcome, now: Outcome) -> Outcome:
    """What is known after another attempt: a failed one does not undo one that may have written the entry."""
    if isinstance(before, Unknown) and isinstance(now, Failed | Refused):
        reason = f"{now.reason}; an earlier attempt may have written it"
        if isinstance(now, Refused):
            return Unknown(now.log_id, reason, before.cause)
        return Unknown(now.log_id, reason, before.cause, now.retry_after_s, now.may_go_again)
    return now
