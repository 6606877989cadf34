"""Several workers: how they are replaced, on demand and when they end, and what holds for all of them."""

import contextlib
import functools
import os
import pty
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from tests.integration.pouring import Following, Pouring, all_stored
from tests.integration.processes import (
    ALONE,
    DEADLINE_S,
    Bridge,
    bridge,
    end,
    free_port,
    held_port,
    log_service,
    read_until,
    start,
    until,
)
from tests.integration.served import API
from tests.integration.test_keys import create
from tests.integration.test_watch import values
from tests.integration.workers import gone, workers_of


@contextlib.contextmanager
def workers(folder: Path, number: int = 2, **variables: str) -> Iterator[Bridge]:
    """A bridge of several processes whose log service is away; all of them serve."""
    with (
        held_port() as port,
        bridge(folder, f"grpc://127.0.0.1:{port}", "--workers", str(number), **variables) as running,
    ):
        until(lambda: serving(running) == number)
        yield running


def serving(running: Bridge) -> int:
    """How many workers serve, as whichever of them tells; 0 if that is the one that ends, or has ended."""
    try:
        answer = running.client.get(f"{API}/stats", headers=ALONE)
    except httpx.TransportError:
        return 0
    return 0 if answer.status_code == 503 else int(answer.json()["workers"])


def _serve(running: Bridge, number: int) -> bool:
    return serving(running) == number


def said(running: Bridge, pattern: str) -> str:
    """What the own log says next that matches."""
    return read_until(err_of(running), pattern)[0]


def err_of(running: Bridge) -> IO[Any]:
    assert running.process.stderr is not None
    return running.process.stderr


def pids_of(running: Bridge) -> list[int]:
    return workers_of(running.process.pid)


def alive(running: Bridge) -> bool:
    return running.client.get("/readyz", headers=ALONE).status_code == 200


def test_a_reload_under_load(tmp_path: Path) -> None:
    """SIGHUP replaces all: no request fails, no log is lost or stored twice, a tail misses nothing."""
    port = free_port()
    with (
        log_service(tmp_path, port),
        bridge(
            tmp_path, f"grpc://127.0.0.1:{port}", "--workers", "2", LOGBRIDGE_DRAIN_NOTICE_S="1"
        ) as running,
    ):
        until(lambda: serving(running) == 2)
        before = pids_of(running)
        pouring, following = Pouring(running), Following(running)
        with following.going_on():
            with pouring.going_on():
                running.process.send_signal(signal.SIGHUP)
                until(lambda: gone(before) and len(pids_of(running)) == 2)
            assert pouring.failed == []
            assert Counter(all_stored(running)) == Counter(pouring.acknowledged)
            until(lambda: len(following.seen) >= len(pouring.acknowledged))
            assert Counter(following.seen) == Counter(pouring.acknowledged)


def test_nobody_retires_before_the_next_one_serves(tmp_path: Path) -> None:
    """While a new worker does not get on, all old ones serve; if it ends, they stay, and the log says so."""
    with workers(tmp_path) as running:
        old = pids_of(running)
        running.process.send_signal(signal.SIGHUP)
        until(lambda: len(pids_of(running)) == 3)
        [new] = {*pids_of(running)} - {*old}
        os.kill(new, signal.SIGSTOP)
        assert all(alive(running) for _ in range(20))
        assert {*old} < {*pids_of(running)}
        os.kill(new, signal.SIGKILL)
        said(running, "was killed .* before it served: the reload ends here")
        assert pids_of(running) == old


def test_workers_that_cannot_start(tmp_path: Path) -> None:
    """They neither end the others nor are started without a pause; the log says why; repaired, all serve."""
    key = create(tmp_path, "me", "--scope", "read")
    keys = tmp_path / "keys.json"
    good = keys.read_text()
    with (
        held_port() as port,
        bridge(
            tmp_path, f"grpc://127.0.0.1:{port}", "--workers", "2", LOGBRIDGE_KEYS_FILE=str(keys)
        ) as running,
    ):
        running.client.headers["X-API-Key"] = key
        until(lambda: serving(running) == 2)
        first, second = pids_of(running)
        keys.write_text("broken")
        running.process.send_signal(signal.SIGHUP)
        said(running, "ended with exit code 3 .* before it served: the reload ends here")
        os.kill(first, signal.SIGKILL)
        again = "ended with exit code 3 .*: another one starts in {} s, for this goes on"
        told = ("was killed .*: another one starts now", again.format(1), again.format(2))
        said(running, "(?s:.*)".join(told))
        assert alive(running)
        assert second in pids_of(running)
        keys.write_text(good)
        until(lambda: serving(running) == 2)
        assert second in pids_of(running)


def test_the_first_start_fails_at_once(tmp_path: Path) -> None:
    """A bridge of which no worker ever served ends with an error, for whoever starts it to see."""
    keys = tmp_path / "keys.json"
    keys.write_text("broken")
    variables = {
        "LOGBRIDGE_SINK": "grpc://127.0.0.1:1",
        "LOGBRIDGE_KEYS_FILE": str(keys),
        "HOST": "127.0.0.1",
    }
    process = start(tmp_path, "serve", "--port", "0", "--workers", "2", **variables)
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 3, err
    assert "keys.json" in err


def test_one_more_and_one_less(tmp_path: Path) -> None:
    """SIGTTIN and SIGTTOU change the number of workers, down to one; the totals stay."""
    with workers(tmp_path) as running:
        for number, expected in (
            (signal.SIGTTIN, 3),
            (signal.SIGTTOU, 2),
            (signal.SIGTTOU, 1),
            (signal.SIGTTOU, 1),
        ):
            running.process.send_signal(number)
            until(functools.partial(_serve, running, expected))
            assert values(running)[("logbridge_in_flight_max_logs",)] == 10_000 * expected
            assert alive(running)


def test_a_worker_that_is_stopped_alone_leaves_the_door_open(tmp_path: Path) -> None:
    """Whoever connects after its last call reaches the other one, and the one that takes its place."""
    with workers(tmp_path, LOGBRIDGE_DRAIN_NOTICE_S="0.1") as running:
        stopped, other = pids_of(running)
        os.kill(stopped, signal.SIGTERM)
        until(lambda: gone([stopped]))
        until(lambda: len(pids_of(running)) == 2)
        assert other in pids_of(running)
        for _ in range(30):
            assert running.client.get("/livez", headers=ALONE).status_code == 200


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")])
def test_a_hangup_ends_nobody(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """SIGHUP to every process of the bridge: it serves on, with or without workers."""
    with held_port() as port, bridge(tmp_path, f"grpc://127.0.0.1:{port}", *arguments) as running:
        until(lambda: alive(running) and len(pids_of(running)) == (2 if arguments else 0))
        until(lambda: serving(running) == (2 if arguments else 1))
        for pid in (*pids_of(running), running.process.pid):
            os.kill(pid, signal.SIGHUP)
        said(running, "SIGHUP: nothing to do, keys and certificates are read again by themselves")
        assert alive(running)
        assert running.process.poll() is None


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")])
def test_a_terminal_that_is_closed_ends_it(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Nobody is left who could end it: it drains, as after SIGTERM, and leaves the port."""
    ours, theirs = pty.openpty()
    with held_port() as port:
        settings = {"LOGBRIDGE_SINK": f"grpc://127.0.0.1:{port}", "HOST": "127.0.0.1"}
        process = start(tmp_path, "serve", "--port", "0", *arguments, stdin=theirs, **settings)
        os.close(theirs)
        try:
            assert process.stdout is not None
            url = read_until(process.stdout, r"listens at (http://[\d.:]+),")[1]
            until(lambda: httpx.get(f"{url}/readyz", timeout=DEADLINE_S).status_code == 200)
            os.close(ours)
            process.send_signal(signal.SIGHUP)
            assert process.wait(DEADLINE_S) == 0
        finally:
            end(process, signal.SIGKILL)


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")])
def test_who_had_hangups_ignored_outlives_the_terminal(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """As nohup does: the terminal is closed, and it serves on."""
    ours, theirs = pty.openpty()
    ignoring = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    settings = {"LOGBRIDGE_SINK": "grpc://127.0.0.1:1", "HOST": "127.0.0.1"}
    process = start(tmp_path, "serve", "--port", "0", *arguments, before=ignoring, stdin=theirs, **settings)
    os.close(theirs)
    try:
        assert process.stdout is not None
        url = read_until(process.stdout, r"listens at (http://[\d.:]+),")[1]
        until(lambda: httpx.get(f"{url}/readyz", timeout=DEADLINE_S).status_code == 200)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        # The line that it writes instead shows that the signal was heard.
        assert process.stderr is not None
        read_until(process.stderr, "SIGHUP")
        assert httpx.get(f"{url}/readyz", timeout=DEADLINE_S).status_code == 200
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    finally:
        end(process, signal.SIGKILL)


def test_a_rate_holds_for_all_workers(tmp_path: Path) -> None:
    """Three workers let through what one would, whichever is asked."""
    with (
        held_port() as port,
        bridge(
            tmp_path, f"grpc://127.0.0.1:{port}", "--workers", "3", LOGBRIDGE_ADDRESS_RATE="50/h"
        ) as running,
    ):
        until(lambda: alive(running) and len(pids_of(running)) == 3)
        statuses = [status for pid in pids_of(running) for status in asked(running, pid, 20)]
        assert statuses == [200] * 50 + [429] * 10


def asked(running: Bridge, pid: int, count: int) -> list[int]:
    """What one worker answers, each time on a new connection; the others hold still meanwhile."""
    others = {*pids_of(running)} - {pid}
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        assert alive(running)
        return [running.client.get(f"{API}/stats", headers=ALONE).status_code for _ in range(count)]
    finally:
        for other in others:
            with contextlib.suppress(ProcessLookupError):  # who holds still for long counts as hung
                os.kill(other, signal.SIGCONT)
