"""LogServices: a write goes to the one with the fewest under way; what may be at one of them stays with it."""

import asyncio
import functools
import logging
from collections.abc import Callable, Collection, Sequence
from itertools import groupby

from logbridge.adapters.services.members import Members
from logbridge.adapters.services.peer import Peer
from logbridge.adapters.services.reader import MergedReader
from logbridge.adapters.services.uncertain import Uncertain, still_unknown
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Unknown
from logbridge.domain.policy import BalancePolicy
from logbridge.domain.ports import Deadline, SinkHealth

logger = logging.getLogger(__name__)

# Another one may have what this one lacks: the way to it, or room.
_ELSEWHERE = frozenset((Cause.UNAVAILABLE, Cause.OVERLOADED))


class LogServices(MergedReader):
    """A LogSink and LogReader over several. What one is known not to have goes to the next one at once.

    away: bool, whether all of them are.
    """

    def __init__(self, members: Members, policy: BalancePolicy, monotonic: Callable[[], float]) -> None:
        super().__init__(members, monotonic)
        self._policy = policy
        self._uncertain = Uncertain(policy.uncertain_max)
        self._looks: dict[Peer, asyncio.Task[None]] = {}
        self._turn = 0

    @property
    def away(self) -> bool:
        return self.services > 0 and self.services_away == self.services

    @property
    def services(self) -> int:
        """How many there are."""
        return len(self._members.peers)

    @property
    def services_away(self) -> int:
        """How many of them count as away."""
        return sum(peer.sink.away for peer in self._members.peers)

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        """See LogSink.write."""
        if not entries:
            return []
        peers = await self._members.present(deadline)
        if not peers:
            reason = "no log service is known: the name of LOGBRIDGE_SINK does not resolve"
            return [Failed(entry.id, reason) for entry in entries]
        self._look_at(peers)
        if not self._uncertain:
            return await self._balanced(entries, peers, deadline)
        return await self._sorted(entries, peers, deadline)

    async def _sorted(
        self, entries: Sequence[LogEntry], peers: Sequence[Peer], deadline: Deadline
    ) -> Sequence[Outcome]:
        """Those that may be somewhere go back there; the others where there is the least to do."""
        homes = [self._home(entry) for entry in entries]
        if not any(homes):
            return await self._balanced(entries, peers, deadline)
        order = sorted(range(len(entries)), key=lambda index: homes[index])
        parts = [list(part) for _, part in groupby(order, key=lambda index: homes[index])]
        written = await asyncio.gather(
            *(
                self._part(homes[part[0]], [entries[index] for index in part], peers, deadline)
                for part in parts
            )
        )
        outcomes: dict[int, Outcome] = {}
        for part, came in zip(parts, written, strict=True):
            outcomes |= zip(part, came, strict=True)
        return [outcomes[index] for index in range(len(entries))]

    def _home(self, entry: LogEntry) -> str:
        """The address where an entry may be, "" for none; of one that is gone for good nothing is known."""
        place = self._uncertain.where(entry)
        if place is None:
            return ""
        if self._members.at(place.address) is None:
            self._uncertain.settle((entry,))
            return ""
        return place.address

    async def _part(
        self, home: str, entries: Sequence[LogEntry], peers: Sequence[Peer], deadline: Deadline
    ) -> Sequence[Outcome]:
        peer = self._members.at(home) if home else None
        if peer is None:
            return await self._balanced(entries, peers, deadline)
        return await self._returned(peer, entries, deadline)

    async def _returned(
        self, peer: Peer, entries: Sequence[LogEntry], deadline: Deadline
    ) -> Sequence[Outcome]:
        """To where they may be; while that one is away nobody knows more."""
        outcomes = await self._handed(peer, entries, deadline)
        return [
            self._unknown_yet(entry, outcome) if isinstance(outcome, Failed) else outcome
            for entry, outcome in zip(entries, outcomes, strict=True)
        ]

    def _unknown_yet(self, entry: LogEntry, failed: Failed) -> Outcome:
        place = self._uncertain.where(entry)
        if place is None:  # another write of the same entry had its answer meanwhile
            return failed
        return still_unknown(entry, place, failed.retry_after_s or self._policy.rest_s)

    async def _balanced(
        self, entries: Sequence[LogEntry], peers: Sequence[Peer], deadline: Deadline
    ) -> Sequence[Outcome]:
        peer = self._chosen(peers, ())
        first = await self._handed(peer, entries, deadline)
        outcomes, tried = list(first), [peer]
        while len(tried) < len(peers) and deadline.remaining_s(self._monotonic()):
            going = [index for index, outcome in enumerate(outcomes) if _may_go_elsewhere(outcome)]
            if not going:
                break
            tried.append(self._chosen(peers, tried))
            fresh = await self._handed(tried[-1], [entries[index] for index in going], deadline)
            for index, outcome in zip(going, fresh, strict=True):
                outcomes[index] = outcome
        return outcomes

    def _chosen(self, peers: Sequence[Peer], tried: Collection[Peer]) -> Peer:
        """The one with the fewest writes under way, of those that are there and not asked to be spared."""
        now_s = self._monotonic()
        self._turn += 1
        count = len(peers)
        # Of equals each in its turn.
        turns = [peers[(self._turn + number) % count] for number in range(count)]
        return min(
            (peer for peer in turns if peer not in tried),
            key=lambda peer: (peer.sink.away, peer.rests_until_s > now_s, peer.sink.trial_in_s, peer.calls),
        )

    async def _handed(self, peer: Peer, entries: Sequence[LogEntry], deadline: Deadline) -> Sequence[Outcome]:
        peer.calls += 1
        try:
            outcomes = await peer.sink.write(entries, deadline=deadline)
        except asyncio.CancelledError:
            for entry in entries:
                self._uncertain.note(entry, peer.address, Cause.STOPPING)
            raise
        finally:
            peer.calls -= 1
        self._learn(peer, entries, outcomes)
        return outcomes

    def _learn(self, peer: Peer, entries: Sequence[LogEntry], outcomes: Sequence[Outcome]) -> None:
        if self._uncertain:
            self._uncertain.settle(
                entry
                for entry, outcome in zip(entries, outcomes, strict=True)
                if not isinstance(outcome, Failed | Unknown)
            )
        last = outcomes[-1]
        if isinstance(last, Failed) and last.cause is Cause.OVERLOADED:  # the newest thing known of it
            peer.rests_until_s = self._monotonic() + (last.retry_after_s or self._policy.rest_s)
        for entry, outcome in zip(entries, outcomes, strict=True):
            if type(outcome) is not Accepted and isinstance(outcome, Unknown):
                self._uncertain.note(entry, peer.address, outcome.cause)

    def _look_at(self, peers: Sequence[Peer]) -> None:
        """Ask those that are away whether they are back, while others do the work."""
        for peer in peers:
            if peer.sink.away and not peer.sink.trial_in_s and peer not in self._looks:
                self._looks[peer] = looking = asyncio.ensure_future(peer.sink.look())
                looking.add_done_callback(functools.partial(self._looked, peer))

    def _looked(self, peer: Peer, looking: "asyncio.Task[None]") -> None:
        del self._looks[peer]
        if not looking.cancelled() and (error := looking.exception()) is not None:
            logger.error("%s: cannot be asked whether it is back", peer.address, exc_info=error)

    async def check(self) -> SinkHealth:
        """See LogSink.check: one that would take entries is enough; the detail names them all."""
        peers = await self._members.present(Deadline(self._monotonic() + self._policy.rest_s))
        found = await asyncio.gather(*(peer.sink.check() for peer in peers))
        reachable = sum(health.reachable for health in found)
        details = "; ".join(health.detail for health in found)
        return SinkHealth(reachable > 0, f"{reachable} of {len(found)} log services: {details}")

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:
        """See LogSink.honours_ids: as all say that are there, and one that does not is no."""
        peers = await self._members.present(deadline)
        there = [peer for peer in peers if not peer.sink.away]
        said = await asyncio.gather(*(peer.sink.honours_ids(deadline=deadline) for peer in there))
        if False in said:
            return False
        return True if said and None not in said else None

    async def aclose(self) -> None:
        """See LogSink.aclose."""
        for looking in [*self._looks.values()]:
            looking.cancel()
        await self._members.aclose()


def _may_go_elsewhere(outcome: Outcome) -> bool:
    return isinstance(outcome, Failed) and outcome.cause in _ELSEWHERE
