"""Orphans: messages that are in the stream, and that its consumer gives to nobody.

nats-server 2.9 has them now and then after the leader of the consumer was killed. Either the consumer takes
them for settled; or it goes over messages that were settled and are gone, one for each question, and answers
no question meanwhile ("error looking up message for consumer: deleted message" in its log): two workers got
past forty of them in a minute. Whether each was really settled is not known, so none is removed: a new
consumer gives all of them again, and the log service knows those by their ids that it has.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from logbridge.adapters.jetstream.connection import ApiError, QueueAway
from logbridge.adapters.jetstream.streams import CONSUMER, consumer_config
from logbridge.domain.policy import QueuePolicy

logger = logging.getLogger(__name__)

# Acknowledgements that are under way are no sign of it: so it must look the same twice.
LOOK_EVERY_S = 5.0


class Api(Protocol):
    """JetStream's API, as Connection.call gives it."""

    async def call(self, path: str, **body: Any) -> dict[str, Any]: ...


class Orphans:
    """Looks for them where there is nothing to take, and has them given again."""

    def __init__(
        self, connection: Api, policy: QueuePolicy, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection = connection
        self._policy = policy
        self._monotonic = monotonic
        self._look_at_s = monotonic() + LOOK_EVERY_S
        self._seen: tuple[int, ...] | None = None

    async def look(self, *, silent: bool) -> int:
        """How many are given again from now on, 0 almost always. silent: no question has had any answer."""
        if not self._policy.create or self._monotonic() < self._look_at_s:
            return 0
        self._look_at_s = self._monotonic() + LOOK_EVERY_S
        try:
            count, seen = await self._look(silent=silent) or (0, None)
            if seen is None or seen != self._seen:
                self._seen = seen
                return 0
            await self._give_again()
        except (QueueAway, ApiError) as error:
            logger.debug("the stream %s cannot be looked into now: %s", self._policy.stream, error)
            return 0
        self._seen = None
        logger.warning(
            "%d logs in the stream %s were given to nobody, and are given again: possible duplicates",
            count,
            self._policy.stream,
        )
        return count

    async def _look(self, *, silent: bool) -> tuple[int, tuple[int, ...]] | None:
        """How many there are, and what must be the same the next time; None without any."""
        stream = (await self._connection.call(f"STREAM.INFO.{self._policy.stream}"))["state"]
        consumer = await self._connection.call(f"CONSUMER.INFO.{self._policy.stream}.{CONSUMER}")
        delivered, in_hand = consumer["delivered"], consumer["num_ack_pending"]
        if stream["messages"] and not in_hand and delivered["stream_seq"] >= stream["last_seq"]:
            return stream["messages"], (stream["messages"], stream["first_seq"], stream["last_seq"])
        if silent and stream["messages"] > in_hand and in_hand < self._policy.ack_pending_max:
            # Under load more come meanwhile: what tells is that nothing is given.
            return stream["messages"], (delivered["consumer_seq"], delivered["stream_seq"])
        return None

    async def _give_again(self) -> None:
        name = self._policy.stream
        await self._connection.call(f"CONSUMER.DELETE.{name}.{CONSUMER}")
        config = consumer_config(self._policy)
        await self._connection.call(
            f"CONSUMER.DURABLE.CREATE.{name}.{CONSUMER}", stream_name=name, config=config
        )
