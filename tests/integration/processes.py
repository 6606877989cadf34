"""logbridge processes of a test: start them, read what they say, end them."""

import contextlib
import json
import os
import random
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import httpx

from tests.factories import coalesces
from tests.integration.served import API

DEADLINE_S = 60.0


def start(
    folder: Path,
    *arguments: str,
    before: Sequence[str] = (),
    stdin: int | None = None,
    hand_over: Sequence[int] = (),
    **variables: str,
) -> subprocess.Popen[str]:
    """A logbridge process of our own, with its settings in a folder of its own.

    before: a command that runs it, such as ("unshare", "--mount"). stdin: an open file, None for ours.
    hand_over: file descriptors that it gets.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOGBRIDGE_")}
    environment |= {"XDG_STATE_HOME": str(folder / "state"), "COLUMNS": "200"}
    environment |= {"LOGBRIDGE_COALESCE": str(coalesces()).lower(), **variables}
    return subprocess.Popen(
        [*before, sys.executable, "-m", "logbridge", *arguments],
        cwd=folder,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=hand_over,
        text=True,
    )


def read_until(stream: IO[Any], pattern: str) -> re.Match[str]:
    """Read a process's output until the pattern is there."""
    text = ""
    deadline_s = time.monotonic() + DEADLINE_S
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while time.monotonic() < deadline_s and selector.select(deadline_s - time.monotonic()):
            piece = os.read(stream.fileno(), 65536).decode()
            text += piece
            if match := re.search(pattern, text):
                return match
            if not piece:
                break
    raise AssertionError(f"{pattern!r} did not come, but: {text}")


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Stop a process; its exit code and its last words on stderr."""
    if process.poll() is None:
        process.send_signal(number)
    _, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, err


def ran(*command: str, cwd: Path, given: str | None = None) -> str:
    """What a command says, on either stream; it must be content. given: what it reads."""
    done = subprocess.run(
        command, cwd=cwd, input=given, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# A request on a connection of its own, which any of several workers may get.
ALONE = {"Connection": "close"}


class Bridge(NamedTuple):
    """A running ``logbridge serve``, and a client of it. process: the first of its processes."""

    process: subprocess.Popen[str]
    client: httpx.Client

    def write(self, message: str, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        """The answer to a write."""
        return self.client.post(f"{API}/write", json={"message": message, **fields}, headers=headers)

    def write_durably(self, message: str, **fields: Any) -> httpx.Response:
        """The answer to a write that asks for a 202."""
        return self.write(message, {"Prefer": "respond-async"}, **fields)

    def learn_that_it_is_away(self) -> None:
        """Have the log service count as away: it failed several writes at once."""
        answer = self.client.post(f"{API}/concurrent-test", json={"count": 10, "max_workers": 10})
        assert answer.status_code == 503

    def stored(self) -> list[str]:
        """The messages of all logs at the log service, newest first; none while it cannot be asked."""
        answer = self.client.get(f"{API}/query", params={"limit": 1000}, headers=ALONE)
        return [log["message"] for log in answer.json()["logs"]]


def records_of(err: str) -> list[dict[str, Any]]:
    """The records of a process's own log, of what it wrote to stderr; lines for people are left out."""
    return [json.loads(line) for line in err.splitlines() if line.startswith("{")]


def tells_of_a_fault(err: str) -> bool:
    """Whether a process told, on stderr, of an error that nobody expected."""
    return "Traceback" in err or any("error" in record for record in records_of(err))


@contextlib.contextmanager
def bridge(
    folder: Path, sink: str, *arguments: str, port: int = 0, before: Sequence[str] = (), **variables: str
) -> Iterator[Bridge]:
    """A bridge in front of ``sink``. At the end it must stop with 0 and without a fault.

    port: 0 for any free one.
    """
    settings = {"HOST": "127.0.0.1", "LOGBRIDGE_SINK": sink, "LOGBRIDGE_DRAIN_NOTICE_S": "0", **variables}
    process = start(folder, "serve", "--port", str(port), *arguments, before=before, **settings)
    try:
        assert process.stdout is not None
        url = read_until(process.stdout, r"listens at (http://[\d.:]+),")[1]
        with httpx.Client(base_url=url, timeout=DEADLINE_S) as client:
            yield Bridge(process, client)
    except BaseException:
        process.kill()
        print(end(process)[1])  # pytest shows it beside the failure
        raise
    code, err = end(process)
    assert code in (0, -signal.SIGKILL), err
    assert not tells_of_a_fault(err), err


@contextlib.contextmanager
def log_service(
    folder: Path, port: int, host: str = "127.0.0.1", **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """A log service with its store in ``folder``."""
    process = start(
        folder,
        "service",
        "--grpc-server-port",
        str(port),
        LOGBRIDGE_SERVICE_HOST=host,
        LOGBRIDGE_STORE="sqlite:///logs.db",
        **variables,
    )
    try:
        assert process.stderr is not None
        read_until(process.stderr, "log service listens on")
        yield process
    finally:
        end(process)


def free_port() -> int:
    """A port on which nothing listens, never the same twice.

    Below those that Linux gives to outgoing connections: while a test lets nobody listen there, none gets it.
    """
    for port in _ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("this process of tests has used up its ports")


def _own_ports() -> Iterator[int]:
    """Those of this one of the processes that run tests side by side."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw15").removeprefix("gw")) % 16
    own = range(12_000 + number, 32_000, 16)
    return iter(random.Random().sample(own, len(own)))


_ports = _own_ports()


@contextlib.contextmanager
def held_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that stays ours: nobody listens there until the test lets somebody."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, 0))
        yield held.getsockname()[1]


def until(true: Callable[[], object]) -> None:
    """Returns once it is true."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
