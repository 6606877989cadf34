"""Processes of the proof: started, killed, stopped and waited for by their pid, never left behind."""

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import IO

import httpx

from logbridge.entrypoints.settings import SETTINGS

ROOT = Path(__file__).parents[2]
# How long a start takes is not what is proved, and a busy machine takes its time.
START_DEADLINE_S = 120.0
_LIVE_TIMEOUT_S = 30.0
STOP_DEADLINE_S = 20.0
_LOOK_EVERY_S = 0.02
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class ChaosError(Exception):
    """Something that must always work did not: the leg ends, and this is its problem."""


def environment(**variables: str) -> dict[str, str]:
    """This environment without any setting of logbridge, with ``variables``."""
    names = {setting.variable for setting in SETTINGS}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | variables


class Port:
    """A port of 127.0.0.1 that stays ours while nobody listens there: no outgoing connection gets it."""

    def __init__(self) -> None:
        # Bound and not listening: whoever connects is refused, and a server may listen beside it.
        self._keeper = socket.socket()
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._keeper.bind(("127.0.0.1", 0))
        self.number = int(self._keeper.getsockname()[1])

    def give_back(self) -> None:
        self._keeper.close()


async def until(what: str, condition: Callable[[], Awaitable[bool]], deadline_s: float) -> None:
    """Ask until the condition holds. Raises ChaosError after ``deadline_s`` seconds."""
    end_s = time.monotonic() + deadline_s
    while not await condition():
        if time.monotonic() > end_s:
            raise ChaosError(f"{what} did not happen within {deadline_s:g} s")
        await asyncio.sleep(_LOOK_EVERY_S)


class Process:
    """One program, started as often as needed; its output goes to ``folder``/``name``.log."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._log = folder / f"{name}.log"
        self._popen: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def start(self, arguments: Sequence[str], variables: dict[str, str]) -> None:
        """Start `python` with these arguments; it dies with this process, however this one ends."""
        self._output = self._log.open("ab")
        self._popen = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self._folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 (it only calls prctl)
        )

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self._popen is not None and self.running:
            self._popen.send_signal(number)

    async def kill(self) -> None:
        """kill -9, and wait for the end."""
        self.send(signal.SIGKILL)
        await self._ended()

    async def stop(self) -> int:
        """SIGTERM; the exit code. Raises ChaosError if it does not end."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        return await self._ended()

    async def _ended(self) -> int:
        if self._popen is None:
            return 0

        async def ended() -> bool:
            return not self.running

        await until(f"the end of the {self.name}", ended, STOP_DEADLINE_S)
        if self._output is not None:
            self._output.close()
        _clear_faketime(self._popen.pid)
        return self._popen.returncode

    def words(self, characters: int = 600) -> str:
        """Its last output."""
        return self._log.read_text(errors="replace")[-characters:]


def _clear_faketime(pid: int) -> None:
    """libfaketime leaves files of a killed process, and a later one of the same number would find them."""
    for left in Path("/dev/shm").glob(f"*faketime_*_{pid}"):
        left.unlink(missing_ok=True)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def until_alive(process: Process, url: str) -> None:
    """Until the bridge at ``url`` serves. Raises ChaosError with its last words.

    Not until it is ready: with a full spool and no log service it rightly never is.
    """

    async def alive() -> bool:
        if not process.running:
            raise ChaosError(f"the {process.name} ended instead of starting: {process.words()}")
        try:
            return (await http.get("/livez")).status_code == 200
        except httpx.TransportError:
            return False

    async with httpx.AsyncClient(base_url=url, timeout=_LIVE_TIMEOUT_S, trust_env=False) as http:
        await until(f"the start of the {process.name}", alive, START_DEADLINE_S)


async def until_listening(process: Process, port: int) -> None:
    """Until something listens on ``port``. Raises ChaosError with its last words."""

    async def listening() -> bool:
        if not process.running:
            raise ChaosError(f"the {process.name} ended instead of starting: {process.words()}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await until(f"the listening of the {process.name}", listening, START_DEADLINE_S)
