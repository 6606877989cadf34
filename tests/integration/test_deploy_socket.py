"""Socket activation: a bridge serves the socket that it is handed, and leaves it to the next one."""

import asyncio
import shutil
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.integration.field_peer import FieldPeer
from tests.integration.load import Load
from tests.integration.processes import DEADLINE_S, end, free_port, read_until, start, tells_of_a_fault
from tests.integration.served import until
from tests.integration.service_manager import HANDED, activated, hand_over, listening


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_restart_refuses_nothing(tmp_path: Path, workers: str) -> None:
    """Two restarts under load: every connection is taken, every request answered with 200, and stored."""
    with listening() as handed:
        async with FieldPeer() as peer:
            load = Load(handed.getsockname()[1])
            settings = {"LOGBRIDGE_SINK": f"grpc://{peer.address}", "PORT": "1"}
            process = await _started(handed, tmp_path, workers, settings)
            async with load.pouring():
                for _ in range(2):
                    code, err = await asyncio.to_thread(end, process)
                    assert (code, tells_of_a_fault(err)) == (0, False), err
                    answered = load.seen["200"]
                    process = await _started(handed, tmp_path, workers, settings)
                    await until(lambda before=answered: load.seen["200"] >= before + 100)
            await asyncio.to_thread(end, process)
    assert set(load.seen) == {"200"}
    assert len(peer.stored) >= load.seen["200"]


async def _started(
    handed: socket.socket, folder: Path, workers: str, settings: dict[str, str]
) -> subprocess.Popen[str]:
    process = hand_over(handed, folder, "serve", "--workers", workers, **settings)
    assert process.stdout is not None
    await asyncio.to_thread(read_until, process.stdout, HANDED)
    return process


def test_who_connects_meanwhile_waits(tmp_path: Path) -> None:
    """A request that was sent while no bridge ran is answered by the next one."""
    with listening() as handed:
        port = handed.getsockname()[1]
        with activated(handed, tmp_path, LOGBRIDGE_SINK="memory://"):
            assert httpx.get(f"http://127.0.0.1:{port}/livez", timeout=DEADLINE_S).status_code == 200
        with socket.create_connection(("127.0.0.1", port)) as early:
            early.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            early.settimeout(30)
            with activated(handed, tmp_path, LOGBRIDGE_SINK="memory://"):
                assert early.recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("kind", "count", "reason"),
    [
        ("udp", "1", "is no TCP socket"),
        ("unix", "1", "is no TCP socket"),
        ("silent", "1", "does not listen"),
        ("silent", "2", "the bridge takes one socket"),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path: Path, kind: str, count: str, reason: str) -> None:
    """One line on stderr, and exit code 2."""
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as handed:
        if kind == "unix":
            handed.bind(str(tmp_path / "socket"))
            handed.listen()
        _, err = refused = _ended(hand_over(handed, tmp_path, "serve", count=count))
    assert refused[0] == 2
    assert reason in err
    assert len(err.splitlines()) == 1


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="there is no systemd here")
def test_systemds_own_tool(tmp_path: Path) -> None:
    """systemd-socket-activate holds the port, and starts the bridge with the first connection."""
    port = free_port()
    names = [f"--setenv={name}" for name in ("LOGBRIDGE_SINK", "LOGBRIDGE_COALESCE")]
    before = ("systemd-socket-activate", f"--listen=127.0.0.1:{port}", *names)
    process = start(tmp_path, "serve", before=before, LOGBRIDGE_SINK="memory://")
    assert process.stderr is not None
    read_until(process.stderr, "Listening on")
    assert httpx.get(f"http://127.0.0.1:{port}/livez", timeout=60).status_code == 200
    assert process.stdout is not None
    read_until(process.stdout, HANDED)
    assert end(process)[0] == 0


def test_a_descriptor_that_is_no_socket_is_refused(tmp_path: Path) -> None:
    """One line on stderr, and exit code 2."""
    before = ("sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3</dev/null', "sh")
    code, err = _ended(start(tmp_path, "serve", before=before))
    assert (code, len(err.splitlines())) == (2, 1)
    assert "is no socket" in err


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def test_a_socket_for_another_process_is_left_alone(tmp_path: Path) -> None:
    """LISTEN_PID names somebody else: the bridge listens at HOST and PORT."""
    settings = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "HOST": "127.0.0.1", "LOGBRIDGE_SINK": "memory://"}
    process = start(tmp_path, "serve", "--port", "0", **settings)
    assert process.stdout is not None
    assert read_until(process.stdout, r"listens at http://127.0.0.1:\d+, its docs")
    assert end(process)[0] == 0
