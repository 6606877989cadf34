"""The part of a service manager in a test: it holds the listening socket, and starts bridges with it."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.integration.processes import DEADLINE_S, end, read_until, start, tells_of_a_fault

HANDED = r"listens at http://[\d.:]+, by the socket that it was handed"
# What systemd does between fork and exec: the socket becomes descriptor 3, and is named for this process.
_HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": sys.argv[2]}
os.execvp(sys.argv[3], sys.argv[3:])
"""


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """A listening socket on a free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        yield listener


@contextlib.contextmanager
def told() -> Iterator[tuple[str, socket.socket]]:
    """NOTIFY_SOCKET, an abstract name, and the socket at which states arrive."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("")  # the kernel finds a name
        ear.settimeout(DEADLINE_S)
        yield "@" + ear.getsockname()[1:].decode(), ear


def hand_over(
    handed: socket.socket, folder: Path, *arguments: str, count: str = "1", **variables: str
) -> subprocess.Popen[str]:
    """A logbridge process that gets this socket, and is told of ``count`` of them."""
    before = (sys.executable, "-c", _HAND_OVER, str(handed.fileno()), count)
    return start(folder, *arguments, before=before, hand_over=(handed.fileno(),), **variables)


@contextlib.contextmanager
def activated(
    handed: socket.socket, folder: Path, *arguments: str, **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """A bridge at a socket that it was handed; at the end it must stop with 0 and without a fault."""
    process = hand_over(handed, folder, "serve", *arguments, **variables)
    try:
        assert process.stdout is not None
        read_until(process.stdout, HANDED)
        yield process
    except BaseException:
        process.kill()
        print(end(process)[1])
        raise
    code, err = end(process)
    assert code == 0, err
    assert not tells_of_a_fault(err), err
