"""The simulation of many machines: known formulas, conservation, and what must follow from a failure."""

import math
from random import Random

import pytest
from benchmarks.capacity.assumptions import Assumptions
from benchmarks.capacity.simulation.arrivals import Arrivals, OpenWorld, Shape, exponential, poisson
from benchmarks.capacity.simulation.clock import Clock, Loop
from benchmarks.capacity.simulation.coalescer import Batch, Coalescer
from benchmarks.capacity.simulation.sink import Sink
from benchmarks.capacity.simulation.station import Station
from benchmarks.capacity.simulation.system import (
    Failure,
    Keeps,
    Part,
    Peer,
    Seen,
    Size,
    System,
    drained_s,
)
from benchmarks.capacity.simulation.tally import Request, Tally
from msgspec.structs import replace

from logbridge.domain.policy import AdmissionPolicy, BreakerPolicy, CoalescePolicy, DeadlinePolicy
from tests.unit.capacity_costs import KNOWN

COSTS = replace(KNOWN, entry_bytes=300)
ASSUMED = Assumptions()
SIZES = {
    Keeps.SERVICE: Size(2, 3),
    Keeps.DISK: Size(2, 3, Keeps.DISK),
    Keeps.JETSTREAM: Size(3, 3, Keeps.JETSTREAM, streams=2, forwarders=4, nats_servers=3),
}
ALL = 100


def a_system(keeps: Keeps = Keeps.SERVICE, logs: int = 100, seed: int = 1) -> System:
    """A small one, that 10,000 logs a second do not fill."""
    return System(SIZES[keeps], COSTS, ASSUMED, Shape(logs), seed=seed)


def played(
    keeps: Keeps, *failures: Failure, seconds: float = 12.0, logs_s: float = 10_000.0, seed: int = 1
) -> Seen:
    """It under load."""
    system = a_system(keeps, seed=seed)
    system.open_world(logs_s, Arrivals.POISSON)
    return system.run(seconds, failures)


class TheQueue:
    """One station and nothing else, as textbooks have it."""

    def __init__(self, clock: Clock, station: Station) -> None:
        self._station = station

    def receive(self, request: Request) -> None:
        self._station.put(request.logs, request.answer)


def mean_s_of_a_queue(mean_s: float, rate: float, *, by_chance: bool) -> tuple[float, Tally]:
    """Seconds in the system, of a server that needs ``mean_s``, always or on the average."""
    clock, random = Clock(), Random(7)
    tally = Tally(clock)
    service = (lambda _: exponential(random, mean_s)) if by_chance else (lambda _: mean_s)
    queue = TheQueue(clock, Station(clock, service))
    OpenWorld(clock, tally, queue, rate, Shape(), Arrivals.POISSON, random, math.inf).start()
    clock.run(5.0)
    tally.begin()
    clock.run(155.0)
    return tally.mean_latency_s, tally


class TestFormulas:
    """Where the answer is known."""

    @pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
    def test_a_server_by_chance(self, load: float) -> None:
        """M/M/1: the mean time in the system is 1 / (service rate - arrival rate)."""
        mean_s, _ = mean_s_of_a_queue(1e-3, 1e3 * load, by_chance=True)
        assert mean_s == pytest.approx(1 / (1e3 - 1e3 * load), rel=0.05)

    @pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
    def test_a_server_that_always_needs_the_same(self, load: float) -> None:
        """M/D/1: the mean wait is half of that of M/M/1 (Pollaczek and Khinchine)."""
        mean_s, _ = mean_s_of_a_queue(1e-3, 1e3 * load, by_chance=False)
        assert mean_s == pytest.approx(1e-3 + 1e-3 * load / (2 * (1 - load)), rel=0.03)

    def test_half_are_within_the_median(self) -> None:
        """Times in M/M/1 are exponential: the quantiles are those of that."""
        mean_s, tally = mean_s_of_a_queue(1e-3, 500.0, by_chance=True)
        assert tally.quantile_s(0.5) == pytest.approx(mean_s * math.log(2), rel=0.05)
        assert tally.quantile_s(0.99) == pytest.approx(mean_s * math.log(100), rel=0.05)

    @pytest.mark.parametrize("keeps", Keeps)
    def test_littles_law(self, keeps: Keeps) -> None:
        """Logs in flight are arrivals a second times the mean time, in the whole system as well."""
        system = a_system(keeps)
        system.open_world(10_000.0, Arrivals.BURSTY)
        seen = system.run(20.0)
        expected = seen.logs_per_s * system.tally.mean_latency_s
        assert system.tally.mean_in_flight == pytest.approx(expected, rel=0.01)

    @pytest.mark.parametrize("mean", [0.5, 4.0, 100.0])
    def test_counts_by_chance(self, mean: float) -> None:
        """Mean and variance of a Poisson count are the same."""
        random = Random(3)
        counts = [poisson(random, mean) for _ in range(20_000)]
        found = sum(counts) / len(counts)
        assert found == pytest.approx(mean, rel=0.03)
        assert sum((count - found) ** 2 for count in counts) / len(counts) == pytest.approx(mean, rel=0.05)

    def test_bursts_keep_the_mean(self) -> None:
        """Bursty arrivals are as many as the others in the long run."""
        clock = Clock()
        tally, queue = Tally(clock), TheQueue(clock, Station(clock, lambda _: 0.0))
        OpenWorld(clock, tally, queue, 200.0, Shape(), Arrivals.BURSTY, Random(6)).start()
        clock.run(300.0)
        assert tally.arrived / 300.0 == pytest.approx(200.0, rel=0.07)


class TestCourse:
    """What holds for every course of events."""

    @pytest.mark.parametrize("keeps", Keeps)
    @pytest.mark.parametrize("part", Part)
    @pytest.mark.parametrize("count", [1, ALL])
    def test_nothing_is_lost_count_of(self, keeps: Keeps, part: Part, count: int) -> None:
        """Arrived is accepted, refused and in flight; kept is delivered and waiting, whatever fails."""
        seen = played(keeps, Failure(part, 1.0, 1.5, count), seconds=4.0, logs_s=5_000.0)
        assert seen.arrived == seen.accepted + seen.refused + seen.in_flight
        assert seen.kept == seen.delivered + seen.backlog
        if keeps is not Keeps.SERVICE:
            assert seen.kept >= seen.accepted

    @pytest.mark.parametrize("keeps", Keeps)
    def test_a_seed_repeats_itself(self, keeps: Keeps) -> None:
        """The same seed gives the same figures to the last digit, another one others."""
        failure = Failure(Part.WORKER, 1.0, 1.0)
        first, again, other = (played(keeps, failure, seconds=3.0, seed=seed) for seed in (4, 4, 5))
        assert first == again
        assert first != other

    def test_more_comes_through_until_it_is_full(self) -> None:
        """Accepted logs grow with the rate up to what a worker carries; beyond that the rest is refused."""
        seen = []
        for rate in (2_000.0, 6_000.0, 30_000.0):
            system = System(Size(1, 3), COSTS, ASSUMED, Shape())
            system.open_world(rate, Arrivals.POISSON)
            seen.append(system.run(2.0, warmup_s=1.0))
        light, usual, too_much = seen
        assert light.logs_per_s < usual.logs_per_s == pytest.approx(6_000, rel=0.05)
        assert light.refused == usual.refused == 0
        assert too_much.refused > 0
        assert 0 < too_much.logs_per_s < 1e6 / (COSTS.request_us + COSTS.log_us)
        assert too_much.in_flight > AdmissionPolicy().entries_max / 2

    def test_many_in_groups_are_as_many(self) -> None:
        """Beyond so many arrivals a second they come as aggregates, and all of them count."""
        system = System(Size(20, 12), COSTS, ASSUMED, Shape())
        system.open_world(100_000.0, Arrivals.POISSON)
        seen = system.run(0.5, warmup_s=0.2)
        assert seen.arrived / 0.7 == pytest.approx(100_000, rel=0.01)
        assert seen.refused == 0


class TestFailures:
    """What a failure must do, and must not."""

    def test_one_log_service_of_three(self) -> None:
        """Calls go to the others, and no write is refused."""
        seen = played(Keeps.SERVICE, Failure(Part.SERVICE, 2.0, 5.0))
        assert seen.refused == 0

    def test_all_log_services_without_a_spool(self) -> None:
        """Writes are refused, at least for as long as nobody is there, and accepted again afterwards."""
        system = a_system()
        system.open_world(10_000.0, Arrivals.POISSON)
        seen = system.run(25.0, [Failure(Part.SERVICE, 2.0, 5.0, ALL)])
        assert 4.0 / 25.0 < seen.refused_share < 15.0 / 25.0
        before = system.tally.accepted
        system.clock.run(system.clock.now_s + 1.0)
        assert system.tally.accepted - before == pytest.approx(10_000, rel=0.2)

    @pytest.mark.parametrize("keeps", [Keeps.DISK, Keeps.JETSTREAM])
    def test_all_log_services_with_a_spool(self, keeps: Keeps) -> None:
        """Nothing is refused; what came meanwhile waits, and is gone some time after."""
        seen = played(keeps, Failure(Part.SERVICE, 2.0, 5.0, ALL), seconds=60.0)
        assert seen.refused == 0
        assert seen.backlog_max > 4.0 * 10_000
        assert seen.drain_s is not None
        assert 0.0 < seen.drain_s < 50.0

    @pytest.mark.parametrize("keeps", Keeps)
    def test_a_worker_is_killed(self, keeps: Keeps) -> None:
        """Its share is refused until the health check sees it, and no longer."""
        seen = played(keeps, Failure(Part.WORKER, 2.0, 5.0))
        share = ASSUMED.health_check_s / 12.0 / SIZES[keeps].workers
        assert seen.refused_share == pytest.approx(share, rel=0.5)

    def test_nothing_goes_out_from_a_killed_worker(self) -> None:
        """A timer of its coalescing, which is still to come, finds nothing that waits."""
        clock, begun = Clock(), list[Batch]()
        loop = Loop(clock)

        def begin(batch: Batch) -> float:
            begun.append(batch)
            return 0.0

        coalescer = Coalescer(clock, loop, CoalescePolicy(), begin)
        for _ in range(2):
            coalescer.add(Request(clock.now_s, 1, 1, 100, 10.0, lambda *_: None))
            clock.run(clock.now_s)
        coalescer.kill()
        clock.run(1.0)
        assert len(begun) == 1, "the second one lingered behind the first"

    def test_a_forwarder_is_killed(self) -> None:
        """What it had in hand goes again, and nothing is refused."""
        away = Failure(Part.SERVICE, 1.5, 1.0, ALL)
        seen = played(Keeps.JETSTREAM, away, Failure(Part.FORWARDER, 2.0, 2.0, 4), seconds=20.0)
        assert seen.resent > 0
        assert seen.refused == 0
        assert seen.backlog < 10_000

    def test_a_stream_has_no_leader(self) -> None:
        """Writes wait for the election, which shows in the slowest, and not in the half of them."""
        usual = played(Keeps.JETSTREAM)
        seen = played(Keeps.JETSTREAM, Failure(Part.NATS, 2.0, 8.0), seconds=60.0)
        assert seen.p50_ms == pytest.approx(usual.p50_ms, rel=0.1)
        assert seen.p99_ms > 1e3 * ASSUMED.election_s / 3
        assert seen.p99_ms < 1e3 * DeadlinePolicy().request_s

    def test_the_backlog_is_as_before(self) -> None:
        """Drained is measured from the end of the last failure, against the most before the first."""
        backlogs = [(0.5, 9.0), (1.5, 10.0), (2.5, 50.0), (4.5, 30.0), (6.5, 10.0), (7.5, 0.0)]
        failures = [Failure(Part.SERVICE, 2.0, 1.0), Failure(Part.SERVICE, 3.0, 1.0)]
        rounded = [(at_s, int(backlog)) for at_s, backlog in backlogs]
        assert drained_s(rounded, failures) == pytest.approx(2.5)
        assert drained_s(rounded[:-2], failures) is None
        assert drained_s(rounded, []) is None


class TestParts:
    """The parts by themselves."""

    def test_a_loop_works_in_turns(self) -> None:
        """What comes in a turn is done in the next one, and what a turn sends leaves at its end."""
        clock = Clock()
        loop, left = Loop(clock), []

        def task(name: str, work_s: float) -> float:
            loop.leave(lambda: left.append((name, clock.now_s)))
            return work_s

        loop.soon(lambda: task("a", 1.0))
        loop.soon(lambda: task("b", 1.0))
        clock.after(0.5, loop.soon, lambda: task("c", 1.0))
        clock.run(10.0)
        assert left == [("a", 2.0), ("b", 2.0), ("c", 3.0)]
        assert loop.busy_s == 3.0

    def test_a_commit_is_shared(self) -> None:
        """What waits goes together, up to so many logs; a larger job goes alone."""
        clock, done = Clock(), []
        station = Station(clock, lambda _: 1.0, share_logs_max=20)
        for logs in (5, 10, 10, 30):
            station.put(logs, lambda _, logs=logs: done.append((logs, clock.now_s)))
        clock.run(10.0)
        assert done == [(5, 1.0), (10, 2.0), (10, 2.0), (30, 3.0)]

    def test_a_full_station_refuses(self) -> None:
        """Beyond what may wait a job fails at once; one that is too large passes when it is alone."""
        clock, done = Clock(), []
        station = Station(clock, lambda _: 1.0, waiting_logs_max=10)
        for logs in (30, 8, 8):
            station.put(logs, lambda well, logs=logs: done.append((logs, well, clock.now_s)))
        clock.run(10.0)
        assert done == [(8, False, 0.0), (30, True, 1.0), (8, True, 2.0)]

    def test_who_is_away_is_tried_again(self) -> None:
        """After so many failures nobody is asked, but for one trial when its time has come."""
        clock, policy, answers = Clock(), BreakerPolicy(), []
        station = Station(clock, lambda _: 0.0)
        station.kill()
        sink = Sink(clock, [station], policy, 0.0)
        for _ in range(policy.failures_max + 3):
            sink.write([(0, 1)], lambda stored, again: answers.append((stored, again)))
            clock.run(clock.now_s + 0.01)
        assert answers.count((False, True)) == policy.failures_max
        assert answers.count((False, False)) == 3
        assert 0 < sink.trial_in_s() <= policy.trial_first_s
        station.come_back()
        clock.run(clock.now_s + policy.trial_first_s)
        for _ in range(2):
            sink.write([(0, 1)], lambda stored, again: answers.append((stored, again)))
            clock.run(clock.now_s + 0.01)
        assert answers[-2:] == [(True, True), (True, True)]

    def test_a_lone_write_goes_at_once(self) -> None:
        """One client makes a call for each write, and waits for no timer."""
        system = System(Size(1, 1), COSTS, ASSUMED, Shape(), peer=Peer(0.0), away_s=0.0)
        system.closed_world(1)
        seen = system.run(1.0)
        assert seen.calls_a_log == pytest.approx(1.0, rel=0.01)
        assert seen.p50_ms < 1e3 * CoalescePolicy().linger_s / 5

    def test_what_comes_together_goes_together(self) -> None:
        """Many clients share calls: a few for each round of all of them."""
        system = System(Size(1, 1), COSTS, ASSUMED, Shape(), peer=Peer(0.0), away_s=1e-4)
        system.closed_world(500)
        seen = system.run(1.0)
        assert 1 / 500 < seen.calls_a_log < 10 / 500

    def test_a_slow_service_has_so_many_batches_at_most(self) -> None:
        """Behind one that does not answer a batch goes each linger, up to the policy's number."""
        system = System(Size(1, 1), COSTS, ASSUMED, Shape(), peer=Peer(1e6))
        system.open_world(2_000.0, Arrivals.POISSON)
        system.run(2.0)
        assert system.sinks[0].calls == CoalescePolicy().batches_max
