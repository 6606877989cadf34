"""The parts of the benchmarks that can be wrong without a measurement."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks import bodies, charts, quick, report, svg
from benchmarks.contenders import CONTENDERS, LOGBRIDGE, NOOP, REFERENCE
from benchmarks.envoy import ROOT, annotated, configuration
from benchmarks.limits import LIMITS
from benchmarks.load import Run
from benchmarks.machine import Machine
from benchmarks.measure import Figures
from benchmarks.rounds import (
    NOOP_DEVIATION_MAX,
    OTHERS_MAX,
    Round,
    counting,
    judged,
    medians,
    ratio,
    run_rounds,
)
from benchmarks.scenarios import ALONE, BY_NAME, GROWTH, SCENARIOS, growth_name
from benchmarks.soak import Soak, growth
from benchmarks.targets import SOAK, TARGETS, Target, verdict

MACHINE = Machine("a processor", 2, "a kernel", "a Python", {"logbridge": "1.0"})


def a_round(noop: float = 10_000.0, logbridge: float = 5_000.0, others: float = 0.0) -> Round:
    """A round of two contenders, by their logs/s."""
    return Round(
        {
            NOOP: Figures(logs_per_s=noop, cpu_us=1e6 / noop),
            LOGBRIDGE: Figures(logs_per_s=logbridge, cpu_us=1e6 / logbridge, others=others),
        }
    )


def a_report() -> report.Report:
    """A report of two scenarios and a soak."""
    rounds = [Round({**a_round().figures, REFERENCE: Figures(logs_per_s=500.0, cpu_us=2000.0)})] * 3
    names = ("writes-200", growth_name(GROWTH[-1]))
    made = report.Report(
        MACHINE, scenarios={name: report.measured(rounds, "abc", "2026-01-01") for name in names}
    )
    made.soak = Soak("abc", "2026-01-01", 600.0, 1000, [100, 110], 1.1)
    made.judge()
    return made


class TestRounds:
    """Which rounds count."""

    def test_a_round_in_which_others_worked_does_not_count(self) -> None:
        """Up to the limit a round counts, beyond it it does not, and it says who was disturbed."""
        quiet, disturbed = judged([a_round(others=OTHERS_MAX), a_round(others=OTHERS_MAX + 0.01)])
        assert quiet.disturbed == ""
        assert LOGBRIDGE in disturbed.disturbed

    def test_a_round_with_an_unusual_noop_does_not_count(self) -> None:
        """The no-op is compared with the median of its rounds, slower and faster alike."""
        off = NOOP_DEVIATION_MAX + 0.01
        rounds = judged(
            [a_round(), a_round(), a_round(10_000 * (1 - off)), a_round(10_000 * (1 + off)), a_round()]
        )
        assert [bool(each.disturbed) for each in rounds] == [False, False, True, True, False]

    def test_others_do_not_shift_the_usual_noop(self) -> None:
        """Rounds that others disturbed are left out of the median that the no-op is compared with."""
        rounds = judged([a_round(), a_round(5_000, others=0.5), a_round(5_000, others=0.5)])
        assert rounds[0].disturbed == ""

    def test_disturbed_rounds_are_run_again(self) -> None:
        """Rounds are measured until enough of them count."""
        others = iter([0.0, 0.5, 0.0])
        seen = run_rounds([LOGBRIDGE], lambda _: Figures(others=next(others)), wanted=2, extra_tries=3)
        assert [bool(each.disturbed) for each in seen] == [False, True, False]

    def test_rounds_end_on_a_busy_machine(self) -> None:
        """After the extra tries nothing more is measured, and all rounds count."""
        seen = run_rounds([LOGBRIDGE], lambda _: Figures(others=0.5), wanted=3, extra_tries=2)
        assert len(seen) == 5
        assert counting(seen) == seen

    def test_each_round_begins_with_another_contender(self) -> None:
        """No contender is always the first."""
        order: list[str] = []

        def measure(name: str) -> Figures:
            order.append(name)
            return Figures()

        run_rounds(["a", "b", "c"], measure, wanted=3, extra_tries=0)
        assert "".join(order) == "abcbcacab"

    def test_a_ratio_is_the_median_of_the_rounds_own(self) -> None:
        """Each round is compared with itself: a slow one does not meet another's fast one."""
        rounds = [a_round(10_000, 5_000), a_round(2_000, 1_000), a_round(9_000, 3_000)]
        assert ratio(rounds, "logs_per_s", LOGBRIDGE, NOOP) == pytest.approx(0.5)

    def test_no_ratio_without_the_other(self) -> None:
        """A contender that this machine cannot start has no ratio."""
        assert ratio([a_round()], "logs_per_s", LOGBRIDGE, "envoy") is None
        assert ratio([], "logs_per_s", LOGBRIDGE, NOOP) is None

    def test_medians_are_taken_figure_by_figure(self) -> None:
        """The median of each figure, from the rounds that are given."""
        seen = medians([a_round(logbridge=1.0), a_round(logbridge=3.0), a_round(logbridge=2.0)])
        assert seen[LOGBRIDGE].logs_per_s == 2.0


class TestTargets:
    """What counts as reached."""

    @pytest.mark.parametrize(("most", "reached"), [(2.0, True), (1.9, False)])
    def test_at_most(self, most: float, reached: bool) -> None:
        """A cost is reached at its limit and below."""
        target = Target("1", "", "writes-200", "cpu_us", to=NOOP, most=most)
        assert verdict(target, {"writes-200": [a_round()]}).reached is reached

    @pytest.mark.parametrize(("least", "reached"), [(0.5, True), (0.6, False)])
    def test_at_least(self, least: float, reached: bool) -> None:
        """A speed is reached at its limit and above."""
        target = Target("1", "", "writes-200", "logs_per_s", to=NOOP, least=least)
        assert verdict(target, {"writes-200": [a_round()]}).reached is reached

    def test_enough_is_enough(self) -> None:
        """Beyond the figure that is enough, the ratio does not matter."""
        target = Target("6", "", "writes-200", "logs_per_s", to=NOOP, least=0.9, enough=5_000)
        assert verdict(target, {"writes-200": [a_round()]}).reached

    def test_what_was_not_measured_is_not_reached(self) -> None:
        """Neither yes nor no."""
        assert {verdict(target, {}).reached for target in TARGETS} == {None}

    def test_every_target_is_of_a_scenario_that_measures_it(self) -> None:
        """Scenario, contenders and figure are there, and there is one limit."""
        for target in TARGETS:
            assert (target.most is None) != (target.least is None)
            if target.scenario != SOAK:
                assert {target.of, target.to} - {""} <= set(BY_NAME[target.scenario].contenders)
                assert target.figure in Figures.__struct_fields__

    def test_growth_compares_the_last_tenth_with_the_second(self) -> None:
        """The first tenth, in which all caches fill, does not count."""
        assert growth([1, *[100] * 8, 110]) == pytest.approx(1.1)
        assert growth([100]) == 1.0


class TestScenarios:
    """The tables fit together."""

    def test_every_scenario_names_known_contenders(self) -> None:
        """Each can be started, or is a part that is measured alone."""
        for scenario in SCENARIOS:
            assert set(scenario.contenders) <= CONTENDERS.keys() | ALONE.keys()

    def test_names_are_unique_and_growth_is_measured(self) -> None:
        """Each name is one scenario, and each point of the chart has one."""
        assert len(BY_NAME) == len(SCENARIOS)
        assert {growth_name(connections) for connections in GROWTH} <= BY_NAME.keys()

    def test_bodies_are_as_large_as_asked(self) -> None:
        """A body has so many entries of at least so many bytes, but for a character."""
        assert len(bodies.body(1, 3_000)) >= 2_999
        assert len(json.loads(bodies.body(7))["log_entries"]) == 7
        assert len(json.loads(bodies.message_body(7))["log_entries"]) == 7

    def test_envoy_is_sent_the_same_log(self) -> None:
        """Its message has what the bridge would make: the same fields, and metadata as text."""
        message = json.loads(bodies.message_body(1))
        assert message["message"] == bodies.ENTRY["message"]
        assert message["metadata"]["adv_id"] == "1234567"
        assert message["metadata"]["user_id"] == "user123"

    def test_the_proto_file_can_be_annotated(self) -> None:
        """Both ways to write get their mapping; a proto file without them is refused."""
        made = annotated((ROOT / "proto" / "logservice.proto").read_text())
        assert made.count("google.api.http") == 2
        with pytest.raises(ValueError, match="WriteLog"):
            annotated("")

    def test_envoy_listens_and_sends_on_this_machine_only(self) -> None:
        """Both addresses of its configuration are loopback."""
        text = json.dumps(configuration(1, 2, Path("made.pb")))
        assert text.count('"address": "127.0.0.1"') == 2


class TestLoad:
    """How requests are counted."""

    def test_a_request_counts_for_its_part_of_the_measured_time(self) -> None:
        """Half of one that was half over when measuring began, all of one within, none of one before."""
        run = Run(b"", b"")
        run.from_s, run.until_s = 10.0, 20.0
        for began_s, ended_s in ((9.0, 11.0), (12.0, 13.0), (15.0, 25.0), (1.0, 9.0), (21.0, 22.0)):
            run.count(b"HTTP/1.1 200 OK", began_s, ended_s)
        assert run.requests == pytest.approx(0.5 + 1 + 0.5)

    def test_a_request_longer_than_the_measured_time_counts_in_part(self) -> None:
        """A tenth of a request lies within."""
        run = Run(b"", b"")
        run.from_s, run.until_s = 10.0, 11.0
        run.count(b"HTTP/1.1 200 OK", 5.0, 15.0)
        assert run.requests == pytest.approx(0.1)

    @pytest.mark.parametrize("answer", [b"HTTP/1.1 503 No", b"HTTP/1.1 200 OK\r\n\r\n{}"])
    def test_a_wrong_answer_is_a_failure(self, answer: bytes) -> None:
        """Another status or another body is counted, also outside of the measured time."""
        run = Run(b"", b"success")
        run.count(answer, 0.0, 1.0)
        assert run.failures == 1


class TestReport:
    """What is written down."""

    def test_every_chart_is_xml_with_a_title_and_a_description(self) -> None:
        """They can be drawn, and be read aloud."""
        made = charts.charts(a_report())
        assert set(made) == {"writes-200", "growth"}
        for chart in made.values():
            root = ElementTree.fromstring(chart)
            space = "{http://www.w3.org/2000/svg}"
            assert root.findtext(f"{space}title")
            assert root.findtext(f"{space}desc")

    def test_text_in_charts_is_escaped(self) -> None:
        """A label may hold any character."""
        chart = svg.bars("a < b", "a & b", [svg.Panel("<unit>", [("a > b", 1.0)])])
        assert "a > b" in "".join(ElementTree.fromstring(chart).itertext())

    def test_labels_do_not_cover_each_other(self) -> None:
        """Two lines that end at one place have labels below one another."""
        assert svg.spread({"a": 10.0, "b": 10.0, "c": 100.0}, 17.0) == {"a": 10.0, "b": 27.0, "c": 100.0}

    def test_a_report_comes_back_from_its_file(self, tmp_path: Path) -> None:
        """What is saved is what the next run goes on from, on the same machine only."""
        path = tmp_path / "latest.json"
        made = a_report()
        report.write(made, path)
        assert report.read(MACHINE, path) == made
        assert report.read(Machine("another", 2, "", "", {}), path).scenarios == {}

    def test_the_page_keeps_its_prose(self, tmp_path: Path) -> None:
        """Only what is between the markers is replaced, and doing it twice changes nothing."""
        page = tmp_path / "performance.md"
        page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
        report.update_page(a_report(), page)
        once = page.read_text()
        assert once.startswith("before\n")
        assert once.endswith("after\n")
        assert "old" not in once
        report.update_page(a_report(), page)
        assert page.read_text() == once

    def test_a_failed_scenario_is_named(self) -> None:
        """It has no figures, and the report says why."""
        made = a_report()
        made.failed["batches"] = "reference: a connection was lost\nmore"
        assert "no figures.** reference: a connection was lost" in report.markdown(made)


class TestLimits:
    """The short form."""

    def test_every_limit_is_looked_at(self) -> None:
        """A value over its limit fails, one at its limit does not, one that is missing does."""
        values = {limit.value: limit.most for limit in LIMITS}
        assert quick.over_limit(values) == []
        assert len(quick.over_limit({name: value * 1.01 for name, value in values.items()})) == len(LIMITS)
        assert len(quick.over_limit({})) == len(LIMITS)
