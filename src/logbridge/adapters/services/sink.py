"""LogServices: each entry has its log service by its id; while that one is away the next one takes it."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from zlib import crc32

from logbridge.adapters.services.members import Members
from logbridge.adapters.services.peer import Peer
from logbridge.adapters.services.reader import MergedReader
from logbridge.adapters.services.uncertain import Uncertain, still_unknown
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Unknown
from logbridge.domain.policy import BalancePolicy
from logbridge.domain.ports import Deadline, SinkHealth

# How long a question about health waits for the name to be resolved.
RESOLVE_S = 2.0


class LogServices(MergedReader):
    """A LogSink and LogReader over several.

    By its id an entry comes to the same one, whoever sends it again: another bridge, or this one after a
    crash. What is known not to have arrived because a log service is away goes to the next one at once; what
    may have arrived goes nowhere else. away: bool, whether all of them are.
    """

    def __init__(self, members: Members, policy: BalancePolicy, monotonic: Callable[[], float]) -> None:
        super().__init__(members, monotonic)
        self._policy = policy
        self._uncertain = Uncertain(policy.uncertain_max)

    @property
    def away(self) -> bool:
        return 0 < self.services == self.services_away

    @property
    def services(self) -> int:
        """How many there are."""
        return len(self._members.peers)

    @property
    def services_away(self) -> int:
        """How many of them count as away."""
        return sum(peer.guard.away for peer in self._members.peers)

    async def write(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        """See LogSink.write."""
        if not entries:
            return []
        peers = await self._members.present(deadline)
        if not peers:
            reason = "no log service is known: the name of LOGBRIDGE_SINK does not resolve"
            return [Failed(entry.id, reason) for entry in entries]
        self._looks.at(peers)
        outcomes: dict[int, Outcome] = {}
        lost: set[Peer] = set()
        going: Collection[int] = range(len(entries))
        while going:
            parts = self._parts(entries, going, peers, lost)
            outcomes |= await self._written(entries, parts, deadline)
            going = [index for part in parts.values() for index in part if _not_reached(outcomes[index])]
            lost |= {peer for peer, part in parts.items() if any(_not_reached(outcomes[i]) for i in part)}
            if len(lost) == len(peers) or not deadline.remaining_s(self._monotonic()):
                break
        return [outcomes[index] for index in range(len(entries))]

    def _parts(
        self, entries: Sequence[LogEntry], going: Iterable[int], peers: Sequence[Peer], lost: set[Peer]
    ) -> Mapping[Peer, list[int]]:
        """Which entries go where, by their places. lost: who was not reached in this write."""
        left = [peer for peer in peers if peer not in lost]
        there = [peer for peer in left if not peer.guard.away] or left
        parts: dict[Peer, list[int]] = defaultdict(list)
        for index in going:
            entry = entries[index]
            parts[self._where_it_may_be(entry) or _home(entry, there)].append(index)
        return parts

    def _where_it_may_be(self, entry: LogEntry) -> Peer | None:
        """None for an entry that was nowhere; of a log service that is gone for good nothing is known."""
        place = self._uncertain.where(entry) if self._uncertain else None
        if place is None:
            return None
        peer = self._members.at(place.address)
        if peer is None:
            self._uncertain.settle((entry,))
        return peer

    async def _written(
        self, entries: Sequence[LogEntry], parts: Mapping[Peer, list[int]], deadline: Deadline
    ) -> dict[int, Outcome]:
        written = await asyncio.gather(
            *(
                self._handed(peer, [entries[index] for index in part], deadline)
                for peer, part in parts.items()
            )
        )
        return {
            index: outcome
            for part, outcomes in zip(parts.values(), written, strict=True)
            for index, outcome in zip(part, outcomes, strict=True)
        }

    async def _handed(self, peer: Peer, entries: Sequence[LogEntry], deadline: Deadline) -> list[Outcome]:
        try:
            outcomes = await peer.sink.write(entries, deadline=deadline)
        except asyncio.CancelledError:
            for entry in entries:
                self._uncertain.note(entry, peer.address, Cause.STOPPING)
            raise
        return [
            outcome
            if type(outcome) is Accepted and not self._uncertain
            else self._learned(peer, entry, outcome)
            for entry, outcome in zip(entries, outcomes, strict=True)
        ]

    def _learned(self, peer: Peer, entry: LogEntry, outcome: Outcome) -> Outcome:
        """Remember, or forget, where the entry may be; while it cannot be asked there it stays unknown."""
        if isinstance(outcome, Unknown):
            self._uncertain.note(entry, peer.address, outcome.cause)
        elif not isinstance(outcome, Failed):
            self._uncertain.settle((entry,))
        elif (place := self._uncertain.where(entry)) is not None:
            return still_unknown(entry, place, outcome.retry_after_s or self._policy.wait_s)
        return outcome

    async def check(self) -> SinkHealth:
        """See LogSink.check: one that would take entries is enough; the detail names them all."""
        peers = await self._members.present(Deadline(self._monotonic() + RESOLVE_S))
        self._looks.at(peers)
        found = await asyncio.gather(*(peer.sink.check() for peer in peers))
        reachable = sum(health.reachable for health in found)
        details = "; ".join(health.detail for health in found)
        return SinkHealth(reachable > 0, f"{reachable} of {len(found)} log services: {details}")

    async def watch(self) -> None:
        """To be called once a second: whoever is away is asked, though nobody writes or reads."""
        self._looks.at(await self._members.present(Deadline(self._monotonic())))

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:
        """See LogSink.honours_ids: as all say that are there, and one that does not is no."""
        peers = await self._members.present(deadline)
        there = [peer for peer in peers if not peer.guard.away]
        said = await asyncio.gather(*(peer.sink.honours_ids(deadline=deadline) for peer in there))
        if False in said:
            return False
        return True if said and None not in said else None

    def cut(self) -> None:
        """Answer what is under way or waits as unknown, and whatever still comes as failed."""
        for peer in self._members.peers:
            peer.cut()

    async def aclose(self) -> None:
        """See LogSink.aclose."""
        self._looks.end()
        await self._members.aclose()


def _not_reached(outcome: Outcome) -> bool:
    return isinstance(outcome, Failed) and outcome.cause is Cause.UNAVAILABLE


def _home(entry: LogEntry, peers: Sequence[Peer]) -> Peer:
    """Rendezvous hashing: the same for everybody who knows the same log services, and if one goes only its
    own entries move. Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.
    """
    name = crc32(entry.id.encode()) + 1
    home, most = peers[0], -1
    # A loop: max() with a key takes twice as long, and this is done for every log.
    for peer in peers:
        place = name * peer.factor & _MASK
        if place > most:
            home, most = peer, place
    return home


_MASK = 2**64 - 1
