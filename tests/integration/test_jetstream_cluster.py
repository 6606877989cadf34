"""Three NATS servers under load: killed one by one, and with them a worker and the log service."""

from pathlib import Path

from tests.cluster.run import run
from tests.integration.nats_servers import NEEDS_NATS

pytestmark = NEEDS_NATS


def test_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    """A follower, the leader, a worker and the log service go and come: 0 lost, 0 doubled."""
    ledger = run(tmp_path, 0, print)
    assert (ledger.lost, ledger.doubled) == (0, 0)
    assert ledger.acknowledged >= 1500
