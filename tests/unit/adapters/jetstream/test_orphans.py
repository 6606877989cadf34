"""Logs that the consumer skips: found where the stream looks the same twice, and given again."""

from typing import Any

import pytest

from logbridge.adapters.jetstream.connection import ApiError
from logbridge.adapters.jetstream.orphans import LOOK_EVERY_S, Orphans
from logbridge.domain.policy import QueuePolicy

POLICY = QueuePolicy(("127.0.0.1:4222",), stream="logs", subject="logs")
LEFT = {"messages": 5, "first_seq": 3, "last_seq": 9}
SETTLED = {"delivered": {"stream_seq": 9, "consumer_seq": 12}, "num_ack_pending": 0}
# Of 5 messages two were given, and 2 acknowledged ones are believed to be in somebody's hands.
STUCK = {"delivered": {"stream_seq": 4, "consumer_seq": 6}, "num_ack_pending": 2}


class FakeApi:
    """Answers with what it was told, and keeps what it was asked to change."""

    def __init__(self, *states: tuple[dict[str, Any], dict[str, Any]]) -> None:
        self._states = list(states)
        self.changes: list[str] = []

    async def call(self, path: str, **body: Any) -> dict[str, Any]:
        if path.startswith("STREAM.INFO"):
            return {"state": self._states[0][0]}
        if path.startswith("CONSUMER.INFO"):
            return self._states.pop(0)[1]
        self.changes.append(path.rpartition(".logs")[0])
        return {}


async def looks(
    api: FakeApi, policy: QueuePolicy = POLICY, count: int = 2, *, silent: bool = False
) -> list[int]:
    now_s = iter(range(0, 1000, int(LOOK_EVERY_S)))
    orphans = Orphans(api, policy, lambda: next(now_s))
    return [await orphans.look(silent=silent) for _ in range(count)]


async def test_they_are_given_again() -> None:
    """A new consumer takes the place of the one that skips them; nothing is removed from the stream."""
    api = FakeApi((LEFT, SETTLED), (LEFT, SETTLED))
    assert await looks(api) == [0, 5]
    assert api.changes == ["CONSUMER.DELETE", "CONSUMER.DURABLE.CREATE"]


@pytest.mark.parametrize(
    ("stream", "consumer"),
    [
        (LEFT | {"messages": 4}, SETTLED),
        (LEFT | {"messages": 0}, SETTLED),
        (LEFT, SETTLED | {"num_ack_pending": 1}),
        (LEFT, SETTLED | {"delivered": {"stream_seq": 8, "consumer_seq": 12}}),
    ],
    ids=["fewer than before", "none", "in somebody's hands", "not given yet"],
)
async def test_what_is_under_way_is_left_alone(stream: dict[str, Any], consumer: dict[str, Any]) -> None:
    """Acknowledgements that arrive, logs in hand and logs that come are no sign of it."""
    api = FakeApi((LEFT, SETTLED), (stream, consumer))
    assert await looks(api) == [0, 0]
    assert api.changes == []


async def test_a_consumer_that_answers_nobody_is_made_anew() -> None:
    """It gave nothing between two looks and says nothing at all: all that is in the stream is given again."""
    more = LEFT | {"messages": 7, "last_seq": 11}
    api = FakeApi((LEFT, STUCK), (more, STUCK))
    assert await looks(api, silent=True) == [0, 7]
    assert api.changes == ["CONSUMER.DELETE", "CONSUMER.DURABLE.CREATE"]


@pytest.mark.parametrize(
    ("consumer", "silent"),
    [
        (STUCK, False),
        (STUCK | {"delivered": {"stream_seq": 5, "consumer_seq": 7}}, True),
        (STUCK | {"num_ack_pending": 5}, True),
        (STUCK | {"num_ack_pending": POLICY.ack_pending_max}, True),
    ],
    ids=["it answers", "it gives", "all are in somebody's hands", "as many as may be"],
)
async def test_a_consumer_that_works_is_left_alone(consumer: dict[str, Any], silent: bool) -> None:
    """An answer, something given, and workers that hold all they may are no sign of it."""
    many = LEFT | {"messages": 5 if consumer["num_ack_pending"] <= 5 else POLICY.ack_pending_max + 1}
    api = FakeApi((many, STUCK), (many, consumer))
    assert await looks(api, silent=silent) == [0, 0]
    assert api.changes == []


async def test_a_consumer_of_others_is_left_alone() -> None:
    """With create=false nothing is made anew."""
    api = FakeApi()
    assert await looks(api, QueuePolicy(("a:1",), create=False)) == [0, 0]


async def test_no_answer_is_no_sign() -> None:
    """A server that refuses to tell is asked again later."""

    class Refusing(FakeApi):
        async def call(self, path: str, **body: Any) -> dict[str, Any]:
            raise ApiError({"code": 503, "description": "no leader"})

    assert await looks(Refusing()) == [0, 0]
