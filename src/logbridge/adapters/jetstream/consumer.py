"""Pulling: the messages that this process has in hand, kept in hand until it is done with them."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterable
from itertools import count
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error

from logbridge.adapters.jetstream.connection import Connection, QueueAway
from logbridge.adapters.jetstream.streams import CONSUMER
from logbridge.domain.errors import StoreError
from logbridge.domain.policy import QueuePolicy

logger = logging.getLogger(__name__)

PULL_S = 2.0
STATUS = "Status"
_TOO_LARGE = "409"
_ACK, _BACK, _WORKING = b"+ACK", b"-NAK", b"+WPI"
_NS = 1_000_000_000
# How often a message is said to be worked on, in the time after which it would go to another worker.
_TELL_TIMES = 4


class Pulled(NamedTuple):
    """A message in hand. sequence: in the stream. again: it was in somebody's hands before."""

    sequence: int
    data: bytes
    headers: dict[str, str]
    again: bool


class Consumer:
    """The part of the shared consumer that is in the hands of this process."""

    def __init__(self, connection: Connection, policy: QueuePolicy) -> None:
        self._connection = connection
        self._policy = policy
        # Where each message in hand is answered, by its sequence.
        self._held: dict[int, str] = {}
        self._client: Client | None = None
        self._inbox = ""
        self._answers: Subscription | None = None
        self._numbers = count(1)
        self._telling: asyncio.Task[None] | None = None
        # Whether the last question had no answer at all, not even that there is nothing.
        self.silent = False

    async def pull(self, entries_max: int, bytes_max: int) -> list[Pulled]:
        """The next messages, as many as there are now; none while the stream does not answer.

        Raises QueueAway and StoreError.
        """
        answers = await self._subscribed()
        pulled, too_large = await self._ask(answers, entries_max, max_bytes=bytes_max)
        if too_large and not pulled:
            # One by itself is over bytes_max, and at least one is promised.
            pulled, _ = await self._ask(answers, 1)
        return pulled

    async def _subscribed(self) -> Subscription:
        client = await self._connection.open()
        if self._answers is None or client is not self._client:
            self._client = client
            self._inbox = client.new_inbox()
            self._answers = await client.subscribe(f"{self._inbox}.*")
        if self._telling is None:
            self._telling = asyncio.create_task(self._keep_telling())
        return self._answers

    async def _ask(self, answers: Subscription, entries_max: int, **more: int) -> tuple[list[Pulled], bool]:
        assert self._client is not None  # noqa: S101 (subscribed by now)
        reply = f"{self._inbox}.{next(self._numbers)}"
        wanted = json.dumps({"batch": entries_max, "no_wait": True, **more}).encode()
        pulled: list[Pulled] = []
        self.silent = True
        try:
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._policy.stream}.{CONSUMER}"
            await self._client.publish(subject, wanted, reply=reply)
            while len(pulled) < entries_max:
                message = await answers.next_msg(timeout=PULL_S)
                self.silent = False
                status = (message.headers or {}).get(STATUS, "")
                if not status:
                    # One that comes late, for an earlier question, is in our hands as well.
                    pulled += self._take(message)
                elif message.subject == reply:
                    return pulled, status == _TOO_LARGE
        except (Error, TimeoutError):
            # A leader that died answers nothing: what it gave already counts.
            pass
        return pulled, False

    def _take(self, message: Msg) -> list[Pulled]:
        # A message's own headers must be there before its acknowledgement is: see nats-py's Msg.metadata.
        about = message.metadata
        sequence = about.sequence.stream
        known = sequence in self._held
        self._held[sequence] = message.reply
        again = about.num_delivered > 1
        return [] if known else [Pulled(sequence, message.data, dict(message.headers or {}), again)]

    async def done(self, sequences: Iterable[int]) -> None:
        """These are done with: the stream forgets them."""
        await self._answer(sequences, _ACK)

    async def give_back(self, sequences: Iterable[int], after_s: float = 0.0) -> None:
        """These are for whoever comes, after so many seconds."""
        delay = json.dumps({"delay": int(after_s * _NS)}).encode() if after_s else b""
        await self._answer(sequences, b" ".join(filter(None, (_BACK, delay))))

    async def _answer(self, sequences: Iterable[int], word: bytes) -> None:
        replies = [self._held.pop(sequence) for sequence in sequences if sequence in self._held]
        await self._say(replies, word)

    async def _say(self, replies: Iterable[str], word: bytes) -> None:
        try:
            client = await self._connection.open()
            for reply in replies:
                await client.publish(reply, word)
        except (QueueAway, StoreError, Error) as error:
            # What the stream does not hear, it gives again.
            logger.debug("the stream was not told: %s", error)

    async def _keep_telling(self) -> None:
        """While a batch backs off, or waits for its turn, nobody else is to have it."""
        while True:
            await asyncio.sleep(self._policy.ack_wait_s / _TELL_TIMES)
            await self._say(list(self._held.values()), _WORKING)

    async def aclose(self) -> None:
        """Give back what is in hand."""
        if self._telling is not None:
            self._telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._telling
            self._telling = None
        if self._held:
            await self.give_back(list(self._held))
