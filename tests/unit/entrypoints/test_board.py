"""The board of workers: whoever is asked tells of all of them, and no total goes down."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from logbridge.domain.measures import Measures
from logbridge.domain.outcome import Accepted, Failed
from logbridge.entrypoints.board import Board, Report, bury
from logbridge.entrypoints.pulse import Second


class Worker:
    """A worker without its process."""

    def __init__(self, folder: Path | None, pid: int, started_s: float = 1.0) -> None:
        self.pid = pid
        self.measures = Measures()
        self.board = Board(folder, self.report)
        self._started_s = started_s

    def report(self) -> Report:
        return Report(
            pid=self.pid,
            started_s=self._started_s,
            counts=self.measures.counts,
            history=[Second(1, [1] * 5, 1, 1, [1] * 24)],
            failures=self.measures.failures,
            in_flight_entries=3,
        )

    def count(self) -> None:
        self.measures.outcome(Accepted("a"), "")
        self.measures.request("POST", "/write", 200, 0.1)

    def total(self) -> int:
        return self.board.seen().counts.entries["accepted"]


def test_one_process_needs_no_folder() -> None:
    """It tells what it has counted up to now."""
    worker = Worker(None, 1)
    worker.count()
    assert worker.total() == 1
    assert [report.pid for report in worker.board.seen().running] == [1]


def test_whoever_is_asked_tells_of_all(tmp_path: Path) -> None:
    """Everything of the others' reports arrives: counts by method, route and status, history, failures."""
    one, two = Worker(tmp_path, 1), Worker(tmp_path, 2)
    one.count()
    one.measures.outcome(Failed("a", "why"), "shop")
    one.board.pin()
    seen = two.board.seen()
    assert [report.pid for report in seen.running] == [2, 1]
    assert seen.running[1] == one.report()
    assert seen.counts.requests[("POST", "/write", 200)].count == 1


def test_who_was_buried_counts_on_and_is_no_worker(tmp_path: Path) -> None:
    """Of a worker that died the totals stay; its history, its failures and how it was are gone."""
    one, two = Worker(tmp_path, 1, started_s=1.0), Worker(tmp_path, 2, started_s=2.0)
    one.count()
    one.board.pin()
    bury(tmp_path, 1)
    seen = two.board.seen()
    assert [report.pid for report in seen.running] == [2]
    assert (two.total(), seen.started_s) == (1, 1.0)


def test_a_process_id_may_come_again(tmp_path: Path) -> None:
    """A new worker with the number of a buried one counts beside it."""
    other = Worker(tmp_path, 2)
    for started_s in (1.0, 2.0, 3.0):
        again = Worker(tmp_path, 1, started_s)
        again.count()
        again.board.pin()
        assert other.total() == started_s
        bury(tmp_path, 1)
        assert other.total() == started_s


def test_who_is_being_buried_counts_once(tmp_path: Path) -> None:
    """Between the two steps of a burial a report is there twice, and counts once."""
    one, two = Worker(tmp_path, 1), Worker(tmp_path, 2)
    one.count()
    one.board.pin()
    [report] = tmp_path.glob("1-*")
    content = report.read_bytes()
    bury(tmp_path, 1)
    report.write_bytes(content)
    assert two.total() == 1


@pytest.mark.parametrize("content", [b"", b"\x85", b"nonsense", b"\x80"])
def test_half_a_report_is_none(tmp_path: Path, content: bytes) -> None:
    """What a worker left half written harms nobody, and its burial neither."""
    (tmp_path / "1-1.000000").write_bytes(content)
    (tmp_path / ".1").write_bytes(content)
    worker = Worker(tmp_path, 2)
    assert [report.pid for report in worker.board.seen().running] == [2]
    bury(tmp_path, 1)
    bury(tmp_path, 7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2-1.000000"]


def test_a_folder_that_is_gone_is_told_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its folder a worker tells what it knows itself."""
    worker = Worker(tmp_path / "gone", 1)
    worker.count()
    assert worker.total() == 1
    assert "cannot be shown" in caplog.text


class Life(RuleBasedStateMachine):
    """Workers count, are asked, die and are buried in any order."""

    folder: Path

    @initialize()
    def begin(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()
        self.pids = 2
        self.workers = [Worker(self.folder, 1), Worker(self.folder, 2)]
        self.dead: list[int] = []
        self.told = self.most = 0

    @rule(index=st.integers(0, 9))
    def count(self, index: int) -> None:
        self.workers[index % len(self.workers)].count()
        self.most += 1

    @rule(index=st.integers(0, 9))
    def beat(self, index: int) -> None:
        self.workers[index % len(self.workers)].board.pin()

    @rule(index=st.integers(0, 9))
    def ask(self, index: int) -> None:
        total = self.workers[index % len(self.workers)].total()
        assert self.told <= total <= self.most
        self.told = total

    @rule(index=st.integers(0, 9))
    def die(self, index: int) -> None:
        self.dead.append(self.workers.pop(index % len(self.workers)).pid)
        self.pids += 1
        self.workers.append(Worker(self.folder, self.pids))

    @rule()
    def be_buried(self) -> None:
        for pid in self.dead:
            bury(self.folder, pid)
        self.dead.clear()

    @invariant()
    def leave_no_more_files_than_workers(self) -> None:
        assert len(os.listdir(self.folder)) <= len(self.workers) + len(self.dead) + 1


def test_no_total_ever_goes_down(tmp_path: Path) -> None:
    """Whoever is asked, whenever somebody dies: never less than was told before, never more than happened."""
    machine: Any = type("Life", (Life,), {"folder": tmp_path})
    run_state_machine_as_test(machine, settings=settings(max_examples=60))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(deaths=st.lists(st.integers(0, 5), max_size=120))
def test_any_number_of_deaths_leaves_one_file(tmp_path: Path, deaths: list[int]) -> None:
    """A worker that dies again and again leaves its counts, and no pile of files or names."""
    for path in tmp_path.iterdir():
        path.unlink()
    for number, count in enumerate(deaths, 1):
        worker = Worker(tmp_path, number)
        for _ in range(count):
            worker.count()
        worker.board.pin()
        bury(tmp_path, number)
    last = Worker(tmp_path, 1000)
    assert last.total() == sum(deaths)
    assert len(os.listdir(tmp_path)) == 1 + bool(deaths)
    gone = last.board.seen().gone
    assert gone is None or len(gone.buried) <= 100
