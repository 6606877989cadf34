"""A whole system of workers, spools and log services, the failures that it meets, and what came of it."""

from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from random import Random

from msgspec import Struct

from benchmarks.capacity.assumptions import Assumptions
from benchmarks.capacity.costs import Costs
from benchmarks.capacity.simulation.arrivals import Arrivals, Balancer, ClosedWorld, OpenWorld, Shape
from benchmarks.capacity.simulation.clock import Clock, Loop
from benchmarks.capacity.simulation.sink import Sink
from benchmarks.capacity.simulation.spools import Drain, Spool, backlog_of
from benchmarks.capacity.simulation.station import Station
from benchmarks.capacity.simulation.tally import Tally
from benchmarks.capacity.simulation.work import service_log_s, work
from benchmarks.capacity.simulation.worker import Delivered, Spooled, Worker
from logbridge.adapters.delivery.spooler import IDLE_S
from logbridge.adapters.jetstream.publisher import PUBLISHES_IN_FLIGHT_MAX
from logbridge.adapters.spool.spool import COMMIT_ENTRIES_MAX as SPOOL_COMMIT_MAX
from logbridge.adapters.spool.spool import WAITING_ENTRIES_MAX as SPOOL_WAITING_MAX
from logbridge.adapters.sqlite.store import COMMIT_ENTRIES_MAX, WAITING_ENTRIES_MAX
from logbridge.domain.policy import AdmissionPolicy, BreakerPolicy, QueuePolicy, SpoolPolicy

SAMPLE_S = 0.05
# Forwarders that found nothing look again after a second.
WARMUP_S = 2.0


class Keeps(Enum):
    """What an acknowledged log is in."""

    SERVICE = "log service"
    DISK = "disk"
    JETSTREAM = "JetStream"


class Size(Struct, frozen=True):
    """How many there are of each. streams, forwarders, nats_servers: with JetStream only."""

    workers: int
    services: int
    keeps: Keeps = Keeps.SERVICE
    streams: int = 0
    forwarders: int = 0
    nats_servers: int = 0


class Peer(Struct, frozen=True):
    """The log service. fixed_ms: until it answers any call, all at once; None for SQLite's one writer."""

    fixed_ms: float | None = None


SQLITE = Peer()


class Part(Enum):
    """What can fail."""

    SERVICE = "log-service"
    WORKER = "worker"
    FORWARDER = "forwarder"
    NATS = "nats-server"


class Failure(Struct, frozen=True):
    """So many parts of a kind are gone from at_s for so long; of a NATS server its streams have no leader."""

    part: Part
    at_s: float
    for_s: float
    count: int = 1


class Seen(Struct, frozen=True):
    """What came of it. logs_per_s and latencies: of accepted logs. backlog_max: logs in the spool at most.

    drain_s: from the end of the last failure until the backlog was as before it; None if that did not come.
    """

    logs_per_s: float
    p50_ms: float
    p99_ms: float
    refused_share: float
    backlog_max: int
    drain_s: float | None
    worker_busy: float
    service_busy: float
    calls_a_log: float
    resent: int
    arrived: int
    accepted: int
    refused: int
    in_flight: int
    kept: int
    delivered: int
    backlog: int
    events: int


class FixedPeer(Station):
    """A log service that answers every call after the same time, however many there are."""

    def __init__(self, clock: Clock, after_s: float) -> None:
        super().__init__(clock, lambda _: 0.0)
        self._after_s, self._at = after_s, clock

    def put(self, logs: int, done: Callable[[bool], object]) -> None:
        self._at.after(self._after_s, super().put, logs, done)


class System:
    """Made of the same parts whatever the size. One seed gives one course of events."""

    def __init__(
        self,
        size: Size,
        costs: Costs,
        assumed: Assumptions,
        shape: Shape,
        *,
        peer: Peer = SQLITE,
        seed: int = 1,
        shared_us: float = 0.0,
        away_s: float | None = None,
    ) -> None:
        self.clock = Clock()
        self.random = Random(seed)
        self.tally = Tally(self.clock)
        self.shape = shape
        self._size, self._costs, self._assumed, self._peer = size, costs, assumed, peer
        self._work = work(costs, assumed, shape.entry_bytes, shared_us)
        self._away_s = assumed.rtt_ms / 1e3 if away_s is None else away_s
        self.services = [self._service() for _ in range(size.services)]
        self.sinks: list[Sink] = []
        self.spools: list[Spool] = []
        self.streams: list[Station] = []
        self.drains: list[tuple[Loop, Drain]] = []
        if size.keeps is Keeps.JETSTREAM:
            self._make_streams()
        self.workers = [self._worker(number) for number in range(size.workers)]
        self.balancer = Balancer(self.clock, self.workers, assumed.health_check_s)
        self._backlogs: list[tuple[float, int]] = []

    def _service(self) -> Station:
        if self._peer.fixed_ms is not None:
            return FixedPeer(self.clock, self._peer.fixed_ms / 1e3)
        commit_s = self._assumed.commit_ms / 1e3
        # The measured time of a log in a full batch has its part of the commit in it.
        log_s = service_log_s(self._costs, self._assumed, self.shape.entry_bytes)
        log_s = max(0.0, log_s - commit_s / SpoolPolicy().batch_entries_max)
        return Station(
            self.clock, lambda logs: commit_s + log_s * logs, COMMIT_ENTRIES_MAX, WAITING_ENTRIES_MAX
        )

    def _sink(self) -> Sink:
        sink = Sink(self.clock, self.services, BreakerPolicy(), self._away_s, first=len(self.sinks))
        self.sinks.append(sink)
        return sink

    def _make_streams(self) -> None:
        log_s, publish_s = 1 / self._assumed.stream_logs_s, self._assumed.publish_ms / 1e3
        pending_max = QueuePolicy(servers=("",)).ack_pending_max
        for _ in range(self._size.streams):
            station = Station(self.clock, lambda logs: log_s * logs)
            self.streams.append(station)
            self.spools.append(Spool(self.clock, station, publish_s, pending_max))
        for number in range(self._size.forwarders):
            loop = Loop(self.clock)
            spool = self.spools[number % len(self.spools)]
            self.drains.append((loop, self._drain(loop, spool, self._work.forward_s, publish_s, IDLE_S)))

    def _drain(self, loop: Loop, spool: Spool, log_s: float, fetch_s: float, poll_s: float) -> Drain:
        return Drain(
            self.clock,
            loop,
            spool,
            self._sink(),
            log_s=log_s + self._work.log_s / 2,
            call_s=self._work.rpc_s,
            fetch_s=fetch_s,
            poll_s=poll_s,
            random=self.random.random,
        )

    def _worker(self, number: int) -> Worker:
        loop = Loop(self.clock)
        return Worker(self.clock, loop, self._way(loop, number), self._work, AdmissionPolicy())

    def _way(self, loop: Loop, number: int) -> Delivered | Spooled:
        if self._size.keeps is Keeps.SERVICE:
            return Delivered(self.clock, loop, self._sink(), self._work, self.random.random)
        if self._size.keeps is Keeps.JETSTREAM:
            return Spooled(
                self.clock,
                loop,
                self.spools[number % len(self.spools)],
                self._work,
                log_s=self._work.publish_s,
                in_flight_max=PUBLISHES_IN_FLIGHT_MAX,
            )
        commit_s = self._assumed.commit_ms / 1e3
        thread = Station(self.clock, lambda _: commit_s, SPOOL_COMMIT_MAX, SPOOL_WAITING_MAX)
        spool = Spool(self.clock, thread)
        self.spools.append(spool)
        drain = self._drain(loop, spool, 0.0, 0.0, 0.0)
        self.drains.append((loop, drain))
        return Spooled(
            self.clock,
            loop,
            spool,
            self._work,
            # The benchmark counts what was accepted: what it saw is the price of that, delivery is on top.
            log_s=self._work.log_s / 2 + self._work.disk_log_s,
            request_s=self._work.disk_request_s,
            drain=drain,
        )

    def open_world(self, logs_s: float, kind: Arrivals) -> None:
        """So many logs a second come, whatever is answered."""
        rate = logs_s / self.shape.logs
        OpenWorld(self.clock, self.tally, self.balancer, rate, self.shape, kind, self.random).start()

    def closed_world(self, clients: int) -> None:
        """So many clients that each wait for their answer."""
        client_s = self._costs.client_us / 1e6
        ClosedWorld(self.clock, self.tally, self.workers, clients, self.shape, client_s).start()

    def run(
        self,
        seconds: float,
        failures: Sequence[Failure] = (),
        warmup_s: float = WARMUP_S,
        told: Callable[[float], object] = lambda _: None,
    ) -> Seen:
        """So many seconds after the warm-up. told: called with each second that has passed."""
        for number, (_, drain) in enumerate(self.drains):
            # Not all at once: those that find nothing would go on to look at the same moment.
            self.clock.after(IDLE_S * number / len(self.drains), drain.start)
        for failure in failures:
            self.clock.after(warmup_s + failure.at_s, self._fail, failure)
        self._sample()
        self.clock.run(warmup_s)
        self.tally.begin()
        before = _Before(self)
        until_s = warmup_s + seconds
        while self.clock.now_s < until_s:
            self.clock.run(min(until_s, self.clock.now_s + 1.0))
            told(self.clock.now_s - warmup_s)
        return self._seen(before, seconds, [_shifted(failure, warmup_s) for failure in failures])

    def _sample(self) -> None:
        self._backlogs.append((self.clock.now_s, backlog_of(self.spools)))
        self.clock.after(SAMPLE_S, self._sample)

    def _fail(self, failure: Failure) -> None:
        for index in range(failure.count):
            for gone, back in self._parts(failure, index):
                gone()
                self.clock.after(failure.for_s, back)

    def _parts(self, failure: Failure, index: int) -> list[tuple[Callable[[], object], Callable[[], object]]]:
        """What ends it, and what brings it back."""
        match failure.part:
            case Part.SERVICE:
                return [(service.kill, service.come_back) for service in self.services[index : index + 1]]
            case Part.WORKER:
                return [
                    (partial(self._worker_gone, worker), partial(self._worker_back, worker))
                    for worker in self.workers[index : index + 1]
                ]
            case Part.FORWARDER:
                return [(drain.kill, drain.start) for _, drain in self.drains[index : index + 1]]
            case Part.NATS:
                return [(stream.hold, self._elected(stream, failure)) for stream in self._led(index)]

    def _worker_gone(self, worker: Worker) -> None:
        worker.kill()
        self.balancer.changed(worker)

    def _worker_back(self, worker: Worker) -> None:
        worker.come_back()
        self.balancer.changed(worker)

    def _led(self, server: int) -> Sequence[Station]:
        """The streams whose leader is on a server: leaders are spread evenly."""
        return self.streams[server :: max(1, self._size.nats_servers)]

    def _elected(self, stream: Station, failure: Failure) -> Callable[[], object]:
        # Others take over long before the server is back.
        self.clock.after(min(self._assumed.election_s, failure.for_s), stream.release)
        return lambda: None

    def _seen(self, before: "_Before", seconds: float, failures: Sequence[Failure]) -> Seen:
        tally = self.tally
        logs = sum(service.served_logs for service in self.services) - before.served
        calls = sum(sink.calls for sink in self.sinks) - before.calls
        return Seen(
            logs_per_s=tally.logs_per_s,
            p50_ms=1e3 * tally.quantile_s(0.5),
            p99_ms=1e3 * tally.quantile_s(0.99),
            refused_share=tally.refused_share,
            backlog_max=max((backlog for at_s, backlog in self._backlogs if at_s >= before.at_s), default=0),
            drain_s=drained_s(self._backlogs, failures),
            worker_busy=(self.worker_busy_s() - before.worker_busy_s) / seconds / max(1, len(self.workers)),
            service_busy=(self.service_busy_s() - before.service_busy_s)
            / seconds
            / max(1, len(self.services)),
            calls_a_log=calls / logs if logs else 0.0,
            resent=sum(spool.resent for spool in self.spools),
            arrived=tally.arrived,
            accepted=tally.accepted,
            refused=tally.refused,
            in_flight=tally.in_flight,
            kept=sum(spool.kept for spool in self.spools),
            delivered=sum(spool.delivered for spool in self.spools),
            backlog=backlog_of(self.spools),
            events=self.clock.events,
        )

    def worker_busy_s(self) -> float:
        """Seconds of work of all workers so far."""
        return sum(worker.loop.busy_s for worker in self.workers)

    def service_busy_s(self) -> float:
        """Seconds of work of all log services so far."""
        return sum(service.busy_s for service in self.services)


class _Before:
    """What was counted in the warm-up."""

    def __init__(self, system: System) -> None:
        self.at_s = system.clock.now_s
        self.served = sum(service.served_logs for service in system.services)
        self.calls = sum(sink.calls for sink in system.sinks)
        self.worker_busy_s = system.worker_busy_s()
        self.service_busy_s = system.service_busy_s()


def _shifted(failure: Failure, by_s: float) -> Failure:
    return Failure(failure.part, failure.at_s + by_s, failure.for_s, failure.count)


def drained_s(backlogs: Sequence[tuple[float, int]], failures: Sequence[Failure]) -> float | None:
    """Seconds from the end of the last failure until the backlog was within what it was before the first."""
    if not failures:
        return None
    first_s = min(failure.at_s for failure in failures)
    over_s = max(failure.at_s + failure.for_s for failure in failures)
    usual = max((backlog for at_s, backlog in backlogs if first_s / 2 <= at_s < first_s), default=0)
    return next((at_s - over_s for at_s, backlog in backlogs if at_s >= over_s and backlog <= usual), None)
