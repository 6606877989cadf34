"""LogBridgeHandler before a real bridge and a real log service: what a program logs is read back equal."""

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging.config import dictConfig
from pathlib import Path
from typing import Any

import httpx
import pytest

from logbridge import LogBridgeHandler
from tests.integration.processes import bridge, end, free_port, held_port, log_service
from tests.integration.served import API
from tests.integration.test_client import run_python

RECORDS = 10_000
THREADS = 8


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bridge and its log service, for the tests that leave them running."""
    folder = tmp_path_factory.mktemp("bridge")
    with (
        held_port() as port,
        log_service(folder, port),
        bridge(folder, f"grpc://127.0.0.1:{port}") as running,
    ):
        yield str(running.client.base_url)


def stored(url: str, **filters: str) -> list[dict[str, Any]]:
    """All logs that match, the oldest first."""
    logs: list[dict[str, Any]] = []
    with httpx.Client(base_url=url, timeout=30) as client:
        while True:
            page = client.get(f"{API}/query", params={"limit": 1000, "offset": len(logs), **filters}).json()
            logs += page["logs"]
            if not page["logs"]:
                return logs[::-1]


@contextmanager
def configured(service: str, **settings: Any) -> Iterator[tuple[logging.Logger, Any]]:
    """A logger of a program that is configured by a dict, and the client of its handler."""
    handler = {"class": "logbridge.LogBridgeHandler", "service_name": service, **settings}
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "incremental": False,
            "handlers": {"bridge": handler},
            "loggers": {service: {"handlers": ["bridge"], "level": "DEBUG", "propagate": False}},
        }
    )
    logger = logging.getLogger(service)
    [made] = logger.handlers
    assert isinstance(made, LogBridgeHandler)
    try:
        yield logger, made.client
    finally:
        logger.removeHandler(made)
        made.close()
        logger.propagate = True


def test_records_of_many_threads_all_arrive(url: str) -> None:
    """Ten thousand, each once, and in the order of each thread."""

    def work(number: int) -> None:
        for index in range(RECORDS // THREADS):
            logger.info("%d of %d", index, number, extra={"index": index})

    with configured("threads", url=url) as (logger, client):
        threads = [
            threading.Thread(target=work, args=[number], name=f"t{number}") for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(timeout_s=60)
        assert (client.counts.sent, client.counts.dropped, client.counts.refused) == (RECORDS, 0, 0)
    logs = stored(url, service_name="threads")
    expected = {f"{index} of {number}" for number in range(THREADS) for index in range(RECORDS // THREADS)}
    assert len(logs) == RECORDS
    assert {log["message"] for log in logs} == expected


def test_a_record_is_read_back_equal(url: str) -> None:
    """Level, message, time, who logged and where, extras, and an exception with its stack."""
    records: list[logging.LogRecord] = []
    with configured("equal", url=url) as (logger, client):
        logger.addFilter(lambda record: records.append(record) or True)
        try:
            raise ValueError("ohne Grund: 理由")
        except ValueError:
            logger.exception("order %d failed", 7, extra={"cart": {"a": [1, None]}, "level": "mine"})
        logger.filters.clear()
        assert client.flush(timeout_s=60)
    [log] = stored(url, service_name="equal")
    assert (log["message"], log["level"]) == ("order 7 failed", "ERROR")
    assert log["timestamp"].startswith(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(records[0].created)))
    metadata = log["metadata"]
    assert metadata.pop("exception.stacktrace").endswith("ValueError: ohne Grund: 理由")
    assert metadata == {
        "cart": '{"a":[1,null]}',
        "level": "mine",
        "logger.name": "equal",
        "exception.type": "ValueError",
        "exception.message": "ohne Grund: 理由",
        "process.pid": str(records[0].process),
        "process.name": "MainProcess",
        "thread.name": threading.current_thread().name,
        "code.file.path": __file__,
        "code.function.name": "test_a_record_is_read_back_equal",
        "code.line.number": str(records[0].lineno),
    }


def test_a_bridge_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """What is logged before, meanwhile and after its restart is stored once: the queue holds it."""
    with held_port() as port, log_service(tmp_path, port):
        bridge_port = str(free_port())
        sink = f"grpc://127.0.0.1:{port}"
        url = f"http://127.0.0.1:{bridge_port}"
        with configured("killed", url=url, linger_ms=0) as (logger, client):
            with bridge(tmp_path, sink, PORT=bridge_port) as first:
                for number in range(500):
                    logger.info("log %d", number)
                    if number == 250:
                        end(first.process, signal.SIGKILL)
            for number in range(500, 1000):
                logger.info("log %d", number)
            with bridge(tmp_path, sink, PORT=bridge_port):
                assert client.flush(timeout_s=60)
                logs = stored(url, service_name="killed")
    assert sorted(log["message"] for log in logs) == sorted(f"log {number}" for number in range(1000))
    assert client.counts.dropped == 0


PROGRAM = """
import logging, logging.config, sys
logging.config.dictConfig({
    "version": 1,
    "handlers": {
        "console": {"class": "logging.StreamHandler"},
        "bridge": {"class": "logbridge.LogBridgeHandler", "url": sys.argv[1], **SETTINGS},
    },
    "root": {"handlers": ["console", "bridge"], "level": "INFO"},
})
logger = logging.getLogger("program")
"""


def run(url: str, code: str, **settings: Any) -> "subprocess.CompletedProcess[str]":
    """A program that is configured to send its logs, to its end; warnings are errors."""
    program = PROGRAM.replace("SETTINGS", repr(settings)) + code
    return run_python(f"import sys; sys.argv[1:] = [{url!r}]\n{program}")


def test_a_bridge_that_is_away_for_good_ends_no_program() -> None:
    """The program goes on and ends; what is lost is counted in full, and told once when it begins and once at
    the end, on the console, and not sent in a circle.
    """
    code = """
for number in range(1000):
    logger.info("log %d", number)
print("went on")
logging.shutdown()
counts = logging.getLogger().handlers[1].client.counts
print(counts.sent, counts.queued, counts.refused + counts.dropped)
"""
    done = run(f"http://127.0.0.1:{free_port()}", code, queue_entries_max=100, flush_timeout_s=0.2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["went on", "0 0 1000"]
    told = [line for line in done.stderr.splitlines() if line.startswith("logs lost: ")]
    assert len(told) in (1, 2)
    assert "1000 since the start" in told[-1]


@pytest.mark.parametrize("how", ["http", "grpc"])
def test_the_end_of_a_program_sends_what_is_left(tmp_path: Path, how: str) -> None:
    """Without a flush of its own."""
    with held_port() as port, log_service(tmp_path, port), bridge(tmp_path, f"grpc://127.0.0.1:{port}") as b:
        url = str(b.client.base_url) if how == "http" else f"grpc://127.0.0.1:{port}"
        done = run(url, "for number in range(100): logger.info('log %d', number)")
        assert done.returncode == 0, done.stderr
        assert sorted(b.stored()) == sorted(f"log {number}" for number in range(100))


FORK = """
import os
BEFORE
children = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        logger.info("child %d", number)
        logging.shutdown()
        os._exit(0)
    children.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
logger.info("after")
print(codes)
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="forks")
@pytest.mark.parametrize("how", ["http", "grpc"])
def test_children_after_a_fork_send_their_own(tmp_path: Path, how: str) -> None:
    """As in servers that load the program first and fork then. Over HTTP also if the parent has logged before;
    over gRPC only if it has not, and else the loss is told.
    """
    with held_port() as port, log_service(tmp_path, port), bridge(tmp_path, f"grpc://127.0.0.1:{port}") as b:
        url = str(b.client.base_url) if how == "http" else f"grpc://127.0.0.1:{port}"
        before = 'logger.info("before")' if how == "http" else ""
        done = run(url, FORK.replace("BEFORE", before))
        assert (done.returncode, done.stdout) == (0, "[0, 0, 0]\n"), done.stderr
        expected = ["after", "child 0", "child 1", "child 2"] + ["before"] * (how == "http")
        assert sorted(b.stored()) == sorted(expected), done.stderr
