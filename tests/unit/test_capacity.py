"""The cost model, the sizing, the command, and docs/scale.md against what the command makes."""

import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from benchmarks import bodies
from benchmarks.capacity import page
from benchmarks.capacity.__main__ import main
from benchmarks.capacity.assumptions import Assumptions, notes
from benchmarks.capacity.check import check, play
from benchmarks.capacity.costs import Costs, NoFigures, fit, last_report, least_squares
from benchmarks.capacity.play import failure_of
from benchmarks.capacity.simulation.system import Failure, Keeps, Part
from benchmarks.capacity.sizing import Asked, Plan, Way, calls_a_log, plan
from benchmarks.contenders import DURABLE, LOGBRIDGE, NOOP, PATIENT
from benchmarks.machine import Machine
from benchmarks.measure import Figures
from benchmarks.report import Report, measured
from benchmarks.rounds import Round
from benchmarks.scenarios import BY_NAME
from msgspec.structs import asdict, replace

from tests.unit.capacity_costs import KNOWN

ASSUMED = Assumptions()
DURABLE_LOGS = Asked(logs_s=50_000.0, keeps=Keeps.JETSTREAM)


def a_report(**changed: dict[str, Figures]) -> Report:
    """What a machine would have measured on which a log costs just what is KNOWN."""
    long_us = 3.0 * (len(bodies.body(1, 100_000)) - KNOWN.entry_bytes) / 1e3
    many = Figures(logs_per_s=11_000.0, cpu_us=90.0, rpcs=0.002, memory_kib=80_000.0 + 12 * 10_000)
    seen = {
        "writes-1": {
            LOGBRIDGE: Figures(logs_per_s=1e6 / 607, cpu_us=472.0, rpcs=1.0, memory_kib=80_000.0),
            NOOP: Figures(logs_per_s=1e6 / 105, cpu_us=90.0),
        },
        "writes-20": {LOGBRIDGE: Figures(cpu_us=72 + 40.0, rpcs=0.1, logs_per_s=9_000.0)},
        "writes-200": {LOGBRIDGE: Figures(cpu_us=72 + 4.0, rpcs=0.01, logs_per_s=13_000.0)},
        "writes-10000": {LOGBRIDGE: many},
        "batches": {LOGBRIDGE: Figures(cpu_us=12.46, rpcs=0.001, logs_per_s=80_000.0)},
        "bodies-100k": {LOGBRIDGE: Figures(cpu_us=72 + 40.0 + long_us, rpcs=0.1)},
        "store-batches": {
            LOGBRIDGE: Figures(logs_per_s=1e6 / 32),
            DURABLE: Figures(cpu_us=12.46 + 10.07),
        },
        "store-writes": {DURABLE: Figures(cpu_us=72.4 + 80.0)},
        "memory": {PATIENT: Figures(memory_kib=13.0)},
    }
    seen.update(changed)
    rounds = {name: [Round(figures)] for name, figures in seen.items()}
    machine = Machine("a processor", 2, "a kernel", "a Python", {})
    scenarios = {name: measured(each, "abc", "2026-01-01") for name, each in rounds.items()}
    return Report(machine, scenarios=scenarios)


@cache
def made() -> tuple[Report, Costs]:
    """The committed report, and what comes of it."""
    report = last_report()
    return report, fit(report)


class TestCosts:
    """From figures to constants."""

    def test_known_costs_come_back(self) -> None:
        """Figures made from constants give those constants, each of them."""
        assert asdict(fit(a_report())) == pytest.approx(asdict(KNOWN), rel=1e-6)

    def test_least_squares_fits_what_has_no_solution(self) -> None:
        """With more points than constants it is the nearest: the mean, for a single constant."""
        assert least_squares([[1.0], [1.0], [1.0]], [1.0, 2.0, 6.0]) == pytest.approx([3.0])
        assert least_squares([[0.0, 2.0], [4.0, 0.0]], [2.0, 4.0]) == pytest.approx([1.0, 1.0])

    def test_what_lacks_is_named(self) -> None:
        """A report without a scenario, and one that is no report, say how to make one."""
        report = a_report()
        del report.scenarios["store-writes"]
        with pytest.raises(NoFigures, match=r"no logbridge-durable in store-writes.*--only store-writes"):
            fit(report)

    def test_a_broken_report_is_named(self, tmp_path: Path) -> None:
        """The file that cannot be read is in the message."""
        path = tmp_path / "latest.json"
        with pytest.raises(NoFigures, match=r"latest\.json"):
            last_report(path)
        path.write_text("{}")
        with pytest.raises(NoFigures, match="make bench"):
            last_report(path)

    def test_the_costs_of_the_last_report_make_sense(self) -> None:
        """No constant is below zero, and a call costs more than a request, a request more than a log."""
        _, costs = made()
        assert all(value >= 0 for value in asdict(costs).values())
        assert costs.rpc_us > costs.request_us > costs.log_us > 0


class TestSizing:
    """From a rate to machines."""

    @pytest.mark.parametrize("keeps", Keeps)
    @pytest.mark.parametrize("way", Way)
    def test_more_logs_take_no_fewer_machines(self, way: Way, keeps: Keeps) -> None:
        """No count goes down as the rate goes up, and in the end all of them are more."""
        plans = [plan(Asked(float(rate), way, keeps=keeps), KNOWN, ASSUMED) for rate in page.RATES]
        for fewer, more in pairwise(plans):
            # What one process carries may: with more log services its batches have more parts.
            counts = {name: value for name, value in asdict(fewer).items() if not name.endswith("_logs_s")}
            assert [name for name, value in counts.items() if asdict(more)[name] < value] == []
        assert plans[-1].cores > plans[0].cores
        assert plans[-1].in_gbit_s == pytest.approx(plans[0].in_gbit_s * 1000)

    @pytest.mark.parametrize("keeps", Keeps)
    def test_nobody_is_busier_than_asked(self, keeps: Keeps) -> None:
        """Without the spare ones each process carries at most the part of its most that was asked for."""
        asked = Asked(100_000.0, keeps=keeps, load=0.5, spare=0)
        found = plan(asked, KNOWN, ASSUMED)
        assert asked.logs_s <= found.workers * found.worker_logs_s * asked.load * (1 + 1e-9)
        assert asked.logs_s <= found.services * found.service_logs_s * asked.load * (1 + 1e-9)
        if keeps is Keeps.JETSTREAM:
            assert asked.logs_s <= found.forwarders * found.forwarder_logs_s * asked.load * (1 + 1e-9)
            assert asked.logs_s <= found.streams * ASSUMED.stream_logs_s * asked.load

    def test_a_spare_machine_is_a_whole_one(self) -> None:
        """One machine more has as many workers as each of the others; the services are one more."""
        without, one = (plan(Asked(400_000.0, spare=spare), KNOWN, ASSUMED) for spare in (0, 1))
        assert one.worker_machines == without.worker_machines + 1
        assert one.workers - without.workers == without.workers / without.worker_machines
        assert one.services == without.services + 1

    @pytest.mark.parametrize(
        ("dear", "cheap"),
        [
            (Asked(1e6, Way.WRITE), Asked(1e6, Way.BATCH)),
            (Asked(1e6, batch=10), Asked(1e6, batch=100)),
            (Asked(1e6, Way.WRITE, in_flight=2), Asked(1e6, Way.WRITE, in_flight=200)),
            (Asked(1e6, entry_bytes=3_000), Asked(1e6, entry_bytes=300)),
            (Asked(1e6, keeps=Keeps.DISK), Asked(1e6)),
            (Asked(1e6, load=0.3), Asked(1e6, load=0.9)),
        ],
    )
    def test_what_costs_more_takes_more(self, dear: Asked, cheap: Asked) -> None:
        """Small requests, few in flight, long entries, a disk and headroom have their price."""
        assert plan(dear, KNOWN, ASSUMED).workers > plan(cheap, KNOWN, ASSUMED).workers

    def test_three_servers_are_the_fewest(self) -> None:
        """A stream of three replicas needs three NATS servers, however little comes."""
        found = plan(Asked(10.0, keeps=Keeps.JETSTREAM, spare=0), KNOWN, ASSUMED)
        assert (found.nats_servers, found.streams) == (3, 1)

    def test_calls_of_a_log(self) -> None:
        """A lone client makes one for each write; many share two a round; a full batch is one."""
        assert calls_a_log(1, 1, 1) == 1.0
        assert calls_a_log(1, 200, 1) == 0.01
        assert calls_a_log(100, 4, 1) == 0.005
        assert calls_a_log(1000, 4, 1) == calls_a_log(1, 1_000_000, 1) == 0.001

    def test_each_log_service_has_its_part(self) -> None:
        """A log is called for once at most, a batch once for each of them, and many batches share calls."""
        assert calls_a_log(1, 1, 50) == 1.0
        assert calls_a_log(100, 1, 50) == 0.5
        assert calls_a_log(100, 50, 50) == 0.02
        assert calls_a_log(1, 200, 3) == 0.03

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"logs_s": 0.0}, "logs_s"),
            ({"logs_s": float("nan")}, "logs_s"),
            ({"logs_s": float("inf")}, "logs_s"),
            ({"batch": 0}, "batch"),
            ({"batch": 1001}, "batch"),
            ({"entry_bytes": 0}, "entry_bytes"),
            ({"in_flight": 0}, "in_flight"),
            ({"load": 0.0}, "load"),
            ({"load": 1.1}, "load"),
            ({"spare": -1}, "spare"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, changes: dict[str, float], said: str) -> None:
        """The message names what is wrong, and what is allowed."""
        with pytest.raises(ValueError, match=f"^{said} is .*(needed|allowed)$"):
            Asked(**{"logs_s": 1.0, **changes})  # type: ignore[arg-type]  # values of many types


class TestCommand:
    """`make capacity`."""

    def test_it_prints_a_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What is needed, what was measured and what was assumed."""
        assert main(["--logs-s", "50000", "--ack", "durable", "--spool", "jetstream"]) == 0
        shown = capsys.readouterr().out
        for said in ("workers", "forwarders", "NATS servers", "request_us", "--publish-us"):
            assert said in shown

    def test_it_prints_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The plan is that of the function, and a simulation is in it where one was asked for."""
        flags = ["--logs-s", "50000", "--ack", "durable", "--spool", "jetstream", "--json", "--simulate", "1"]
        assert main([*flags, "--fail", "log-service@0.2+0.5", "--publish-us", "50"]) == 0
        found = json.loads(capsys.readouterr().out)
        assumed = replace(ASSUMED, publish_us=50.0)
        assert found["plan"] == asdict(plan(DURABLE_LOGS, made()[1], assumed))
        assert found["simulated"]["logs_per_s"] == pytest.approx(50_000, rel=0.1)
        assert found["assumptions"]["publish_us"] == 50.0

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (["--logs-s", "-1"], "logs_s is -1, more than 0 is needed"),
            (["--logs-s", "many"], "argument --logs-s: invalid float value: 'many'"),
            (["--way", "pigeon"], "argument --way: invalid choice"),
            (["--fail", "log-service@1+1"], "--fail needs --simulate SECONDS"),
            (["--simulate", "1", "--fail", "disk@1+1"], "'disk@1+1' is no failure"),
        ],
    )
    def test_an_error_is_one_line(
        self, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Exit code 2, and nothing but the reason."""
        with pytest.raises(SystemExit) as ended:
            main(flags)
        assert ended.value.code == 2
        err = capsys.readouterr().err
        assert err.startswith(said)
        assert err.count("\n") == 1

    def test_failures_are_read(self) -> None:
        """Part, count, when and for how long."""
        assert failure_of("log-service*2@5+10.5") == Failure(Part.SERVICE, 5.0, 10.5, 2)
        assert failure_of("nats-server@0+1") == Failure(Part.NATS, 0.0, 1.0, 1)

    def test_every_assumption_has_a_note(self) -> None:
        """The table, the help and the flags have all of them."""
        assert list(notes()) == list(Assumptions.__struct_fields__)


class TestPage:
    """docs/scale.md."""

    @pytest.mark.parametrize("name", ["origin", "sizing", "costs", "assumptions", "cluster"])
    def test_tables_are_those_of_the_command(self, name: str) -> None:
        """What is between the markers is made from docs/benchmarks/latest.json; make capacity renews it."""
        report, costs = made()
        blocks = page.computed(report, costs, ASSUMED)
        assert page.with_blocks(page.PAGE.read_text(), {name: blocks[name]}) == page.PAGE.read_text()

    def test_the_failures_are_those_of_the_command(self) -> None:
        """The course of each failure is played again, and comes out the same."""
        rows = page.failures(made()[1], ASSUMED)
        block = page.seen_table(rows).markdown()
        assert page.with_blocks(page.PAGE.read_text(), {"failures": block}) == page.PAGE.read_text()

    def test_the_fit_is_that_of_the_command(self) -> None:
        """Every scenario that can be played is played again, and comes out the same."""
        report, costs = made()
        block = page.checked(check(report, costs, ASSUMED))
        assert page.with_blocks(page.PAGE.read_text(), {"check": block}) == page.PAGE.read_text()

    def test_the_picture_is_that_of_the_command(self) -> None:
        """The chart in docs/benchmarks is made from the same figures."""
        assert page.PICTURE.read_text() == page.chart(made()[1], ASSUMED)

    def test_a_missing_marker_is_named(self) -> None:
        """A page without a place for a table is not written."""
        with pytest.raises(ValueError, match="capacity:begin sizing"):
            page.with_blocks("no markers", {"sizing": "a table"})

    def test_only_what_is_between_markers_changes(self) -> None:
        """The prose stays, and doing it twice changes nothing."""
        text = "before\n<!-- capacity:begin a -->\nold\n<!-- capacity:end -->\nafter\n"
        once = page.with_blocks(text, {"a": "new \\1"})
        assert once == "before\n<!-- capacity:begin a -->\nnew \\1\n<!-- capacity:end -->\nafter\n"
        assert page.with_blocks(once, {"a": "new \\1"}) == once


class TestFit:
    """The simulation against what was measured."""

    @pytest.mark.parametrize("name", ["writes-5", "writes-50", "bodies-3k"])
    def test_points_that_were_held_out(self, name: str) -> None:
        """A gateway that has its core for itself comes out within 30 per cent; the page has the rest."""
        report, costs = made()
        seen = report.scenarios[name].medians[LOGBRIDGE]
        assert play(BY_NAME[name], LOGBRIDGE, costs, ASSUMED).logs_per_s == pytest.approx(
            seen.logs_per_s, rel=0.3
        )

    def test_a_plan_carries_what_it_is_for(self) -> None:
        """At the machines that the model names nothing is refused, and the spool does not grow."""
        costs = made()[1]
        for keeps in Keeps:
            asked = Asked(30_000.0, keeps=keeps, spare=0)
            found: Plan = plan(asked, costs, ASSUMED)
            seen = page.play(asked, found, costs, ASSUMED, 5.0)
            assert seen.refused == 0
            assert seen.logs_per_s == pytest.approx(30_000, rel=0.05)
            assert seen.backlog < 1.5 * asked.logs_s
