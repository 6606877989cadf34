"""The systemd units: systemd reads them, they are locked up, and the programs run in their sandboxes."""

import ctypes
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from logbridge.entrypoints.settings import Settings
from tests.integration import systemd_sandbox
from tests.integration.processes import DEADLINE_S, bridge, end, free_port, ran, read_until, start, until

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
PROGRAM = "/opt/logbridge/bin/logbridge"
# systemd's own scale goes from 0 (locked up) to 10 (not at all); times ten, as its option wants it.
EXPOSURE_MAX = "13"
pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="there is no systemd-analyze here; make systemd installs it where it may",
)


def analyze(*arguments: str, cwd: Path) -> str:
    """What systemd-analyze says; it must be content."""
    return ran("systemd-analyze", "--no-pager", *arguments, cwd=cwd)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with our units, of which the program is one that is there."""
    program = tmp_path / "logbridge"
    program.touch(0o755)
    folder = tmp_path / "units"
    folder.mkdir()
    for unit in UNITS.iterdir():
        text = unit.read_text()
        assert unit.suffix == ".socket" or PROGRAM in text
        (folder / unit.name).write_text(text.replace(PROGRAM, str(program)))
    return folder


def test_systemd_reads_the_units(units: Path) -> None:
    """`systemd-analyze verify` has nothing to say: no unknown key, no bad value, no missing unit."""
    paths = [f"./{unit.name}" for unit in sorted(units.iterdir())]
    assert len(paths) == 4
    assert analyze("verify", "--man=no", "--recursive-errors=one", *paths, cwd=units) == ""


@pytest.mark.parametrize("service", SERVICES, ids=lambda unit: unit.stem)
def test_the_services_are_locked_up(units: Path, service: Path) -> None:
    """Their exposure, by `systemd-analyze security`, is at most 1.3 of 10."""
    analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", f"./{service.name}", cwd=units)


@pytest.mark.parametrize("service", SERVICES, ids=lambda unit: unit.stem)
def test_a_stop_has_time_to_drain(service: Path) -> None:
    """TimeoutStopSec is more than LOGBRIDGE_DRAIN_S and 5 seconds."""
    found = re.search(r"^TimeoutStopSec=(\d+)$", service.read_text(), re.M)
    assert found
    assert int(found[1]) > Settings().drain_s + 5


def test_the_sandboxes_are_the_same() -> None:
    """What locks up one service locks up the others."""
    ends = [
        service.read_text().partition("DynamicUser=")[2].partition("[Install]")[0] for service in SERVICES
    ]
    assert ends[0]
    assert len(set(ends)) == 1


def sandbox(unit: str) -> Sequence[str]:
    return (sys.executable, systemd_sandbox.__file__, str(UNITS / unit))


@pytest.fixture
def confined() -> None:
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("there is no libseccomp here")


@pytest.mark.usefixtures("confined")
def test_the_programs_run_in_their_sandboxes(tmp_path: Path) -> None:
    """Logs go through both, delivered and durable, are read back, and both stop with 0."""
    port = free_port()
    service = start(
        tmp_path,
        "service",
        "--grpc-server-port",
        str(port),
        before=sandbox("logbridge-log-service.service"),
        LOGBRIDGE_STORE="sqlite:///logs.db",
    )
    with ExitStack() as stack:
        stack.callback(end, service)
        assert service.stderr is not None
        read_until(service.stderr, "log service listens on")
        running = stack.enter_context(
            bridge(
                tmp_path,
                f"grpc://127.0.0.1:{port}",
                "--workers",
                "2",
                before=sandbox("logbridge.service"),
                LOGBRIDGE_SPOOL="sqlite:///spool",
            )
        )
        assert running.write("one").status_code == 200
        assert running.write_durably("two").status_code == 202
        until(lambda: set(running.stored()) == {"one", "two"})
    assert service.returncode == 0


@pytest.mark.usefixtures("confined")
def test_the_sandbox_denies() -> None:
    """What a service has no use for is denied with EPERM: a sandbox that lets all through proves nothing."""
    tries = "import os; os.setpriority(os.PRIO_PROCESS, 0, 5)"
    done = subprocess.run(
        [*sandbox("logbridge.service"), sys.executable, "-c", tries],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert "PermissionError: [Errno 1]" in done.stderr
