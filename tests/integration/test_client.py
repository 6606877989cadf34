"""The Python surface over real connections, several loops and threads, and the end of the interpreter."""

import asyncio
import gc
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from logbridge import AsyncLogServiceClient, MemorySink
from logbridge.entrypoints.container import build_maker
from logbridge.entrypoints.log_service import LogServiceServer
from logbridge.entrypoints.python.private_loop import private_loop
from logbridge.entrypoints.settings import Settings

pytestmark = pytest.mark.usefixtures("each_way")


@asynccontextmanager
async def log_service() -> AsyncIterator[tuple[str, MemorySink]]:
    store = MemorySink()
    server = LogServiceServer(store, host="127.0.0.1", port=0, maker=build_maker(Settings()))
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}", store
    finally:
        await server.stop(1)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 (what it waits for happens in another thread, with no event to set)
            await asyncio.sleep(0.005)


def run_python(code: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """A program of a user's: settings from ``environ`` alone, warnings as errors.

    How busy the machine is, which asyncio tells in debug mode, is no part of what it says on stderr.
    """
    kept = {
        name: os.environ[name]
        for name in ("PATH", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
        if name in os.environ
    }
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    done.stderr = re.sub(r"^Executing <.*> took [\d.]+ seconds\n", "", done.stderr, flags=re.MULTILINE)
    return done


async def test_a_write_and_a_batch_reach_the_log_service() -> None:
    """What is acknowledged is stored there under the id of the answer."""
    async with log_service() as (address, store), AsyncLogServiceClient(address) as client:
        one = await client.write_log("one", custom_field="custom_value")
        batch = await client.batch_write_logs([{"message": "two"}, {"message": "three", "adv_id": 1}])
        ids = [one["log_id"], *(result["log_id"] for result in batch["results"])]
        assert one["success"]
        assert batch["success_count"] == 2
        assert [entry.id for entry in store.entries] == ids


async def test_two_addresses_side_by_side() -> None:
    """Two clients write to two services, each to its own."""
    async with log_service() as (first, stored_first), log_service() as (second, stored_second):
        async with AsyncLogServiceClient(first) as one, AsyncLogServiceClient(f"grpc://{second}") as two:
            results = await asyncio.gather(one.write_log("first"), two.write_log("second"))
        assert all(result["success"] for result in results)
        assert [entry.message for entry in stored_first.entries] == ["first"]
        assert [entry.message for entry in stored_second.entries] == ["second"]


async def test_a_dead_peer_is_an_answer_with_its_address() -> None:
    """Nothing listens there: success False, and the message names the address and the reason."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        async with AsyncLogServiceClient(address) as client:
            result = await client.write_log("m", log_id="mine")
            batch = await client.batch_write_logs([{"message": "m"}])
    assert (result["success"], result["log_id"]) == (False, "mine")
    assert address in result["error_message"]
    assert batch["error_count"] == 1
    assert address in batch["errors"][0]


async def test_one_client_serves_many_loops_and_threads() -> None:
    """Loops in other threads, one after another, write through the same client at once."""
    async with log_service() as (address, store), AsyncLogServiceClient(address) as client:

        def work() -> None:
            for _ in range(3):
                assert asyncio.run(client.write_log("m"))["success"]

        await asyncio.gather(*(asyncio.to_thread(work) for _ in range(4)))
        assert len(store.entries) == 12
        assert sum(thread.name == "logbridge" for thread in threading.enumerate()) == 1


async def test_cancelling_does_not_take_back_a_write() -> None:
    """A caller that gives up right after it began loses the answer, not the log."""
    async with log_service() as (address, store), AsyncLogServiceClient(address) as client:
        caller = asyncio.create_task(client.write_log("kept"))
        await asyncio.sleep(0)  # the caller runs up to its first wait
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await until(lambda: len(store.entries) == 1)


async def test_a_dropped_client_closes_its_connection() -> None:
    """A client that is forgotten without aclose leaves no connection open."""
    async with log_service() as (address, _):
        client = AsyncLogServiceClient(address)
        await client.write_log("m")
        private = private_loop()
        (container,) = private.open_containers
        del client
        await until(lambda: gc.collect() >= 0 and container not in private.open_containers)


async def test_an_error_of_a_sink_reaches_the_caller() -> None:
    """A sink that breaks its promise and raises is a bug, and is not hidden."""

    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await private_loop().run(broken())


async def test_the_functions_write_where_the_settings_say() -> None:
    """write_log and batch_write_logs read the environment; at exit nothing is printed."""
    code = """
import asyncio
from logbridge import batch_write_logs, write_log
async def main():
    assert (await write_log("one"))["success"]
    assert (await batch_write_logs([{"message": "two"}]))["success_count"] == 1
asyncio.run(main())
asyncio.run(main())
"""
    async with log_service() as (address, store):
        done = await asyncio.to_thread(run_python, code, LOGBRIDGE_SINK=f"grpc://{address}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert [entry.message for entry in store.entries] == ["one", "two"] * 2


async def test_a_program_that_ends_at_once_finishes_its_writes() -> None:
    """Exit waits for a write whose caller was cancelled, closes forgotten clients, and prints nothing."""
    code = """
import asyncio
from logbridge import AsyncLogServiceClient
client = AsyncLogServiceClient("{address}")
async def main():
    caller = asyncio.create_task(client.write_log("kept"))
    await asyncio.sleep(0)
    caller.cancel()
asyncio.run(main())
"""
    async with log_service() as (address, store):
        done = await asyncio.to_thread(run_python, code.replace("{address}", address))
        assert (done.returncode, done.stderr) == (0, "")
        assert [entry.message for entry in store.entries] == ["kept"]


async def test_a_child_forked_too_late_is_told_so() -> None:
    """A child forked after the first write does not hang or crash: it is told why; the parent writes on."""
    code = """
import asyncio, os, warnings
before = dict(os.environ)
from logbridge import AsyncLogServiceClient, batch_write_logs, write_log
async def close(client):
    await client.aclose()
client = AsyncLogServiceClient("{address}")
assert asyncio.run(client.write_log("parent"))["success"]
assert asyncio.run(write_log("parent"))["success"]
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork with threads
def write_in_child():
    result = asyncio.run(write_log("child"))
    batch = asyncio.run(batch_write_logs([{"message": "child"}]))
    asyncio.run(close(client))
    told = "forked after the first write"
    return told in result["error_message"] and told in batch["errors"][0]
ends = []
for _ in range(10):
    child = os.fork()
    if not child:
        os._exit(0 if write_in_child() else 1)
    ends.append(os.waitpid(child, 0)[1])
assert ends == [0] * 10, ends
assert asyncio.run(write_log("parent again"))["success"]
assert dict(os.environ) == before
"""
    async with log_service() as (address, store):
        code = code.replace("{address}", address)
        done = await asyncio.to_thread(run_python, code, LOGBRIDGE_SINK=f"grpc://{address}")
        assert (done.returncode, done.stderr) == (0, "")
        assert [entry.message for entry in store.entries] == ["parent", "parent", "parent again"]


def test_a_write_of_a_late_exit_hook_is_told_so() -> None:
    """When the interpreter ends, a write after the last connection closed answers, and raises nothing."""
    code = """
import asyncio, atexit
from logbridge import write_log
def late():
    result = asyncio.run(write_log("late"))
    assert "interpreter is ending" in result["error_message"], result
atexit.register(late)
assert asyncio.run(write_log("first"))["success"]
"""
    done = run_python(code, LOGBRIDGE_SINK="memory://")
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_package_is_cheap() -> None:
    """`import logbridge` loads neither gRPC nor a submodule, and reads no setting."""
    code = "import sys, logbridge; assert not {'grpc', 'msgspec', 'logbridge.domain'} & set(sys.modules)"
    done = run_python(code, PORT="wrong")
    assert (done.returncode, done.stderr) == (0, "")
