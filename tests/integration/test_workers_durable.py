"""A worker that is killed under durable load: what it had acknowledged is delivered by the others."""

import os
import signal
from collections import Counter
from pathlib import Path

import httpx

from tests.integration.pouring import Pouring, all_stored
from tests.integration.processes import ALONE, Bridge, bridge, held_port, log_service, until
from tests.integration.test_watch import values
from tests.integration.workers import workers_of


class Rising:
    """Looks at the number of logs of every outcome, as whichever worker tells it."""

    def __init__(self, running: Bridge) -> None:
        self._running = running
        self._seen = 0.0

    def rises(self) -> bool:
        """Fails where it is lower than before; false where the worker that was asked dies."""
        try:
            told = values(self._running)
        except httpx.TransportError:
            return False
        total = sum(value for name, value in told.items() if name[0] == "logbridge_logs_total")
        assert total >= self._seen
        self._seen = total
        return True


def test_what_a_killed_worker_acknowledged_is_delivered(tmp_path: Path) -> None:
    """Without a restart of the bridge: each log once, and no total ever goes down."""
    with (
        held_port() as port,
        bridge(tmp_path, f"grpc://127.0.0.1:{port}", "--workers", "2", LOGBRIDGE_ACK="durable") as running,
    ):
        until(lambda: values(running)[("logbridge_workers",)] == 2)
        victim, other = workers_of(running.process.pid)
        alone = [f"only {number}" for number in range(20)]
        for message in alone:
            # For the one write only: whoever is stopped for long counts as hung, and is killed.
            os.kill(other, signal.SIGSTOP)
            assert running.write(message, ALONE).status_code == 202
            os.kill(other, signal.SIGCONT)
        watch = Rising(running)
        pouring = Pouring(running, expected=202)
        with pouring.going_on():
            os.kill(victim, signal.SIGKILL)
            until(lambda: watch.rises() and len({*workers_of(running.process.pid)} - {victim}) == 2)
            until(lambda: watch.rises() and values(running)[("logbridge_workers",)] == 2)
        with log_service(tmp_path, port):
            acknowledged = {*alone, *pouring.acknowledged}
            until(lambda: acknowledged <= {*all_stored(running)})
            assert max(Counter(all_stored(running)).values()) == 1
            until(lambda: values(running)[("logbridge_spool_logs",)] == 0)
        assert other in workers_of(running.process.pid)
