"""docs/jetstream.md as a new user meets it: its shell blocks, one after the other, in an empty folder."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from tests.integration.nats_servers import NEEDS_NATS
from tests.integration.processes import DEADLINE_S, free_port, read_until, until

pytestmark = NEEDS_NATS
PAGE = Path(__file__).parents[2] / "docs" / "jetstream.md"
DONE = "the block is done"


class Shell:
    """A shell in a folder of its own, which goes on from block to block."""

    def __init__(self, folder: Path, **variables: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LOGBRIDGE_")}
        path = f"{Path(sys.executable).parent}:{kept['PATH']}"
        self._process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=kept | variables | {"PATH": path, "XDG_STATE_HOME": str(folder), "COLUMNS": "200"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        # logbridge is installed already. What fails ends the shell, and no end of the block comes.
        self.run("set -e -o pipefail; pip() { :; }")

    def run(self, block: str) -> str:
        """What the block says, up to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{block}\necho {DONE}\n")
        self._process.stdin.flush()
        return read_until(self._process.stdout, rf"(?s)(.*){DONE}")[1]

    def end(self) -> None:
        """End it, and whatever it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate(timeout=DEADLINE_S)


def blocks(ports: dict[str, str]) -> list[str]:
    """The shell blocks of the page, with other ports, or beginnings of ports."""
    page = PAGE.read_text()
    for port, other in ports.items():
        page = re.sub(rf"(?<=[:\s]){port}", other, page)
    return re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def three_free_ports() -> Iterator[str]:
    """All but the last digit of ports that are free with 1, 2 and 3 at their end, never the same twice.

    Below those of free_port(), which other tests are given meanwhile.
    """
    return (str(start) for start in random.sample(range(1100, 1200), 100) if _are_free(start))


def _are_free(start: int) -> bool:
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        for number in (1, 2, 3):
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 10 * start + number))
        return True
    return False


def answers(url: str) -> Callable[[], bool]:
    """Whether this address answers 200."""

    def asked() -> bool:
        try:
            return httpx.get(url).status_code == 200
        except httpx.TransportError:
            return False

    return asked


def test_every_block_works(tmp_path: Path) -> None:
    """One server, then three: the bridge delivers, then a worker does, which tells how it is."""
    port, service, worker = (str(free_port()) for _ in range(3))
    ports = three_free_ports()
    one, look, three, several, look_at_three = blocks(
        {"422": next(ports), "622": next(ports), "8002": worker}
    )
    ready = answers(f"http://127.0.0.1:{port}/readyz")
    shell = Shell(tmp_path, PORT=port, GRPC_SERVER_PORT=service, HOST="127.0.0.1")
    try:
        shell.run(one)
        until(ready)
        assert "delivered" in shell.run(look)
        shell.run("wait")
        shell.run(three + several)
        until(ready)
        until(answers(f"http://127.0.0.1:{worker}/readyz"))
        said = shell.run(look_at_three)
        assert '{"status":"ready"}' in said
        assert "logbridge_spool_readable 1.0" in said
        shell.run("wait")
    finally:
        shell.end()
