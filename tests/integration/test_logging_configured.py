"""Programs configured by dictConfig as its defaults are: losses are told, and children after a fork log."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import bridge, held_port, log_service
from tests.integration.test_client import run_python

PROGRAM = """
import logging, logging.config, os
logging.config.dictConfig({
    "version": 1,
    "handlers": {
        "console": {"class": "logging.StreamHandler", "level": "WARNING"},
        "bridge": {"class": "logbridge.LogBridgeHandler", **SETTINGS},
    },
    "root": {"handlers": ["console", "bridge"], "level": "INFO"},
})
logger = logging.getLogger("program")
"""
FORKS = """
children = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        logger.info("child %d", number)
        logging.shutdown()
        os._exit(0)
    children.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
logger.info("parent")
print(codes)
"""


def run(code: str, **settings: Any) -> "subprocess.CompletedProcess[str]":
    """A program that is configured to send its logs, to its end; warnings are errors."""
    return run_python(PROGRAM.replace("SETTINGS", repr(settings)) + code)


def test_losses_are_told_though_the_configuration_disables_loggers() -> None:
    """A full queue and no bridge: the program goes on, every record is counted, and the console says how many
    were lost: once when it begins, and at the end.
    """
    code = """
for number in range(1000):
    logger.info("log %d", number)
print("went on")
logging.shutdown()
counts = logging.getLogger().handlers[1].client.counts
print(counts.sent, counts.queued, counts.refused + counts.dropped)
"""
    with held_port() as port:
        done = run(code, url=f"http://127.0.0.1:{port}", queue_entries_max=100, flush_timeout_s=0.2)
    assert (done.returncode, done.stdout) == (0, "went on\n0 0 1000\n"), done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("logs lost: ")]
    assert len(told) in (1, 2)  # the first one may be late enough to say it all
    assert "1000 since the start" in told[-1]


@pytest.mark.parametrize("how", ["http", "grpc"])
def test_children_of_a_fork_before_the_first_log_send_theirs(tmp_path: Path, how: str) -> None:
    """As in servers that load the program first and fork then, through a bridge and to the log service."""
    with held_port() as port, log_service(tmp_path, port):
        service = f"grpc://127.0.0.1:{port}"
        with bridge(tmp_path, service) as running:
            done = run(FORKS, url=service if how == "grpc" else str(running.client.base_url))
            assert (done.returncode, done.stdout) == (0, "[0, 0, 0]\n"), done.stderr
            assert sorted(running.stored()) == ["child 0", "child 1", "child 2", "parent"]
