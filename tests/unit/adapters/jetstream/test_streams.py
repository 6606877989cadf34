"""Which existing streams may be the spool."""

from typing import Any

import pytest

from logbridge.adapters.jetstream.streams import consumer_config, reason_against, stream_configs
from logbridge.domain.policy import QueuePolicy

POLICY = QueuePolicy(("127.0.0.1:4222",), stream="logs", subject="app.logs", replicas=3)


def test_what_we_make_may_be_the_spool() -> None:
    """Both streams as they are made, and one with more copies, more subjects and less room."""
    entries, dead = stream_configs(POLICY, 65_536)
    assert reason_against(entries, entries) == reason_against(dead, dead) == ""
    more = entries | {"num_replicas": 5, "subjects": ["x", "app.logs"], "max_bytes": 1024}
    assert reason_against(more, entries) == ""
    assert (entries["max_bytes"], entries["discard"], entries["storage"]) == (65_536, "new", "file")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"retention": "interest"}, "its retention is interest, and must be workqueue"),
        ({"storage": "memory"}, "its storage is memory, and must be file"),
        ({"discard": "old"}, "its discard is old, and must be new"),
        ({"subjects": []}, "its subjects lack app.logs"),
        ({"max_age": 1}, "its max_age must be 0: it would remove logs that were not delivered"),
        ({"max_msgs_per_subject": 1}, "its max_msgs_per_subject must be -1"),
        ({"num_replicas": 1}, "its num_replicas is 1, and must be 3"),
        ({"duplicate_window": 0}, "its duplicate_window is 0 s, and must be 120 s"),
        ({"no_ack": True}, "its no_ack must be false: nothing would be acknowledged"),
    ],
)
def test_one_that_would_lose_logs_may_not(change: dict[str, Any], told: str) -> None:
    """The reason says what it is and what it must be."""
    wanted = stream_configs(POLICY, 65_536)[0]
    assert reason_against(wanted | change, wanted) == told


def test_the_consumer_is_bounded() -> None:
    """Logs in hand are bounded, and nothing is ever given up."""
    config = consumer_config(POLICY)
    assert (config["max_ack_pending"], config["max_deliver"], config["ack_wait"]) == (20_000, -1, 30 * 10**9)
