"""Runs with a seed: the leader of the consumer is killed again and again while logs are given again."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tests.cluster.load import Load, Teller
from tests.cluster.run import Ledger, ledger_of, queue, stored, worker
from tests.integration.nats_servers import NatsServer
from tests.integration.processes import log_service, until

# Logs that a worker has in hand when it is killed, at least: its batches are of up to so many.
IN_HAND = 500
# Logs of the others until the leader is killed: about ack_wait_s of them, so that redelivery is under way.
WHILE_HALTED = (3_000, 6_000)


def run_seed(folder: Path, seconds: float, told: Callable[[str], None], *, seed: int) -> Ledger:
    """A worker dies with logs in hand; while they go to another one, their consumer's leader dies, too.

    Which logs are in hand, when the leader dies and when it comes back are drawn from the seed.
    """
    draw, tell = Random(seed), Teller(told)
    ends_s = time.monotonic() + seconds
    with queue(folder) as scene, contextlib.ExitStack() as stack:
        stack.enter_context(log_service(folder, scene.port))
        with scene.load() as load:
            while time.monotonic() < ends_s:
                with worker(folder / "one", scene.spool, scene.sink) as doomed:
                    load.more(draw.randint(100, IN_HAND))
                    with _halted(doomed.pid):
                        # The stopped one keeps what it has in hand; after ack_wait_s it is given again.
                        load.more(IN_HAND + draw.randint(*WHILE_HALTED))
                        _leader_away(scene.servers, draw, load, tell)
                    doomed.kill()
        scene.empty()
        stack.close()
        found = stored(folder)
    return ledger_of(load, found, folder, tell.events)


@contextlib.contextmanager
def _halted(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _leader_away(servers: list[NatsServer], draw: Random, load: Load, tell: Teller) -> None:
    until(lambda: any(server.leads("logs", consumer="logbridge") for server in servers))
    leader = next(server for server in servers if server.leads("logs", consumer="logbridge"))
    tell(f"{leader.name}, the consumer's leader, killed")
    leader.kill()
    load.more(draw.randint(10, 300))
    leader.start()
    leader.wait()
