"""MergedReader: what is read from several log services, as if it were one."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from logbridge.adapters.newest import check_depth, merge, newest
from logbridge.adapters.services.looks import Looks
from logbridge.adapters.services.members import Members
from logbridge.adapters.services.peer import Peer
from logbridge.adapters.services.place import place_of, sequence_at
from logbridge.domain.errors import ReaderUnavailable
from logbridge.domain.histogram import nothing_found
from logbridge.domain.ports import Deadline
from logbridge.domain.query import Followed, HistogramQuery, LogFilter, LogHistogram, LogPage, LogQuery
from logbridge.domain.timestamp import nearest_rfc3339

T = TypeVar("T")
# How often a follow looks for log services that it does not follow.
LOOK_S = 3.0
BEGIN_S = 5.0


class MergedReader:
    """A LogReader. Who is away is left out, and named in the answer; with nobody left ReaderUnavailable."""

    def __init__(self, members: Members, monotonic: Callable[[], float]) -> None:
        self._members = members
        self._monotonic = monotonic
        self._looks = Looks()

    async def query(self, query: LogQuery, *, deadline: Deadline) -> LogPage:
        """See LogReader.query. Raises QueryNotSupported also for a page that is too deep to be merged."""
        check_depth(query, "logs of several log services are merged: narrow the time")

        async def of(peer: Peer) -> LogPage:
            return await newest(lambda asked: peer.reader.query(asked, deadline=deadline), query)

        pages, missing = await self._of_all(of, deadline)
        return merge(pages, query, missing)

    async def histogram(self, query: HistogramQuery, *, deadline: Deadline) -> LogHistogram:
        """See LogReader.histogram."""

        async def of(peer: Peer, asked: HistogramQuery = query) -> LogHistogram:
            return await peer.reader.histogram(asked, deadline=deadline)

        found, missing = await self._of_all(of, deadline)
        together = _over_all(query, found)
        if together != query:
            # Each has laid its buckets over its own logs; now all over the same time.
            found, missing = await self._of_all(lambda peer: of(peer, together), deadline)
        return _sum(query, found, missing)

    async def _of_all(
        self, ask: Callable[[Peer], Awaitable[T]], deadline: Deadline
    ) -> tuple[list[T], list[str]]:
        """The answers of those that are there, and who is missing, with the reason."""
        peers = await self._members.present(deadline)
        self._looks.at(peers)
        asked = [peer for peer in peers if not peer.guard.away] or list(peers)
        answers = await asyncio.gather(*(_answer(ask, peer) for peer in asked))
        missing = [str(answer) for answer in answers if isinstance(answer, ReaderUnavailable)]
        missing += [f"{peer.address}: counts as away" for peer in peers if peer not in asked]
        found = [answer for answer in answers if not isinstance(answer, ReaderUnavailable)]
        if not found:
            raise ReaderUnavailable("; ".join(missing) or "no log service is known")
        return found, missing

    async def follow(self, which: LogFilter, *, after: int | None = None) -> AsyncGenerator[Followed, None]:
        """See LogReader.follow. It ends when one of them is lost, or one more can be followed."""
        peers = await self._members.present(Deadline(self._monotonic() + BEGIN_S))
        async with contextlib.AsyncExitStack() as stack:
            streams = {
                peer: await stack.enter_async_context(
                    contextlib.aclosing(peer.reader.follow(which, after=sequence_at(peer.address, after)))
                )
                for peer in peers
            }
            places, left_out = await self._begun(streams)
            for peer in left_out:
                del streams[peer]
            yield Followed(place_of(places))
            items = await stack.enter_async_context(contextlib.aclosing(self._items(streams)))
            async for peer, followed in items:
                places[peer.address] = followed.sequence
                yield Followed(place_of(places), followed.entry)

    async def _begun(
        self, streams: dict[Peer, AsyncGenerator[Followed, None]]
    ) -> tuple[dict[str, int], list[Peer]]:
        """Where each starts, and who cannot be followed now."""
        firsts = await asyncio.gather(*(_first(stream) for stream in streams.values()))
        begun = dict(zip(streams, firsts, strict=True))
        lost = [first for first in firsts if isinstance(first, ReaderUnavailable)]
        if len(lost) == len(firsts):
            raise ReaderUnavailable("; ".join(map(str, lost)) or "no log service is known")
        places = {
            peer.address: first.sequence for peer, first in begun.items() if isinstance(first, Followed)
        }
        return places, [peer for peer in streams if peer.address not in places]

    async def _items(
        self, streams: dict[Peer, AsyncGenerator[Followed, None]]
    ) -> AsyncGenerator[tuple[Peer, Followed], None]:
        coming = {asyncio.ensure_future(anext(stream)): peer for peer, stream in streams.items()}
        look_at_s = self._monotonic() + LOOK_S
        try:
            while True:
                done, _ = await asyncio.wait(coming, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                for item in done:
                    peer = coming.pop(item)
                    yield peer, item.result()
                    coming[asyncio.ensure_future(anext(streams[peer]))] = peer
                if self._monotonic() >= look_at_s:
                    await self._look_for_more(streams)
                    look_at_s = self._monotonic() + LOOK_S
        finally:
            for item in coming:
                item.cancel()
            await asyncio.gather(*coming, return_exceptions=True)

    async def _look_for_more(self, streams: dict[Peer, AsyncGenerator[Followed, None]]) -> None:
        """Raises ReaderUnavailable if somebody could be followed who is not: whoever reads asks again."""
        peers = await self._members.present(Deadline(self._monotonic()))
        self._looks.at(peers)
        for peer in peers:
            if peer not in streams and (await peer.sink.check()).reachable:
                raise ReaderUnavailable(f"{peer.address}: this log service is there now, too")


async def _answer(ask: Callable[[Peer], Awaitable[T]], peer: Peer) -> T | ReaderUnavailable:
    try:
        return await ask(peer)
    except ReaderUnavailable as error:
        return error


async def _first(stream: AsyncGenerator[Followed, None]) -> Followed | ReaderUnavailable:
    try:
        async with asyncio.timeout(BEGIN_S):
            return await anext(stream)
    except ReaderUnavailable as error:
        return error
    except TimeoutError:
        return ReaderUnavailable("a log service did not begin to follow in time")


def _over_all(query: HistogramQuery, found: Sequence[LogHistogram]) -> HistogramQuery:
    """The question with the time that all answers are of; as it is if nothing was found."""
    starts = [each.start_us for each in found if each.counts and each.start_us is not None]
    ends = [each.end_us for each in found if each.counts and each.end_us is not None]
    if len(starts) < 2:
        return query
    return msgspec.structs.replace(
        query,
        start_time=query.start_time or nearest_rfc3339(min(starts)),
        end_time=query.end_time or nearest_rfc3339(max(ends)),
    )


def _sum(query: HistogramQuery, found: Sequence[LogHistogram], missing: Sequence[str]) -> LogHistogram:
    counted = [each for each in found if each.counts]
    if not counted:
        return msgspec.structs.replace(nothing_found(query), missing=tuple(missing))
    levels = (
        zip(*same_time, strict=True) for same_time in zip(*(each.counts for each in counted), strict=True)
    )
    counts = [tuple(map(sum, level)) for level in levels]
    return msgspec.structs.replace(counted[0], counts=counts, missing=tuple(missing))
