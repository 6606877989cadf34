"""JetStreamSpool: entries that wait in a stream, which bridges write and workers empty, many at once."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from logbridge.adapters.jetstream.connection import Access, ApiError, Connection, QueueAway
from logbridge.adapters.jetstream.consumer import Consumer, Pulled
from logbridge.adapters.jetstream.inventory import read_status
from logbridge.adapters.jetstream.message import (
    Unreadable,
    dead_headers,
    decode_entry,
    encode_entry,
    entry_headers,
    message_id,
)
from logbridge.adapters.jetstream.orphans import Orphans
from logbridge.adapters.jetstream.publisher import RETRY_AFTER_S, NotKept, Publisher
from logbridge.adapters.jetstream.streams import lacks_leader, prepare
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import StoreError
from logbridge.domain.kept import SpoolStatus
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.policy import QueuePolicy
from logbridge.domain.ports import Deadline, SinkHealth, Spooled

logger = logging.getLogger(__name__)

BURY_S = 5.0
# A dead letter that the stream of dead letters did not take is tried again after so long.
BURY_AGAIN_S = 5.0


class JetStreamSpool:
    """A Spool that many processes share: an entry is accepted when the stream acknowledged it.

    What a process has in hand is given to nobody else, until it dies or is silent for ack_wait_s. Connects
    with its first use; open() does so at once. resent: told how many go again that may have been written.
    """

    def __init__(
        self,
        policy: QueuePolicy,
        access: Access,
        bytes_max: int,
        monotonic: Callable[[], float] = time.monotonic,
        resent: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._policy = policy
        self._monotonic = monotonic
        self._connection = Connection(
            policy, access, lambda connection: prepare(connection, policy, bytes_max), monotonic
        )
        self._publisher = Publisher(self._connection, monotonic)
        self._consumer = Consumer(self._connection, policy)
        self._orphans = Orphans(self._connection, policy, monotonic)
        self._resent = resent
        self._why = ""
        self._closed = False

    async def open(self) -> None:
        """Connect, and see that everything is there. Raises StoreError; one that is only away is told."""
        try:
            await self._connection.open()
        except QueueAway as error:
            logger.warning("%s; it is looked for as long as it takes", error)

    async def append(self, entries: Sequence[LogEntry], *, deadline: Deadline) -> Sequence[Outcome]:
        """See Spool.append. Unknown where the stream did not say whether it has it: it may be sent again."""
        return await asyncio.gather(*(self._keep(entry, deadline) for entry in entries))

    async def _keep(self, entry: LogEntry, deadline: Deadline) -> Outcome:
        headers = entry_headers(message_id(entry))
        try:
            await self._publisher.publish(self._policy.subject, encode_entry(entry), headers, deadline)
        except NotKept as error:
            return _not_kept(entry, error)
        return Accepted(entry.id, spooled=True)

    async def take(self, entries_max: int, bytes_max: int) -> Sequence[Spooled]:
        """See Spool.take: given once to this process, and to no other one meanwhile."""
        try:
            pulled = await self._consumer.pull(entries_max, bytes_max)
            if not pulled:
                self._resent(await self._orphans.look(silent=self._consumer.silent))
        except (QueueAway, StoreError) as error:
            self._tell(str(error))
            return ()
        self._tell("")
        again = sum(message.again for message in pulled)
        if again:
            self._resent(again)
            logger.warning(
                "%d logs go again that another worker had, or this one: possible duplicates", again
            )
        return [spooled for message in pulled if (spooled := await self._read(message)) is not None]

    def _tell(self, why: str) -> None:
        if why and why != self._why:
            logger.warning("nothing can be taken from the stream %s now: %s", self._policy.stream, why)
        self._why = why

    async def _read(self, message: Pulled) -> Spooled | None:
        try:
            entry = decode_entry(message.data, message.headers)
        except Unreadable as error:
            await self._bury(message.sequence, message.data, Refused("", str(error), Cause.INVALID))
            return None
        return Spooled((self._policy.stream, message.sequence), entry)

    async def settle(self, delivered: Sequence[Spooled], dead: Sequence[tuple[Spooled, Refused]]) -> None:
        """See Spool.settle. A dead letter that is not taken now is given again later, to anybody."""
        await self._consumer.done(spooled.key[1] for spooled in delivered)
        await asyncio.gather(
            *(self._bury(spooled.key[1], encode_entry(spooled.entry), refused) for spooled, refused in dead)
        )

    async def _bury(self, sequence: int, data: bytes, refused: Refused) -> None:
        # By its place in the stream: buried once, and once more if it is put back and refused again.
        headers = dead_headers(f"{self._policy.stream} {sequence}", refused)
        deadline = Deadline(self._monotonic() + BURY_S)
        try:
            await self._publisher.publish(self._policy.dead, data, headers, deadline)
        except NotKept as error:
            logger.warning("a dead letter is not kept yet, and stays in the stream: %s", error)
            await self._consumer.give_back([sequence], BURY_AGAIN_S)
        else:
            await self._consumer.done([sequence])

    async def sending(self, batch: Sequence[Spooled]) -> None:
        """See Spool.sending: the stream itself counts what is given again."""

    async def answered(self, batch: Sequence[Spooled]) -> None:
        """See Spool.answered: as for sending."""

    async def count_resent(self, count: int) -> None:
        """See Spool.count_resent: counted by this process."""
        self._resent(count)

    async def status(self) -> SpoolStatus:
        """What is in the stream now. Raises StoreError."""
        try:
            return await read_status(self._connection, self._policy)
        except (QueueAway, ApiError) as error:
            raise StoreError(f"the stream {self._policy.stream!r} cannot be read: {error}") from None

    async def check(self) -> SinkHealth:
        """See Spool.check: somebody must lead the stream, and it must have room."""
        name = self._policy.stream
        try:
            info = await self._connection.call(f"STREAM.INFO.{name}")
        except (QueueAway, ApiError, StoreError) as error:
            return SinkHealth(False, f"the stream {name!r} cannot be written: {error}")
        bytes_max = info["config"].get("max_bytes", -1)
        if 0 < bytes_max <= info["state"]["bytes"]:
            return SinkHealth(False, f"the stream {name!r} is full: max_bytes={bytes_max}")
        if lacks_leader(info):
            return SinkHealth(False, f"the stream {name!r} has no leader now")
        return SinkHealth(True, f"stream {name} at {self._connection.servers}")

    async def aclose(self) -> None:
        """See Spool.aclose: what is in hand is given back, for other workers."""
        if not self._closed:
            self._closed = True
            await self._consumer.aclose()
            await self._connection.aclose()


def _not_kept(entry: LogEntry, error: NotKept) -> Outcome:
    if error.cause is Cause.TOO_LARGE:
        return Refused(entry.id, str(error), error.cause)
    if error.may_be_kept:
        return Unknown(entry.id, f"{error}: the log may be kept all the same", error.cause, RETRY_AFTER_S)
    return Failed(entry.id, str(error), error.cause, RETRY_AFTER_S)
