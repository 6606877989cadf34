"""Statistics and metrics of a running bridge, also of one with several workers of which one dies."""

import contextlib
import itertools
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.processes import (
    ALONE,
    DEADLINE_S,
    Bridge,
    bridge,
    end,
    free_port,
    log_service,
    read_until,
    start,
    until,
)
from tests.integration.served import API
from tests.integration.workers import gone, workers_of

LOGS = 20


@contextlib.contextmanager
def two_workers(folder: Path, **variables: str) -> Iterator[Bridge]:
    """A bridge of two processes in front of a log service."""
    port = free_port()
    with (
        log_service(folder, port),
        bridge(folder, f"grpc://127.0.0.1:{port}", "--workers", "2", **variables) as running,
    ):
        yield running


def stats(running: Bridge, **params: int) -> dict[str, Any]:
    """From whichever worker takes the connection."""
    answer = running.client.get(f"{API}/stats", params=params, headers=ALONE)
    return json.loads(answer.raise_for_status().text)  # type: ignore[no-any-return]  # it is an object


def accepted(running: Bridge) -> tuple[int, int]:
    """Accepted logs as the statistics tell, and as the metrics do after that."""
    total = stats(running)["performance"]["logs"]["accepted"]
    return total, int(values(running)[("logbridge_logs_total", "accepted")])


def values(running: Bridge) -> dict[tuple[str, ...], float]:
    """Every sample of the metrics by its name and the values of its labels."""
    text = running.client.get("/metrics", headers=ALONE).raise_for_status().text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in text_string_to_metric_families(text)
        for sample in metric.samples
    }


class Watch:
    """Asks whichever worker, and sees that no total goes down."""

    def __init__(self, running: Bridge) -> None:
        self._running = running
        self.total = 0

    def sees(self, true: Callable[[int, dict[str, Any]], bool]) -> bool:
        """Whether it holds for the total and the statistics; a worker that ends may take an answer along, or
        refuse it.
        """
        try:
            told = stats(self._running)
            total, metric = accepted(self._running)
        except httpx.TransportError:
            return False
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 503:
                raise
            return False
        for seen in (told["performance"]["logs"]["accepted"], total, metric):
            assert seen >= self.total
            self.total = seen
        return true(self.total, told)


def write(running: Bridge, count: int) -> None:
    for _ in range(count):
        assert running.write("m", ALONE).status_code == 200


def test_whichever_worker_answers_counts_all(tmp_path: Path) -> None:
    """Two workers, each with logs of its own: every answer has all of them, and never fewer than before."""
    with two_workers(tmp_path) as running:
        watch = Watch(running)
        write(running, LOGS)
        until(lambda: watch.sees(lambda total, _: total == LOGS))
        write(running, LOGS)
        until(lambda: watch.sees(lambda total, _: total == 2 * LOGS))
        until(lambda: watch.sees(lambda _, told: told["workers"] == 2))
        for _ in range(LOGS):
            assert watch.sees(lambda total, told: total == 2 * LOGS and told["workers"] == 2)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_ends_takes_no_total_with_it(tmp_path: Path, how: signal.Signals) -> None:
    """Killed, or hung and so killed: totals stay, another worker takes its place, nothing is left behind."""
    (tmp_path / "tmp").mkdir()
    with two_workers(tmp_path, TMPDIR=str(tmp_path / "tmp")) as running:
        watch = Watch(running)
        write(running, LOGS)
        until(lambda: watch.sees(lambda total, told: (total, told["workers"]) == (LOGS, 2)))
        victim, other = workers_of(running.process.pid)
        os.kill(victim, how)
        until(lambda: watch.sees(lambda *_: len({*workers_of(running.process.pid)} - {victim, other}) > 0))
        until(lambda: watch.sees(lambda _, told: told["workers"] == 2) and gone([victim]))
        write(running, LOGS)
        until(lambda: watch.sees(lambda total, told: (total, told["workers"]) == (2 * LOGS, 2)))
        [board] = (tmp_path / "tmp").iterdir()
        assert len(list(board.glob("[0-9]*"))) == 2
    assert list((tmp_path / "tmp").iterdir()) == []


def test_workers_that_are_replaced_take_no_total_with_them(tmp_path: Path) -> None:
    """After SIGHUP, which replaces one after the other, the totals are those of before."""
    with two_workers(tmp_path) as running:
        watch = Watch(running)
        write(running, LOGS)
        until(lambda: watch.sees(lambda total, told: (total, told["workers"]) == (LOGS, 2)))
        before = workers_of(running.process.pid)
        running.process.send_signal(signal.SIGHUP)
        until(lambda: watch.sees(lambda *_: gone(before)))
        until(lambda: watch.sees(lambda total, told: (total, told["workers"]) == (LOGS, 2)))


def test_who_ends_at_once_leaves_nothing(tmp_path: Path) -> None:
    """A second signal ends it before anything else does: no file of the board is left."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    settings = {"HOST": "127.0.0.1", "LOGBRIDGE_DRAIN_NOTICE_S": "30"}
    process = start(tmp_path, "serve", "--port", "0", "--workers", "2", TMPDIR=str(folder), **settings)
    assert process.stdout is not None
    url = read_until(process.stdout, r"listens at (http://[\d.:]+),")[1]
    with httpx.Client(base_url=url, headers=ALONE, timeout=DEADLINE_S) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        assert len(list(folder.iterdir())) == 1
        process.send_signal(signal.SIGTERM)
        until(lambda: client.get("/readyz").status_code == 503)
    assert end(process)[0] == -signal.SIGTERM
    assert list(folder.iterdir()) == []


def test_events_have_each_second_once(tmp_path: Path) -> None:
    """An event at once with the past that was asked for; then, one after the other, what came since."""
    with two_workers(tmp_path) as running, contextlib.ExitStack() as stack:
        until(lambda: stats(running)["workers"] == 2)
        params, headers = {"history": 300}, {"accept": "text/event-stream"}
        answer = stack.enter_context(
            running.client.stream("GET", f"{API}/stats", params=params, headers=headers)
        )
        assert answer.headers["content-type"].startswith("text/event-stream")
        write(running, LOGS)
        points: list[dict[str, Any]] = []
        # Far more lines than it takes: one that is never told must not be waited for.
        for line in itertools.islice(answer.iter_lines(), 100):
            if line.startswith("data:"):
                points += json.loads(line.removeprefix("data:"))["performance"]["history"]
            if len(points) > 4 and sum(point["accepted"] for point in points) == LOGS:
                break
    times = [point["time"] for point in points]
    assert times == sorted(set(times))
    assert sum(point["accepted"] for point in points) == LOGS
    assert sum(point["requests"] for point in points) >= LOGS


def test_what_was_refused_is_told_by_why(tmp_path: Path) -> None:
    """What was no request, no route, too large, no JSON, or asked with a wrong key: each has its name."""
    with bridge(tmp_path, "memory://", LOGBRIDGE_BODY_BYTES_MAX="1024") as running:
        host, port = running.client.base_url.host, running.client.base_url.port
        with socket.create_connection((host, port or 0), timeout=30) as connection:
            connection.sendall(b"nonsense\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 400")
        running.client.request("PROPFIND", "/nowhere")
        running.client.post(f"{API}/write", content="{")
        running.client.post(f"{API}/write", content="{" + " " * 2000)
        running.client.get(f"{API}/query?no=1")
        running.write("m")
        running.write("")
        found = values(running)
    reasons = {name[1]: count for name, count in found.items() if name[0] == "logbridge_http_refusals_total"}
    assert {reason: count for reason, count in reasons.items() if count} == {
        "not HTTP": 1, "body not readable": 1, "body too large": 1, "invalid request": 1,
    }  # fmt: skip
    durations = "logbridge_http_request_duration_seconds_count"
    requests = {name[1:]: count for name, count in found.items() if name[0] == durations}
    assert requests == {
        ("other", "other", "404"): 1,
        ("GET", f"{API}/query", "422"): 1,
        ("POST", f"{API}/write", "200"): 1,
        ("POST", f"{API}/write", "400"): 1,
        ("POST", f"{API}/write", "413"): 1,
        ("POST", f"{API}/write", "422"): 1,
    }
    assert found[("logbridge_http_connections",)] >= 1


def test_a_log_service_that_is_back_is_told_though_nobody_writes(tmp_path: Path) -> None:
    """Each worker of a bridge that only answers questions about itself asks for its log service."""
    port = free_port()
    with bridge(tmp_path, f"grpc://127.0.0.1:{port}", "--workers", "2") as running:

        def away() -> bool:
            running.write("m", ALONE)
            return values(running)[("logbridge_upstream_away",)] == 1

        until(away)
        with log_service(tmp_path, port):
            until(lambda: values(running)[("logbridge_upstream_away",)] == 0)


def test_the_spool_is_told_of(tmp_path: Path) -> None:
    """Behind a log service that is away, what waits shows: how many, since when, and that it is away."""
    spool = f"sqlite:///{tmp_path}/spool"
    with bridge(tmp_path, "grpc://127.0.0.1:1", LOGBRIDGE_SPOOL=spool) as running:
        for _ in range(LOGS):
            assert running.write_durably("m").status_code == 202

        def told() -> bool:
            found = values(running)
            return (
                found[("logbridge_spool_logs",)] == LOGS
                and found[("logbridge_spool_oldest_age_seconds",)] > 0
                and found[("logbridge_upstream_away",)] == 1
                and found[("logbridge_logs_total", "spooled")] == LOGS
            )

        until(told)
        shown = stats(running)
        assert (shown["spool"]["entries"], shown["upstream"]["state"]) == (LOGS, "away")
