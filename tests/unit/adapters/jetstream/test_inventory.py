"""What the streams tell of themselves, by the answers of a scripted server."""

from typing import Any, cast

import pytest

from logbridge.adapters.jetstream.connection import Connection, QueueAway
from logbridge.adapters.jetstream.inventory import read_status
from logbridge.domain.policy import QueuePolicy

POLICY = QueuePolicy(("127.0.0.1:4222",), stream="logs", subject="logs")
STATE = {"messages": 3, "bytes": 30, "last_seq": 5, "first_ts": "2024-08-30T10:30:45.1Z"}


class Server:
    """Answers every question with the same. cluster: of the answer, None for a server alone."""

    def __init__(self, cluster: dict[str, str] | None) -> None:
        self._about = {"state": STATE} | ({} if cluster is None else {"cluster": cluster})

    async def call(self, _subject: str) -> dict[str, Any]:
        return self._about


@pytest.mark.parametrize("cluster", [None, {"leader": "n1"}])
async def test_what_is_led_is_counted(cluster: dict[str, str] | None) -> None:
    """A server alone has no leader to name; of several one leads."""
    status = await read_status(cast(Connection, Server(cluster)), POLICY)
    assert (status.waiting, status.oldest) == (3, "2024-08-30T10:30:45.100000Z")


@pytest.mark.parametrize("cluster", [{}, {"leader": ""}])
async def test_without_a_leader_it_cannot_be_read(cluster: dict[str, str]) -> None:
    """A replica that is left over tells what was: neither a worker is ready by it, nor is it a count."""
    with pytest.raises(QueueAway, match="no leader"):
        await read_status(cast(Connection, Server(cluster)), POLICY)
