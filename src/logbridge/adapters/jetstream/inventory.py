"""The stream seen from outside, by an operator's command, while bridges and workers use it."""

import asyncio
import base64
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

from logbridge.adapters.jetstream.connection import Access, ApiError, Connection, QueueAway
from logbridge.adapters.jetstream.message import REASON, Unreadable, decode_entry, entry_headers, read_headers
from logbridge.adapters.jetstream.publisher import NotKept, Publisher
from logbridge.adapters.jetstream.streams import lacks_leader, prepare
from logbridge.domain.entry import LogEntry, LogLevel
from logbridge.domain.errors import StoreError
from logbridge.domain.kept import Kept, SpoolStatus, Tick, untold
from logbridge.domain.policy import QueuePolicy
from logbridge.domain.ports import Deadline

PUT_BACK_S = 10.0
_PAGE = 100
_NOT_FOUND = 404
T = TypeVar("T")


class Stored(NamedTuple):
    """A message in a stream. at: RFC 3339, when it came."""

    sequence: int
    data: bytes
    headers: dict[str, str]
    at: str


async def read_status(connection: Connection, policy: QueuePolicy) -> SpoolStatus:
    """Counts of both streams. Raises QueueAway, ApiError and StoreError.

    A server that is left over by itself answers, too: of a stream without a leader it knows what was.
    """
    about = await connection.call(f"STREAM.INFO.{policy.stream}")
    if lacks_leader(about):
        raise QueueAway("it has no leader now")
    entries = about["state"]
    dead = (await connection.call(f"STREAM.INFO.{policy.dead}"))["state"]
    buried = dead["last_seq"]
    return SpoolStatus(
        waiting=entries["messages"],
        dead=dead["messages"],
        bytes=entries["bytes"] + dead["bytes"],
        oldest=_microseconds(entries["first_ts"]) if entries["messages"] else "",
        delivered=max(0, entries["last_seq"] - entries["messages"] - buried),
        resent=None,
        buried=buried,
        files=0,
        damaged=[],
    )


def _microseconds(stamp: str) -> str:
    """NATS writes up to nine digits, and leaves zeros out."""
    seconds, _, rest = stamp.rstrip("Z").partition(".")
    return f"{seconds}.{rest[:6].ljust(6, '0')}Z"


class JetStreamInventory:
    """See Inventory. Each call has a connection of its own."""

    def __init__(self, policy: QueuePolicy, access: Access, bytes_max: int) -> None:
        self._policy = policy
        self._access = access
        self._bytes_max = bytes_max

    def status(self) -> SpoolStatus:
        """See Inventory.status. Each worker counts for itself what it sends again."""
        return self._run(lambda connection: read_status(connection, self._policy))

    def entries(self, *, dead: bool) -> Iterator[Kept]:
        """See Inventory.entries."""
        after = 0
        while page := self._run(partial(self._page, after=after, dead=dead)):
            after = page[-1].sequence
            yield from (_kept(stored, dead=dead) for stored in page)

    def retry(self, tick: Tick = untold) -> int:
        """See Inventory.retry."""
        return self._run(lambda connection: self._retry(connection, tick))

    def purge(self, tick: Tick = untold, *, dead: bool) -> int:
        """See Inventory.purge: what a worker has in hand is delivered all the same."""

        async def work(connection: Connection) -> int:
            name = self._policy.dead if dead else self._policy.stream
            purged = int((await connection.call(f"STREAM.PURGE.{name}")).get("purged", 0))
            tick(purged, purged)
            return purged

        return self._run(work)

    def _run(self, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        async def connected() -> T:
            connection = Connection(
                self._policy, self._access, lambda opened: prepare(opened, self._policy, self._bytes_max)
            )
            try:
                await connection.open()
                return await work(connection)
            finally:
                await connection.aclose()

        try:
            return asyncio.run(connected())
        except (QueueAway, ApiError, NotKept) as error:
            raise StoreError(
                f"the stream {self._policy.stream!r} cannot be used: {error}; try again"
            ) from None

    async def _page(self, connection: Connection, *, after: int, dead: bool) -> list[Stored]:
        name = self._policy.dead if dead else self._policy.stream
        page: list[Stored] = []
        while len(page) < _PAGE:
            found = await self._next(connection, name, after + 1)
            if found is None:
                break
            after = found.sequence
            page.append(found)
        return page

    async def _next(self, connection: Connection, name: str, sequence: int) -> Stored | None:
        try:
            got = await connection.call(f"STREAM.MSG.GET.{name}", seq=sequence, next_by_subj=">")
        except ApiError as error:
            if error.code == _NOT_FOUND:
                return None
            raise
        message = got["message"]
        headers = read_headers(base64.b64decode(message.get("hdrs", "")))
        data = base64.b64decode(message.get("data", ""))
        return Stored(message["seq"], data, headers, _microseconds(message["time"]))

    async def _retry(self, connection: Connection, tick: Tick) -> int:
        total = (await read_status(connection, self._policy)).dead
        publisher = Publisher(connection)
        done, after = 0, 0
        # Those that die again meanwhile come behind, and are for the next time.
        while done < total and (page := await self._page(connection, after=after, dead=True)):
            for stored in page[: total - done]:
                after = stored.sequence
                # Not under its first id: the stream may remember that one, and drop it. This one is dropped
                # only if the command died between putting it back and removing it here.
                headers = stored.headers | entry_headers(f"{self._policy.dead} {stored.sequence}")
                headers.pop(REASON, None)
                deadline = Deadline(time.monotonic() + PUT_BACK_S)
                await publisher.publish(self._policy.subject, stored.data, headers, deadline)
                await connection.call(f"STREAM.MSG.DELETE.{self._policy.dead}", seq=stored.sequence)
                done += 1
                tick(done, total)
        return done


def _kept(stored: Stored, *, dead: bool) -> Kept:
    try:
        entry = decode_entry(stored.data, stored.headers)
    except Unreadable as error:
        entry = LogEntry(f"message {stored.sequence}", "", LogLevel.ERROR, f"{error}", stored.at)
    return Kept(entry, dead, stored.at, stored.headers.get(REASON, ""))
