"""Readiness: what the processes tell their service manager."""

import socket
from pathlib import Path

import httpx
import pytest

from tests.integration.processes import DEADLINE_S, end, free_port, start
from tests.integration.service_manager import activated, listening, told


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_bridge_says_when_it_is_ready(tmp_path: Path, workers: str) -> None:
    """READY=1 comes when it answers, STOPPING=1 with its stop, once."""
    with listening() as handed, told() as (name, ear):
        url = f"http://127.0.0.1:{handed.getsockname()[1]}/readyz"
        settings = {"NOTIFY_SOCKET": name, "LOGBRIDGE_DRAIN_NOTICE_S": "0"}
        sink = f"grpc://127.0.0.1:{free_port()}"
        with activated(handed, tmp_path, "--workers", workers, LOGBRIDGE_SINK=sink, **settings):
            for _ in range(int(workers)):
                assert ear.recv(100) == b"READY=1"
            assert httpx.get(url, timeout=DEADLINE_S).status_code == 200
        assert ear.recv(100) == b"STOPPING=1"
        ear.setblocking(False)
        with pytest.raises(BlockingIOError):
            ear.recv(100)


@pytest.mark.parametrize("command", ["service", "forward"])
def test_the_others_say_when_they_are_ready(tmp_path: Path, command: str) -> None:
    """READY=1 comes when they serve, at a socket with a path, too, and STOPPING=1 with their stop."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(path))
        ear.settimeout(60)
        settings = {"NOTIFY_SOCKET": str(path), "LOGBRIDGE_STORE": "memory://", "GRPC_SERVER_PORT": "0"}
        if command == "forward":
            # To start, it waits for no server; to stop, for nobody who is away.
            away = f"nats://127.0.0.1:{free_port()}?stream=logs"
            settings |= {"LOGBRIDGE_SPOOL": away, "LOGBRIDGE_SINK": f"grpc://127.0.0.1:{free_port()}"}
        process = start(tmp_path, command, **settings)
        assert ear.recv(100) == b"READY=1"
        assert end(process)[0] == 0
        assert ear.recv(100) == b"STOPPING=1"


def test_a_manager_that_is_away_stops_nothing(tmp_path: Path) -> None:
    """The start goes on where nobody listens at NOTIFY_SOCKET."""
    settings = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "LOGBRIDGE_SINK": "memory://"}
    with listening() as handed, activated(handed, tmp_path, **settings):
        url = f"http://127.0.0.1:{handed.getsockname()[1]}/livez"
        assert httpx.get(url, timeout=DEADLINE_S).status_code == 200
