"""Programs that only configure logging, structlog, Flask or FastAPI, before a real bridge and log service."""

import contextlib
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from logbridge import LogBridgeHandler
from tests.integration.processes import Bridge, bridge, end, free_port, held_port, log_service, until
from tests.integration.test_client import run_python
from tests.integration.test_sync_client import stored
from tests.unit.test_docs import blocks_of

URL = "http://127.0.0.1:8001"
WAIT_S = 60.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge with its log service; each program has a service of its own."""
    folder, port = tmp_path_factory.mktemp("logging"), free_port()
    sink = f"grpc://127.0.0.1:{port}"
    with log_service(folder, port), bridge(folder, sink, LOGBRIDGE_OPEN="read") as running:
        yield running


def run_example(
    running: Bridge, page: str, number: int, service: str, more: str = ""
) -> list[dict[str, Any]]:
    """Run an example of a page before this bridge, with more after it; the logs of its service, the oldest
    first."""
    code = blocks_of(f"docs/{page}.md", "python")[number]
    assert URL in code
    code = code.replace(URL, str(running.client.base_url))
    named = code.replace('service_name="shop"', f'service_name="{service}"')
    named = named.replace('"service_name": "shop"', f'"service_name": "{service}"')
    done = run_python(f"{named}\n{more}")
    assert done.returncode == 0, done.stderr
    return logs_of(running, service)


def logs_of(running: Bridge, service: str) -> list[dict[str, Any]]:
    answer = running.client.get("/api/v1/logs/query", params={"service_name": service, "limit": 1000})
    return list(reversed(answer.json()["logs"]))


def test_logging_by_code(running: Bridge) -> None:
    """Message, level, extra, logger, process, thread and place arrive; nothing waits to be flushed."""
    (log,) = run_example(running, "python-logging", 0, "by-code")
    assert (log["message"], log["level"], log["trace_id"]) == ("order 42 is late", "WARN", "")
    metadata = log["metadata"]
    assert (metadata["user_id"], metadata["items"], metadata["logger.name"]) == (
        "user123",
        "[1,2]",
        "shop.cart",
    )
    assert (metadata["process.name"], metadata["thread.name"]) == ("MainProcess", "MainThread")
    assert metadata["process.pid"].isdigit()
    assert (metadata["code.function.name"], metadata["code.line.number"].isdigit()) == ("<module>", True)


def test_logging_by_configuration(running: Bridge) -> None:
    """An exception arrives with its type, its message and its stack."""
    (log,) = run_example(running, "python-logging", 1, "by-dict")
    assert (log["message"], log["level"]) == ("no total", "ERROR")
    assert log["metadata"]["exception.type"] == "ZeroDivisionError"
    assert log["metadata"]["exception.message"] == "division by zero"
    assert log["metadata"]["exception.stacktrace"].startswith("Traceback (most recent call last):\n")


def test_a_span_of_opentelemetry_is_in_the_log(running: Bridge) -> None:
    """What is logged within a span carries its trace and its span id."""
    more = """
from opentelemetry.sdk.trace import TracerProvider
with TracerProvider().get_tracer("t").start_as_current_span("s") as span:
    logging.getLogger().info("%032x %016x", span.get_span_context().trace_id, span.get_span_context().span_id)
"""
    log = run_example(running, "python-logging", 0, "spans", more)[-1]
    assert log["message"] == f"{log['trace_id']} {log['span_id']}"


def test_ten_thousand_records_of_many_threads(running: Bridge) -> None:
    """Eight threads log as fast as they can, then the program ends; every record is there, once."""
    more = """
import threading
def work(name):
    for number in range(1250):
        logging.getLogger("shop").info("%s %d", name, number)
threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    example = blocks_of("docs/python-logging.md", "python")[0]
    code = example.replace(URL, str(running.client.base_url)).replace(
        '="shop"', '="threads", queue_entries_max=20_000, flush_timeout_s=100, exit_timeout_s=100'
    )
    done = run_python(code + more)
    assert (done.returncode, done.stderr) == (0, "")
    asked = {"service_name": "threads", "limit": 1}
    assert running.client.get("/api/v1/logs/query", params=asked).json()["total_count"] == 10_001


def test_structlog(running: Bridge) -> None:
    """An event arrives with its values, and is rendered as before."""
    more = """
try:
    {}["missing"]
except KeyError:
    structlog.get_logger().exception("failed")
"""
    late, failed = run_example(running, "structlog", 0, "structlog", more)
    assert (late["message"], late["level"], late["metadata"]["order"]) == ("order is late", "WARN", "42")
    assert (failed["level"], failed["metadata"]["exception.type"]) == ("ERROR", "KeyError")


def test_flask(running: Bridge) -> None:
    """What a view logs arrives, and so does the exception of one that fails."""
    more = """
@app.get("/fails")
def fails():
    raise RuntimeError("on purpose")
client = app.test_client()
assert client.get("/orders/7").data == b"shown"
assert client.get("/fails").status_code == 500
"""
    logs = run_example(running, "web-frameworks", 0, "flask-shop", more)
    assert (logs[0]["message"], logs[0]["metadata"]["order"]) == ("order 7 is shown", "7")
    assert logs[-1]["metadata"]["exception.message"] == "on purpose"


def test_fastapi_behind_uvicorn(running: Bridge) -> None:
    """A real server with this configuration: the lines of the view and those of uvicorn arrive."""
    more = """
import socket, threading, urllib.request
import uvicorn
listening = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, log_config=LOGGING))
def ask():
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/orders/7"
    assert urllib.request.urlopen(url).read() == b'"shown"'
    server.should_exit = True
threading.Thread(target=ask).start()
server.run(sockets=[listening])
"""
    logs = run_example(running, "web-frameworks", 1, "fastapi-shop", more)
    loggers = {log["metadata"]["logger.name"] for log in logs}
    assert {"shop", "uvicorn.error", "uvicorn.access"} <= loggers
    (shown,) = [log for log in logs if log["metadata"]["logger.name"] == "shop"]
    assert (shown["message"], shown["metadata"]["order"]) == ("order 7 is shown", "7")


def test_servers_that_fork(running: Bridge) -> None:
    """A parent that has logged forks children that log: all of it arrives, each once."""
    more = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork with threads
children = []
for number in range(3):
    child = os.fork()
    if not child:
        logging.getLogger("shop").info("child %d", number)
        logging.shutdown()
        os._exit(0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 3
"""
    logs = run_example(running, "python-logging", 0, "forks", more)
    assert Counter(log["message"] for log in logs) == {
        "order 42 is late": 1, "child 0": 1, "child 1": 1, "child 2": 1,
    }  # fmt: skip


def test_a_killed_bridge_costs_no_record(tmp_path: Path) -> None:
    """Killed in the middle and started again: every record is stored, once."""
    sink, port = free_port(), free_port()
    with log_service(tmp_path, sink):
        handler = LogBridgeHandler(
            url=f"http://127.0.0.1:{port}", flush_timeout_s=WAIT_S, batch_entries_max=50
        )
        with contextlib.closing(handler):
            with bridge(tmp_path, f"grpc://127.0.0.1:{sink}", port=port) as running:
                _emit(handler, range(2000))
                until(lambda: handler.client.counts.sent)
                end(running.process, signal.SIGKILL)
            _emit(handler, range(2000, 3000))
            until(lambda: handler.client.counts.last_error)
            with bridge(tmp_path, f"grpc://127.0.0.1:{sink}", port=port):
                handler.flush()
                assert handler.client.counts.sent == 3000
    assert stored(tmp_path) == {str(number): 1 for number in range(3000)}


def _emit(handler: LogBridgeHandler, numbers: range) -> None:
    import logging

    for number in numbers:
        handler.emit(logging.makeLogRecord({"name": "shop", "msg": str(number), "levelno": logging.INFO}))


def test_a_program_without_its_bridge_goes_on_and_says_what_it_lost() -> None:
    """Nobody listens: no call blocks or raises, and one line on stderr says how many records are lost."""
    code = blocks_of("docs/python-logging.md", "python")[0]
    more = "\nfor number in range(99):\n    logging.info('m')\nprint('went on')\n"
    with held_port() as port:
        settings = '="shop", exit_timeout_s=0.5, flush_timeout_s=0.1'
        code = code.replace(URL, f"http://127.0.0.1:{port}").replace('="shop"', settings)
        done = run_python(code + more)
    assert (done.returncode, done.stdout) == (0, "went on\n")
    (line,) = done.stderr.splitlines()
    assert "logs lost: 100, " in line
