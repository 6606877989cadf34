"""`logbridge top` on a terminal of its own and in a pipe, before a real bridge."""

import contextlib
import fcntl
import json
import os
import re
import selectors
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.processes import (
    DEADLINE_S,
    bridge,
    end,
    free_port,
    read_until,
    start,
    tells_of_a_fault,
    until,
)
from tests.integration.served import API
from tests.integration.test_keys import create

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_OTHER_SCREEN, _OWN_SCREEN, _CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


class Terminal:
    """A terminal that runs `logbridge top`, and what came on its screen."""

    def __init__(self, folder: Path, url: str, **variables: str) -> None:
        self._master, self._slave = os.openpty()
        self.resize(80, 24)
        self.modes = termios.tcgetattr(self._slave)
        self.seen = ""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOGBRIDGE_")}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environment.pop(name, None)
        # setsid: keys such as Ctrl-C, and changes of size, are for who has the terminal.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-m", "logbridge", "top", "--url", url],
            cwd=folder,
            env=environment | {"TERM": "xterm-256color", "LANG": "C.UTF-8", **variables},
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
        )

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read(self) -> None:
        """What has come since, if anything."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._master, selectors.EVENT_READ)
            while selector.select(0.02):
                self.seen += os.read(self._master, 65536).decode(errors="replace")

    def shows(self, pattern: str) -> bool:
        """Whether it came since the last time that something was found."""
        self.read()
        found = re.search(pattern, _CODES.sub("", self.seen))
        if found:
            self.seen = ""
        return bool(found)

    def ended(self) -> int:
        """Its exit code; all that it wrote is in ``seen``."""
        deadline_s = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline_s
            self.read()
        self.read()
        return self.process.returncode

    def is_restored(self) -> bool:
        """Whether it is as it was: own screen, cursor, lines and echo."""
        return (
            self.seen.rfind(_OWN_SCREEN) > self.seen.rfind(_OTHER_SCREEN)
            and _CURSOR in self.seen
            and termios.tcgetattr(self._slave) == self.modes
        )

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self._slave)


@contextlib.contextmanager
def terminal(folder: Path, url: str, **variables: str) -> Iterator[Terminal]:
    """A terminal that runs `logbridge top`; what it shows last is printed if the test fails."""
    made = Terminal(folder, url, **variables)
    try:
        yield made
    except BaseException:
        print(repr(made.seen[-4000:]))  # pytest shows it beside the failure
        raise
    finally:
        made.close()


def test_it_shows_what_flows(tmp_path: Path) -> None:
    """Rates while logs come in; p holds the view and lets it go on; q ends it, the terminal as it was."""
    with bridge(tmp_path, "memory://") as running:

        def flows(pattern: str) -> bool:
            running.write("m")
            return view.shows(pattern)

        with terminal(tmp_path, str(running.client.base_url)) as view:
            until(lambda: flows(r"logs/s +[1-9]"))
            until(lambda: flows(r"Log service  available"))
            view.press("p")
            until(lambda: flows("PAUSED"))
            view.press("\x1bOQ\x1b[Bp")  # F2 and an arrow come as letters that nobody pressed
            until(lambda: flows(r" live "))
            view.press("q")
            assert view.ended() == 0
            assert view.is_restored()
            assert not tells_of_a_fault(view.seen)


@pytest.mark.parametrize("how", ["\x03", signal.SIGTERM, signal.SIGHUP])
def test_each_ending_restores_the_terminal(tmp_path: Path, how: str | signal.Signals) -> None:
    """Ctrl-C and the signals that end programs: 0, and the terminal as it was."""
    with bridge(tmp_path, "memory://") as running, terminal(tmp_path, str(running.client.base_url)) as view:
        until(lambda: view.shows("logs/s"))
        if isinstance(how, str):
            view.press(how)
        else:
            view.process.send_signal(how)
        assert view.ended() == 0
        assert view.is_restored()


def test_it_follows_the_size(tmp_path: Path) -> None:
    """A terminal that becomes smaller or larger is drawn anew for its size."""
    with bridge(tmp_path, "memory://") as running, terminal(tmp_path, str(running.client.base_url)) as view:
        until(lambda: view.shows("In flight"))
        view.resize(40, 10)
        until(lambda: view.shows(r"Writes over +1 s +1 min +5 min {1,3}\r?\n"))
        view.resize(160, 50)
        until(lambda: view.shows(r"at most \d+ in 1 min 5\d s"))


@contextlib.contextmanager
def bridge_at(folder: Path, port: int) -> Iterator[httpx.Client]:
    """A bridge at a port of our choice."""
    process = start(
        folder, "serve", "--port", str(port), HOST="127.0.0.1", LOGBRIDGE_SINK="memory://",
        LOGBRIDGE_DRAIN_NOTICE_S="0",
    )  # fmt: skip
    try:
        assert process.stdout is not None
        read_until(process.stdout, "listens at")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S) as client:
            yield client
    finally:
        end(process)


def test_a_bridge_that_comes_back_is_found(tmp_path: Path) -> None:
    """While it is away the header says so, and what was known stays; then it goes on, without a trace."""
    port = free_port()
    with contextlib.ExitStack() as stack:
        with bridge_at(tmp_path, port) as client:
            view = stack.enter_context(terminal(tmp_path, f"http://127.0.0.1:{port}"))
            client.post(f"{API}/write", json={"message": "m"}).raise_for_status()
            until(lambda: view.shows("logs/s"))
        until(lambda: view.shows(r"LOST for \d+ s, connecting again(?s:.)*logs/s"))
        with bridge_at(tmp_path, port):
            until(lambda: view.shows(" live "))
            view.press("q")
            assert view.ended() == 0
            assert view.is_restored()
            assert not tells_of_a_fault(view.seen)


def test_a_key_without_the_right_is_told(tmp_path: Path) -> None:
    """One line that says what to do, and no screen at all."""
    writer = create(tmp_path, "w", "--scope", "write")
    keys_file = {"LOGBRIDGE_KEYS_FILE": str(tmp_path / "keys.json")}
    with bridge(tmp_path, "memory://", **keys_file) as running:
        for key, told in (("", "LOGBRIDGE_KEY"), (writer, "needs the scope read")):
            with terminal(tmp_path, str(running.client.base_url), LOGBRIDGE_KEY=key) as view:
                assert view.ended() == 1
                assert view.seen.count("\n") == 1
                assert told in view.seen
                assert _OTHER_SCREEN not in view.seen


def test_in_a_pipe_it_prints_text(tmp_path: Path) -> None:
    """One look, without codes, with --once and without."""
    with bridge(tmp_path, "memory://") as running:
        running.write("m")
        for arguments in (["--once"], []):
            process = start(tmp_path, "top", "--url", str(running.client.base_url), *arguments)
            out, err = process.communicate(timeout=DEADLINE_S)
            assert (process.returncode, err) == (0, "")
            assert out.startswith("logbridge ")
            assert "no spool" in out
            assert "\x1b" not in out


def test_without_unicode_it_is_drawn_with_ascii(tmp_path: Path) -> None:
    """A terminal of another encoding gets other characters, and no fault for what it cannot show."""
    with bridge(tmp_path, "memory://") as running:
        running.write("m", level="呵呵")
        url, ascii_only = str(running.client.base_url), {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
        process = start(tmp_path, "top", "--url", url, **ascii_only)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert (process.returncode, err) == (0, "")
        assert out.isascii()
        assert "'??'" in out
        with terminal(tmp_path, url, **ascii_only) as view:
            until(lambda: view.shows("logs/s"))
            view.press("q")
            assert view.ended() == 0
            assert not tells_of_a_fault(view.seen)


def test_lines_of_json(tmp_path: Path) -> None:
    """A line each second until it is ended; --once prints one; who reads no more ends it without a trace."""
    with bridge(tmp_path, "memory://") as running:
        url = str(running.client.base_url)
        once = start(tmp_path, "top", "--json", "--once", "--url", url)
        out, err = once.communicate(timeout=DEADLINE_S)
        assert (once.returncode, err) == (0, "")
        assert json.loads(out)["name"] == "logbridge"
        lines = start(tmp_path, "top", "--json", "--url", url)
        assert lines.stdout is not None
        times = [json.loads(lines.stdout.readline())["time"] for _ in range(3)]
        assert times == sorted(set(times))
        assert end(lines, signal.SIGINT) == (0, "")
        left = start(tmp_path, "top", "--json", "--url", url)
        assert left.stdout is not None
        left.stdout.readline()
        left.stdout.close()
        assert left.wait(DEADLINE_S) == 1
        assert left.stderr is not None
        with left.stderr as err:
            assert err.read() == ""


def test_json_goes_on_after_a_loss(tmp_path: Path) -> None:
    """The notice is on stderr, so that lines stay JSON."""
    port = free_port()
    with bridge_at(tmp_path, port):
        lines = start(tmp_path, "top", "--json", "--url", f"http://127.0.0.1:{port}")
        assert lines.stdout is not None
        first = json.loads(lines.stdout.readline())
    assert lines.stderr is not None
    read_until(lines.stderr, "is lost .*, connecting again")
    with bridge_at(tmp_path, port):
        for line in lines.stdout:
            if json.loads(line)["started_at"] > first["started_at"]:
                break
        code, err = end(lines, signal.SIGINT)
    assert code == 0
    assert not tells_of_a_fault(err)
