"""Runs with a seed: the leader of the consumer is killed again and again while logs are given again."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tests.cluster.run import Ledger, Load, ledger_of, stored, worker
from tests.integration.nats_servers import NatsServer, nats_cluster, spool_url
from tests.integration.processes import bridge, free_port, log_service, until
from tests.integration.served import API

# Logs that a worker has in hand when it is killed, at least: its batches are of up to so many.
IN_HAND = 500


def run_seed(folder: Path, seconds: float, told: Callable[[str], None], *, seed: int) -> Ledger:
    """A worker dies with logs in hand; while they go to another one, their consumer's leader dies, too.

    Which logs are in hand, when the leader dies and when it comes back are drawn from the seed.
    """
    draw = Random(seed)
    events: list[str] = []

    def tell(what: str) -> None:
        events.append(what)
        told(what)

    port = free_port()
    sink = f"grpc://127.0.0.1:{port}"
    for name in ("bridge", "one", "two"):
        (folder / name).mkdir()
    ends_s = time.monotonic() + seconds
    with nats_cluster(folder) as servers, contextlib.ExitStack() as stack:
        spool = spool_url(servers, stream="logs", replicas=3, deliver="false", ack_wait_s=3)
        entrance = stack.enter_context(
            bridge(folder / "bridge", sink, LOGBRIDGE_ACK="durable", LOGBRIDGE_SPOOL=spool)
        )
        until(lambda: entrance.client.get("/readyz").status_code == 200)
        stack.enter_context(log_service(folder, port))
        stack.enter_context(worker(folder / "two", spool, sink))
        with Load([str(entrance.client.base_url)]) as load:
            while time.monotonic() < ends_s:
                with worker(folder / "one", spool, sink) as doomed:
                    load.more(draw.randint(100, IN_HAND))
                    with _halted(doomed.pid):
                        # The stopped one keeps what it has in hand; after ack_wait_s it is given again.
                        load.more(IN_HAND)
                        time.sleep(draw.uniform(2.0, 3.5))
                        _leader_away(servers, draw, load, tell)
                    doomed.kill()
        until(lambda: not entrance.client.get(f"{API}/stats").json()["spool"]["entries"])
        stack.close()
        return ledger_of(load, stored(folder), folder, events)


@contextlib.contextmanager
def _halted(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _leader_away(servers: list[NatsServer], draw: Random, load: Load, tell: Callable[[str], None]) -> None:
    until(lambda: any(server.leads("logs", consumer="logbridge") for server in servers))
    leader = next(server for server in servers if server.leads("logs", consumer="logbridge"))
    tell(f"{leader.name}, the consumer's leader, killed")
    leader.kill()
    load.more(draw.randint(10, 300))
    leader.start()
    leader.wait()
