"""Three log services behind one bridge: one is killed under load and comes back, and then the next one."""

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.cluster.load import BATCH, Load, Teller
from tests.integration.processes import bridge, free_port, log_service, until
from tests.integration.served import API

SERVICES = 3


class ServicesLedger(NamedTuple):
    """Counts of logs, of delivered and of durable writes together.

    refused: answered with an error, share_refused: of those answered while one was away. recovery_s: the
    longest time from a kill after which every batch that was begun was acknowledged as a whole.
    found_again_s: the longest time from the start of one until the bridge counts it as there. slowest_s: the
    longest answer.
    """

    sent: int
    acknowledged: int
    refused: int
    share_refused: float
    recovery_s: float
    found_again_s: float
    slowest_s: float
    lost: int
    doubled: int
    events: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether the promise was kept, of more than nothing."""
        return bool(self.acknowledged) and not self.lost and not self.doubled


class Services:
    """Log services, each a process with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folders = [folder / f"service-{number}" for number in range(1, SERVICES + 1)]
        self.ports = [free_port() for _ in self.folders]
        self._running: dict[int, contextlib.ExitStack] = {}
        self._processes = {}

    @property
    def url(self) -> str:
        """All of them, as LOGBRIDGE_SINK has them."""
        return "grpc://" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def __enter__(self) -> "Services":
        for number, folder in enumerate(self.folders):
            folder.mkdir()
            self.come(number)
        return self

    def __exit__(self, *_: object) -> None:
        for stack in self._running.values():
            stack.close()

    def come(self, number: int) -> None:
        """Start one of them."""
        stack = self._running[number] = contextlib.ExitStack()
        self._processes[number] = stack.enter_context(log_service(self.folders[number], self.ports[number]))

    def kill(self, number: int) -> None:
        """End one with kill -9."""
        self._processes[number].kill()
        self._running.pop(number).close()

    def stored(self) -> Counter[str]:
        """How often each log is stored, in all stores together."""
        found: Counter[str] = Counter()
        for folder in self.folders:
            with contextlib.closing(sqlite3.connect(f"file:{folder / 'logs.db'}?mode=ro", uri=True)) as store:
                found.update(message for (message,) in store.execute("SELECT message FROM logs"))
        return found


class Outage(NamedTuple):
    """One log service was away between these moments (monotonic), and counted as there again at found_s."""

    killed_s: float
    back_s: float
    found_s: float


def run(folder: Path, seconds: float, told: Callable[[str], None]) -> ServicesLedger:
    """Each of them in turn, at least one, until the seconds are over."""
    outages: list[Outage] = []
    tell = Teller(told)
    ends_s = time.monotonic() + seconds
    with Services(folder) as services, contextlib.ExitStack() as stack:
        settings = {"LOGBRIDGE_SPOOL": "sqlite:///spool"}
        entrance = stack.enter_context(bridge(folder, services.url, **settings))

        def away() -> int:
            found: int = entrance.client.get(f"{API}/stats").json()["upstream"]["services_away"]
            return found

        urls = [str(entrance.client.base_url)]
        loads = [stack.enter_context(Load(urls, durable=durable)) for durable in (False, True)]
        for number in range(10_000):
            victim = number % SERVICES
            _more(loads, 300)
            tell(f"log service {victim + 1} killed")
            killed_s = time.monotonic()
            services.kill(victim)
            until(lambda: away() == 1)
            _more(loads, 600)
            tell(f"log service {victim + 1} back")
            back_s = time.monotonic()
            services.come(victim)
            until(lambda: not away())
            outages.append(Outage(killed_s, back_s, time.monotonic()))
            _more(loads, 300)
            if time.monotonic() >= ends_s:
                break
        for load in loads:
            load.__exit__()
        until(lambda: not entrance.client.get(f"{API}/stats").json()["spool"]["entries"])
        found = services.stored()
    return _ledger(loads, outages, found, tuple(tell.events))


def _more(loads: list[Load], count: int) -> None:
    for load in loads:
        load.more(count)


def _ledger(
    loads: list[Load], outages: list[Outage], found: Counter[str], events: tuple[str, ...]
) -> ServicesLedger:
    answers = [answer for load in loads for answer in load.answers]
    acknowledged = set().union(*(load.acknowledged for load in loads))
    sent = sum(load.sent for load in loads)
    of_outages = [
        [answer for answer in answers if outage.killed_s <= answer.ended_s <= outage.found_s]
        for outage in outages
    ]
    during = sum(map(len, of_outages)) * BATCH
    refused_then = sum(answer.refused for part in of_outages for answer in part)
    recoveries = [
        max((answer.began_s - outage.killed_s for answer in part if answer.refused), default=0.0)
        for outage, part in zip(outages, of_outages, strict=True)
    ]
    return ServicesLedger(
        sent=sent,
        acknowledged=len(acknowledged),
        refused=sent - len(acknowledged),
        share_refused=refused_then / during if during else 0.0,
        recovery_s=max(0.0, *recoveries),
        found_again_s=max(outage.found_s - outage.back_s for outage in outages),
        slowest_s=max(answer.ended_s - answer.began_s for answer in answers),
        lost=len(acknowledged - found.keys()),
        doubled=sum(count - 1 for count in found.values()),
        events=events,
    )
