"""One run: who is killed when, and what was acknowledged against what is stored."""

import contextlib
import re
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.cluster.load import Load, Teller
from tests.integration.nats_servers import NatsServer, nats_cluster, spool_url
from tests.integration.processes import Bridge, bridge, end, free_port, log_service, read_until, start, until
from tests.integration.served import API


class Ledger(NamedTuple):
    """Counts of logs. acknowledged: by a 202. lost: of these, not stored. doubled: copies after the first."""

    sent: int
    acknowledged: int
    refused: int
    stored: int
    lost: int
    doubled: int
    given_again: int
    events: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether the promise was kept, of more than nothing."""
        return bool(self.acknowledged) and not self.lost and not self.doubled


@contextlib.contextmanager
def worker(folder: Path, spool: str, sink: str) -> Iterator[subprocess.Popen[str]]:
    """A ``logbridge forward``, which must end without a fault."""
    process = start(folder, "forward", LOGBRIDGE_SPOOL=spool, LOGBRIDGE_SINK=sink)
    try:
        assert process.stderr is not None
        read_until(process.stderr, "forwards from")
        yield process
    finally:
        code, err = end(process)
        with (folder / "forward.log").open("a") as log:
            log.write(err)
        assert code in (0, -signal.SIGKILL), err


def given_again(folder: Path) -> int:
    """Logs that the stream had left behind, as the workers told when they ended."""
    told = "".join(log.read_text() for log in folder.glob("*/forward.log"))
    return sum(map(int, re.findall(r"(\d+) logs in the stream \w+ were given to nobody", told)))


def stored(folder: Path) -> Counter[str]:
    """How often each log is in the log service's store."""
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'logs.db'}?mode=ro", uri=True)) as store:
        return Counter(message for (message,) in store.execute("SELECT message FROM logs"))


class Queue(NamedTuple):
    """Three NATS servers, a bridge that fills their stream, and a worker that empties it to ``sink``."""

    servers: list[NatsServer]
    spool: str
    port: int
    entrance: Bridge

    @property
    def sink(self) -> str:
        """The log service, which whoever uses this starts at ``port``."""
        return f"grpc://127.0.0.1:{self.port}"

    def load(self) -> Load:
        """Writers to the bridge."""
        return Load([str(self.entrance.client.base_url)], durable=True)

    def empty(self) -> None:
        """Returns once nothing waits in the stream."""
        until(lambda: not self.entrance.client.get(f"{API}/stats").json()["spool"]["entries"])


@contextlib.contextmanager
def queue(folder: Path) -> Iterator[Queue]:
    """All of it, in folders of their own; "one" is left for a worker that is to be killed."""
    for name in ("bridge", "one", "two"):
        (folder / name).mkdir()
    port = free_port()
    sink = f"grpc://127.0.0.1:{port}"
    with nats_cluster(folder) as servers, contextlib.ExitStack() as stack:
        spool = spool_url(servers, stream="logs", replicas=3, deliver="false", ack_wait_s=3)
        entrance = stack.enter_context(
            bridge(folder / "bridge", sink, LOGBRIDGE_ACK="durable", LOGBRIDGE_SPOOL=spool)
        )
        until(lambda: entrance.client.get("/readyz").status_code == 200)
        stack.enter_context(worker(folder / "two", spool, sink))
        yield Queue(servers, spool, port, entrance)


def run(folder: Path, seconds: float, told: Callable[[str], None]) -> Ledger:
    """Everything at least once, and the rounds again until the seconds are over."""
    tell = Teller(told)
    ends_s = time.monotonic() + seconds
    with queue(folder) as scene:
        with _service(folder, scene.port) as service:
            with scene.load() as load:
                while True:
                    _round(folder, scene, service, load, tell)
                    if time.monotonic() >= ends_s:
                        break
            scene.empty()
        found = stored(folder)
    return ledger_of(load, found, folder, tell.events)


def ledger_of(load: Load, found: Counter[str], folder: Path, events: list[str]) -> Ledger:
    """What was acknowledged against what was found; once everything has ended."""
    return Ledger(
        sent=load.sent,
        acknowledged=len(load.acknowledged),
        refused=load.sent - len(load.acknowledged),
        stored=len(found),
        lost=len(load.acknowledged - found.keys()),
        doubled=sum(count - 1 for count in found.values()),
        given_again=given_again(folder),
        events=tuple(events),
    )


class _Service:
    """The log service, which can go away and come back."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self._stack = contextlib.ExitStack()

    def come(self) -> None:
        """Start it."""
        self._stack.enter_context(log_service(self._folder, self._port))

    def away(self) -> None:
        """End it."""
        self._stack.close()


@contextlib.contextmanager
def _service(folder: Path, port: int) -> Iterator[_Service]:
    service = _Service(folder, port)
    service.come()
    try:
        yield service
    finally:
        service.away()


def _leader(servers: Sequence[NatsServer]) -> NatsServer:
    """Who leads the stream, once there is one."""
    found: list[NatsServer] = []
    until(lambda: found.extend(server for server in servers if server.leads("logs")) or found)
    return found[0]


def _round(folder: Path, scene: Queue, service: _Service, load: Load, tell: Teller) -> None:
    servers = scene.servers
    leader = _leader(servers)
    follower = next(server for server in servers if server is not leader)
    with worker(folder / "one", scene.spool, scene.sink) as doomed:
        load.more(300)
        tell(f"{follower.name} killed")
        follower.kill()
        load.more(300)
        tell("a worker killed")
        doomed.kill()
    tell(f"{follower.name} back")
    follower.start()
    follower.wait()
    load.more(300)
    leader = _leader(servers)
    tell(f"{leader.name}, the leader, killed")
    leader.kill()
    load.more(300)
    tell("the log service away")
    service.away()
    load.more(300)
    tell("the log service back")
    service.come()
    leader.start()
    leader.wait()
    load.more(300)
