"""npm and Node for the tests of clients/, where this machine has them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parents[2] / "clients"
NODE_MIN = (20, 3)
INSTALL_S = 300.0
RUN_S = 900.0


def _node_is_new_enough() -> bool:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    said = subprocess.run(
        ["node", "--version"], capture_output=True, text=True, timeout=60, check=False
    ).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= NODE_MIN


needs_node = pytest.mark.skipif(
    not _node_is_new_enough(),
    reason="there is no npm here, or no Node of 20.3 or newer; make node installs them where it may",
)


def run(folder: Path, *command: str, timeout_s: float = RUN_S, **variables: str) -> str:
    """What a command prints; the test fails with it if the command fails or takes too long."""
    environment = {**os.environ, "LOGBRIDGE_PYTHON": sys.executable, "NO_COLOR": "1", **variables}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        so_far = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout
        pytest.fail(f"{' '.join(command)} took over {timeout_s} s:\n{so_far}", pytrace=False)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}", pytrace=False)
    return done.stdout


def install(folder: Path) -> None:
    """Exactly what the lock file names, into node_modules of the folder."""
    run(folder, "npm", "ci", "--prefer-offline", timeout_s=INSTALL_S)
