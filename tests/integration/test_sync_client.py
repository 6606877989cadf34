"""LogServiceClient over real connections: threads, forks, TLS and keys, kills, and the end of the program."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import threading
from collections import Counter
from pathlib import Path

import pytest

from logbridge import LogServiceClient
from logbridge.entrypoints.background.background import Counts
from tests.certificates import Authority
from tests.integration.processes import end, free_port, held_port, log_service, until
from tests.integration.test_client import log_service as service_in_memory
from tests.integration.test_client import run_python
from tests.integration.test_keys import create

WAIT_S = 60.0
LOST = "logs lost: "
AN_HOUR = {"LOGBRIDGE_ATTEMPT_TIMEOUT_S": "3600", "LOGBRIDGE_RETRY_BUDGET_S": "3600"}


def stored(folder: Path) -> Counter[str]:
    """How often each message is in the store of a log service that has ended."""
    with contextlib.closing(sqlite3.connect(folder / "logs.db")) as store:
        return Counter(message for (message,) in store.execute("SELECT message FROM logs"))


async def test_many_threads_write_and_log() -> None:
    """Eight threads write, batch and log through one client; the log service has all, each once."""
    async with service_in_memory() as (address, store):

        def write_all() -> None:
            with LogServiceClient(address) as client:

                def work() -> None:
                    for _ in range(10):
                        assert client.write_log("m")["success"]
                        assert client.batch_write_logs([{"message": "m"}] * 2)["success_count"] == 2
                        assert client.log("m")

                threads = [threading.Thread(target=work) for _ in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            assert client.counts == Counts(sent=80, last_error=client.counts.last_error)

        await asyncio.to_thread(write_all)
        assert len(store.entries) == len({entry.id for entry in store.entries}) == 320


async def test_a_dead_peer_is_an_answer_with_its_address() -> None:
    """Nothing listens there: success False, and the message names the address."""
    with held_port() as port, LogServiceClient(f"127.0.0.1:{port}") as client:
        result = await asyncio.to_thread(client.write_log, "m", log_id="mine")
    assert (result["success"], result["log_id"]) == (False, "mine")
    assert f"127.0.0.1:{port}" in result["error_message"]


async def test_it_is_used_in_forks_made_before() -> None:
    """A client that a parent made and did not use works in each child, with os.fork and multiprocessing, and
    in the parent after them; the ends of children lose nothing.
    """
    code = """
import multiprocessing, os
from logbridge import LogServiceClient
client = LogServiceClient("{address}", exit_timeout_s=100)
def work(name):
    assert client.write_log(name)["success"]
    assert client.log(name)
children = []
for number in range(3):
    child = os.fork()
    if not child:
        work("forked")
        assert client.flush()
        os._exit(0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 3
process = multiprocessing.get_context("fork").Process(target=work, args=("multiprocessing",))
process.start()
process.join()
assert process.exitcode == 0
work("parent")
"""
    async with service_in_memory() as (address, store):
        done = await asyncio.to_thread(run_python, code.replace("{address}", address))
        assert (done.returncode, done.stderr) == (0, "")
        counted = Counter(entry.message for entry in store.entries)
        assert counted == {"forked": 6, "multiprocessing": 2, "parent": 2}


async def test_a_child_forked_too_late_is_told_so() -> None:
    """A child of a process that wrote already hangs nowhere: answers, counts and stderr say why."""
    code = """
import os, sys, warnings
from logbridge import LogServiceClient
client = LogServiceClient("{address}", exit_timeout_s=100)
assert client.write_log("parent")["success"] and client.log("parent")
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork with threads
child = os.fork()
if not child:
    assert client.counts.queued == 0
    told = "forked after the first write"
    assert told in client.write_log("child")["error_message"]
    assert told in client.batch_write_logs([{"message": "child"}])["errors"][0]
    client.log("child")
    assert client.flush()
    assert told in client.counts.last_error, client.counts
    client.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    async with service_in_memory() as (address, store):
        done = await asyncio.to_thread(run_python, code.replace("{address}", address))
        assert done.returncode == 0, done.stderr
        assert [line.startswith(LOST + "1, ") for line in done.stderr.splitlines()] == [True]
        assert [entry.message for entry in store.entries] == ["parent", "parent"]


def test_tls_and_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over grpcs:// with a key of its own a client is let in; without one the log is refused and counted."""
    authority = Authority(tmp_path)
    files = authority.issue("service")
    key = create(tmp_path, "program", "--scope", "write")
    monkeypatch.setenv("LOGBRIDGE_SINK_CA", authority.ca)
    port = free_port()
    with log_service(
        tmp_path,
        port,
        LOGBRIDGE_KEYS_FILE=str(tmp_path / "keys.json"),
        LOGBRIDGE_SERVICE_TLS_CERT=files.chain,
        LOGBRIDGE_SERVICE_TLS_KEY=files.key,
    ):
        with LogServiceClient(f"grpcs://localhost:{port}", key=key) as client:
            assert client.write_log("written")["success"]
            assert client.log("logged")
        with LogServiceClient(f"grpcs://localhost:{port}") as stranger:
            assert not stranger.write_log("m")["success"]
            stranger.log("m")
        assert stranger.counts.refused == 1
        assert "LOGBRIDGE_SINK_KEY" in stranger.counts.last_error
    assert stored(tmp_path) == {"written": 1, "logged": 1}


def test_a_program_that_ends_at_once_loses_nothing(tmp_path: Path) -> None:
    """10,000 calls of log() and the end of the program: the store has all of them, each once."""
    code = """
from logbridge import LogServiceClient
client = LogServiceClient("127.0.0.1:{port}", exit_timeout_s=100)
for number in range(10_000):
    assert client.log(str(number), number=number)
"""
    port = free_port()
    with log_service(tmp_path, port):
        done = run_python(code.replace("{port}", str(port)))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert stored(tmp_path) == {str(number): 1 for number in range(10_000)}


def test_an_async_program_that_ends_at_once_loses_nothing(tmp_path: Path) -> None:
    """The same for log() of the async client, whose loop is gone by then."""
    code = """
import asyncio
from logbridge import AsyncLogServiceClient
client = AsyncLogServiceClient("127.0.0.1:{port}", exit_timeout_s=100)
async def main():
    for number in range(1000):
        assert client.log(str(number))
asyncio.run(main())
"""
    port = free_port()
    with log_service(tmp_path, port):
        done = run_python(code.replace("{port}", str(port)))
        assert (done.returncode, done.stderr) == (0, "")
    assert stored(tmp_path) == {str(number): 1 for number in range(1000)}


def test_a_killed_log_service_costs_nothing(tmp_path: Path) -> None:
    """Killed with kill -9 in the middle and started again: nothing is lost, nothing is doubled."""
    port = free_port()
    with LogServiceClient(f"127.0.0.1:{port}", batch_entries_max=50, timeout_s=2) as client:
        with log_service(tmp_path, port) as running:
            for number in range(3000):
                assert client.log(str(number))
            until(lambda: client.counts.sent)
            end(running, signal.SIGKILL)
        for number in range(3000, 4000):
            assert client.log(str(number))
        until(lambda: client.counts.last_error)
        with log_service(tmp_path, port):
            assert client.flush(WAIT_S)
            assert (client.counts.sent, client.counts.dropped, client.counts.refused) == (4000, 0, 0)
    assert stored(tmp_path) == {str(number): 1 for number in range(4000)}


@pytest.mark.parametrize("listens", [False, True])
def test_a_program_without_its_log_service_ends_and_says_what_it_lost(listens: bool) -> None:
    """Nothing listens, or somebody who never answers: the end waits for exit_timeout_s, and not for writes
    that may take an hour; one line says what is lost.
    """
    code = """
import atexit
from logbridge import LogServiceClient
def report():
    print(client.counts.queued, client.counts.sent, client.counts.refused, client.counts.dropped)
atexit.register(report)
client = LogServiceClient("127.0.0.1:{port}", exit_timeout_s=0.5, timeout_s=3600)
for number in range(100):
    assert client.log(str(number))
"""
    with socket.socket() as peer:
        peer.bind(("127.0.0.1", 0))
        if listens:
            peer.listen()
        done = run_python(code.replace("{port}", str(peer.getsockname()[1])), **AN_HOUR)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0 0 0 100\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith(LOST + "100, 100 since the start; last reason: ")


@pytest.mark.parametrize(
    "ending",
    [
        "client = LogServiceClient(address, timeout_s=3600); client.log('m'); client.close(0.2)",
        "asyncio.run(log_and_close(AsyncLogServiceClient(address, timeout_s=3600)))",
        "client = LogServiceClient(sink=Hanging(), timeout_s=3600, exit_timeout_s=0.2); client.log('m')",
    ],
)
def test_nothing_that_hangs_holds_the_end_up(ending: str) -> None:
    """close() and aclose() wait for timeout_s, and not for a write that may take an hour; nor does the end of
    the program for a sink that was handed in and hangs. What is lost is said in one line.
    """
    code = """
import asyncio
from logbridge import AsyncLogServiceClient, LogServiceClient, MemorySink
address = "127.0.0.1:{port}"
class Hanging(MemorySink):
    async def write(self, entries, *, deadline):
        await asyncio.sleep(3600)
async def log_and_close(client):
    client.log("m")
    await client.aclose(0.2)
"""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = str(silent.getsockname()[1])
        done = run_python(code.replace("{port}", port) + ending, **AN_HOUR)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(LOST + "1, 1 since the start; last reason: 'not acknowledged within the 0.2 s")


def test_a_blocked_log_service_blocks_no_log(tmp_path: Path) -> None:
    """While the log service is stopped, log() takes what there is room for, drops and counts the rest, and
    all that was taken is stored once it goes on.
    """
    port = free_port()
    with (
        log_service(tmp_path, port) as running,
        LogServiceClient(f"127.0.0.1:{port}", queue_entries_max=100) as client,
    ):
        assert client.write_log("before")["success"]
        os.kill(running.pid, signal.SIGSTOP)
        taken = [client.log(str(number)) for number in range(150)]
        os.kill(running.pid, signal.SIGCONT)
        assert taken == [True] * 100 + [False] * 50
        assert client.flush(WAIT_S)
        assert client.counts.sent == 100
        assert client.counts.dropped == 50
        assert "queue_entries_max=100" in client.counts.last_error
    assert stored(tmp_path) == {"before": 1} | {str(number): 1 for number in range(100)}
