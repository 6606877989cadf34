"""The command line against real processes: dev, and every command that talks to it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import DEADLINE_S, end, free_port, read_until, start
from tests.integration.test_client import run_python

# A check's five thousand writes at once may take a busy machine longer than a write's ten seconds.
_PATIENT = {"LOGBRIDGE_REQUEST_TIMEOUT_S": "120", "LOGBRIDGE_ATTEMPT_TIMEOUT_S": "120"}


class Dev:
    """A running ``logbridge dev`` and commands that talk to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = start(
            folder,
            "dev",
            "--port",
            str(free_port()),
            "--grpc-server-port",
            str(free_port()),
            HOST="127.0.0.1",
            GRPC_SERVER_HOST="127.0.0.1",
            **_PATIENT,
        )
        assert self.process.stdout is not None
        ready = read_until(
            self.process.stdout,
            r"logbridge is ready: (\S+)(?s:.)*log service +([\d.:]+),(?s:.)*Ctrl-C stops both",
        )
        self.url, self.service = ready[1], ready[2]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        places = {"LOGBRIDGE_URL": self.url, "LOGBRIDGE_SINK": f"grpc://{self.service}"}
        return start(self.folder, *arguments, **places, **_PATIENT)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=DEADLINE_S)
        return process.returncode, out, err

    def query(self, *arguments: str) -> Any:
        code, out, err = self.run("query", "--json", *arguments)
        assert code == 0, err
        return json.loads(out)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One dev for the tests that leave it running."""
    running = Dev(tmp_path_factory.mktemp("dev"))
    yield running
    assert end(running.process, signal.SIGINT)[0] == 0


def test_a_command_loads_what_is_its_own() -> None:
    """Who starts the bridge does not wait for what other commands import; the list tells of them all."""
    code = """
import sys
from logbridge.entrypoints.cli import app, run
app["serve"]
import logbridge.entrypoints.http.server
assert not {"httpx", "logbridge.entrypoints.commands.talk"} & set(sys.modules)
run([])
"""
    done = run_python(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(
        words in done.stdout for words in ("serve    Start the bridge alone", "query   Show stored logs")
    )


def test_written_log_can_be_queried(dev: Dev) -> None:
    """What write acknowledged, query shows under its id."""
    code, out, _ = dev.run("write", "order paid", "--service", "shop", "adv_id=7")
    assert code == 0
    log = dev.query("--service", "shop", "--metadata", "adv_id=7")["logs"][0]
    assert (log["id"], log["message"]) == (out.strip(), "order paid")


def test_tail_shows_new_logs(dev: Dev) -> None:
    """tail prints a log that is written while it follows, and ends after --count."""
    tail = dev.start("tail", "--service", "tailed", "--count", "1", "--json")
    deadline_s = time.monotonic() + DEADLINE_S
    # The connection stands at a time that only the first log tells.
    while tail.poll() is None and time.monotonic() < deadline_s:
        dev.run("write", "new", "--service", "tailed")
    out, _ = tail.communicate(timeout=DEADLINE_S)
    assert json.loads(out)["message"] == "new"
    assert tail.returncode == 0


def test_killed_import_goes_on_without_doubles(dev: Dev) -> None:
    """An import that is killed in the middle and run again stores each line once."""
    count = 20_000
    file = dev.folder / "app.log"
    file.write_bytes(b"".join(b"ERROR same line \xff\n" if n % 2 else b"line %d\n" % n for n in range(count)))
    states_before = set((dev.folder / "state").rglob("*.json"))
    first = dev.start("import", str(file), "--service", "imported")
    deadline_s = time.monotonic() + DEADLINE_S
    while set((dev.folder / "state").rglob("*.json")) == states_before and time.monotonic() < deadline_s:
        assert first.poll() is None
    first.kill()
    first.communicate(timeout=DEADLINE_S)
    code, out, err = dev.run("import", str(file), "--service", "imported", "--json")
    assert code == 0, err
    summary = json.loads(out)
    assert summary["resumed"] > 0
    assert summary["imported"] + summary["resumed"] == count
    assert dev.query("--service", "imported", "--limit", "1")["total_count"] == count
    assert dev.query("--service", "imported", "--level", "ERROR", "--limit", "1")["total_count"] == count // 2
    assert dev.run("import", str(file), "--service", "imported", "--restart")[0] == 0
    assert dev.query("--service", "imported", "--limit", "1")["total_count"] == count


def test_import_reports_a_line_over_the_limit(dev: Dev) -> None:
    """A line that no entry can hold is reported with its number; its neighbours are stored."""
    file = dev.folder / "long.log"
    file.write_bytes(b"before\n" + b"x" * 300_000 + b"\nafter\n")
    code, out, err = dev.run("import", str(file), "--service", "long")
    assert (code, out) == (1, "2 imported, 1 failed, 0 empty skipped\n")
    assert err.startswith("logbridge: long.log:2: ")


@pytest.mark.parametrize("kind", ["http", "direct"])
def test_checks_pass(dev: Dev, kind: str) -> None:
    """Both test tools are green against a running dev."""
    code, out, err = dev.run("check", kind)
    assert code == 0, out + err
    assert ", 0 failed" in out


def test_killed_log_service_comes_back(tmp_path: Path) -> None:
    """dev restarts a log service that was killed, and the log acknowledged before is there."""
    with contextlib.ExitStack() as stack:
        dev = Dev(tmp_path)
        stack.callback(end, dev.process)
        assert dev.run("write", "acknowledged", "--service", "kept")[0] == 0
        os.kill(_service_pid(dev), signal.SIGKILL)
        assert dev.process.stderr is not None
        read_until(dev.process.stderr, r"killed by signal 9(?s:.)*log service listens")
        code, out, err = dev.run("query", "--service", "kept", "--json")
        deadline_s = time.monotonic() + DEADLINE_S
        while code and time.monotonic() < deadline_s:
            code, out, err = dev.run("query", "--service", "kept", "--json")
        assert code == 0, err
        assert json.loads(out)["total_count"] == 1
        assert end(dev.process)[0] == 0


def test_killed_dev_leaves_no_orphans(tmp_path: Path) -> None:
    """When dev itself is killed, its children end by themselves and give their ports back."""
    dev = Dev(tmp_path)
    children = _children(dev)
    assert len(children) == 2
    dev.process.kill()
    dev.process.communicate(timeout=DEADLINE_S)
    deadline_s = time.monotonic() + DEADLINE_S
    while any(Path(f"/proc/{pid}/exe").exists() for pid in children):
        assert time.monotonic() < deadline_s


def test_a_second_ctrl_c_ends_dev_at_once(tmp_path: Path) -> None:
    """A bridge that waits for a stopped log service is not waited for."""
    with contextlib.ExitStack() as stack:
        dev = Dev(tmp_path)
        stack.callback(end, dev.process)
        children = _children(dev)
        os.kill(_service_pid(dev), signal.SIGSTOP)
        stack.callback(end, dev.start("write", "unanswered"))
        dev.process.send_signal(signal.SIGINT)
        port = int(dev.url.rpartition(":")[2])
        deadline_s = time.monotonic() + DEADLINE_S
        while _listens(port):
            assert time.monotonic() < deadline_s
        assert end(dev.process, signal.SIGINT)[0] == 0
        assert not any(Path(f"/proc/{pid}/exe").exists() for pid in children)


def _listens(port: int) -> bool:
    with contextlib.suppress(ConnectionResetError), socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
    return True


def _children(dev: Dev) -> list[int]:
    return [
        int(pid)
        for pid in Path(f"/proc/{dev.process.pid}/task/{dev.process.pid}/children").read_text().split()
    ]


def _service_pid(dev: Dev) -> int:
    return next(
        pid for pid in _children(dev) if b"service" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    )


def test_dev_says_that_a_port_is_taken(tmp_path: Path) -> None:
    """A taken port is one line that names the setting, and nothing stays behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(
            tmp_path, "dev", "--host", "127.0.0.1", "--port", str(port), "--grpc-server-port", "0"
        )
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert err.startswith(f"logbridge: PORT={port}: cannot listen on 127.0.0.1")


def test_failing_log_service_stops_dev(tmp_path: Path) -> None:
    """A log service that cannot open its store ends dev with its line and its code."""
    (tmp_path / "file").write_text("")
    process = start(
        tmp_path,
        "dev",
        "--port",
        "0",
        "--grpc-server-port",
        "0",
        "--store",
        "sqlite:///file/logs.db",
        HOST="127.0.0.1",
    )
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "Traceback" not in err
