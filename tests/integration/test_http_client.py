"""logbridge.http before a real bridge and a real log service: all of its calls, TLS, forks, and a kill."""

import asyncio
import contextlib
import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from logbridge.domain.errors import InvalidEntry
from logbridge.entrypoints.background.background import Counts
from logbridge.http import (
    AsyncClient,
    Client,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Refused,
    Unauthorized,
)
from tests.certificates import Authority
from tests.integration.processes import (
    Bridge,
    bridge,
    end,
    free_port,
    held_port,
    log_service,
    read_until,
    start,
    until,
)
from tests.integration.test_client import run_python
from tests.integration.test_keys import create
from tests.integration.test_sync_client import stored
from tests.unit.test_docs import blocks_of

READ = {"LOGBRIDGE_OPEN": "read"}
WAIT_S = 60.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge with its log service; each test reads what is of a service of its own."""
    folder, port = tmp_path_factory.mktemp("http"), free_port()
    with log_service(folder, port), bridge(folder, f"grpc://127.0.0.1:{port}", **READ) as running:
        yield running


@pytest.fixture
def client(running: Bridge) -> Iterator[Client]:
    with Client(str(running.client.base_url)) as client:
        yield client


def messages(client: Client, service: str) -> Counter[str]:
    return Counter(log.message for log in client.query(service_name=service))


def test_what_is_written_is_read_back(client: Client) -> None:
    """Every kind of field arrives as REST says, under the id and at the time that were given."""
    given: dict[str, Any] = {
        "service_name": "fields",
        "level": "warning",
        "trace_id": "t-1",
        "span_id": "s-1",
        "timestamp": "2024-08-30T10:30:45.123456789Z",
        "log_id": "mine",
        "adv_id": 2**60,
        "monitor_type": "click",
        "metadata": {"订单": "🚀", "nested": {"a": [1, None]}},
        "custom": 1.5,
    }
    written = client.write("it's\x00 here", **given)
    assert (written.success, written.log_id, written.spooled) == (True, "mine", False)
    (log,) = client.query(service_name="fields")
    assert (log.id, log.message, log.level) == ("mine", "it's\x00 here", "WARN")
    assert (log.trace_id, log.span_id, log.timestamp) == ("t-1", "s-1", given["timestamp"])
    assert log.metadata == {
        "adv_id": str(2**60),
        "monitor_type": "click",
        "订单": "🚀",
        "nested": '{"a":[1,null]}',
        "custom": "1.5",
    }
    assert client.write("it's\x00 here", **given).log_id == "mine"
    assert len(list(client.query(service_name="fields"))) == 1
    with pytest.raises(Conflict, match="409"):
        client.write("other content", service_name="fields", log_id="mine")


def test_a_batch_of_any_size(client: Client) -> None:
    """More logs than a request may have go in several; the bad ones fail alone, each at its place."""
    entries = [
        {"message": str(number) if number % 500 else "", "service_name": "batch"} for number in range(2500)
    ]
    result = client.write_batch(entries)
    assert (result.total_count, result.success_count, result.error_count) == (2500, 2495, 5)
    assert [index for index, each in enumerate(result.results) if not each.success] == [*range(0, 2500, 500)]
    assert result.errors[1].startswith("Entry 500: ")
    assert sum(messages(client, "batch").values()) == 2495
    assert client.write_batch([{"message": ""}]).errors[0].startswith("Entry 0: $.message")
    with pytest.raises(Refused, match="message"):
        client.write("")


def test_a_stream_of_a_generator(client: Client) -> None:
    """20,000 logs from a generator go in one request; what is wrong is named by its line."""
    result = client.stream(
        {"message": "" if number == 7 else str(number), "service_name": "stream"} for number in range(20_000)
    )
    assert (result.total_count, result.success_count, result.error_count) == (20_000, 19_999, 1)
    assert [(error.line, "message" in error.error_message) for error in result.errors] == [(8, True)]
    assert client.page(service_name="stream", limit=1).total_count == 19_999
    with pytest.raises(InvalidEntry):
        client.stream([{"message": "\ud800"}])


def test_pages_do_not_shift(client: Client) -> None:
    """While others write, a query gives each log that was there at its start, once."""
    client.write_batch({"message": str(number), "service_name": "pages"} for number in range(5000))
    seen: Counter[str] = Counter()
    for number, log in enumerate(client.query(service_name="pages")):
        seen[log.message] += 1
        if number % 500 == 0:
            client.write_batch([{"message": "meanwhile", "service_name": "pages"}] * 40)
    assert {message: count for message, count in seen.items() if message != "meanwhile"} == {
        str(number): 1 for number in range(5000)
    }
    assert len(list(client.query(service_name="pages", logs_max=30))) == 30


async def test_the_twin_for_asyncio(running: Bridge) -> None:
    """The same calls, awaited: a write, a batch, a stream of an async generator, a query, health, stats."""
    async with AsyncClient(str(running.client.base_url)) as client:
        written = await asyncio.gather(*(client.write("one", service_name="twin") for _ in range(1500)))
        assert len({each.log_id for each in written}) == 1500
        assert (await client.write_batch([{"message": "two", "service_name": "twin"}] * 3)).success_count == 3

        async def lines() -> AsyncIterator[dict[str, Any]]:
            for _ in range(1500):
                yield {"message": "three", "service_name": "twin"}

        assert (await client.stream(lines())).success_count == 1500
        assert client.log("four", service_name="twin")
        assert await client.flush(WAIT_S)
        found = Counter([log.message async for log in client.query(service_name="twin")])
        assert found == {"one": 1500, "two": 3, "three": 1500, "four": 1}
        assert (await client.health()).status == "healthy"
        assert (await client.stats(history_s=5)).performance.logs["accepted"] > 1500


async def test_a_tail_goes_on_where_it_broke(tmp_path: Path) -> None:
    """New logs come as they are stored, also over a restart of the bridge, each once."""
    sink, port = free_port(), free_port()
    with log_service(tmp_path, sink):
        url = f"http://127.0.0.1:{port}"
        async with AsyncClient(url) as client, contextlib.aclosing(client.tail(service_name="t")) as tail:
            with bridge(tmp_path, f"grpc://127.0.0.1:{sink}", port=port, **READ) as running:
                coming = asyncio.ensure_future(anext(tail))
                while not coming.done():
                    assert (await client.write("first", service_name="t")).success
                    await asyncio.wait([coming], timeout=0.1)
                assert (await coming).message == "first"
                end(running.process, signal.SIGKILL)
            with bridge(tmp_path, f"grpc://127.0.0.1:{sink}", port=port, **READ):
                assert (await client.write("after", service_name="t")).success
                async for log in tail:
                    if log.message == "after":
                        break


def test_keys_tls_and_a_prefix(tmp_path: Path) -> None:
    """Over https with a CA of its own, under another path, with a key; without one it is told what lacks."""
    authority = Authority(tmp_path)
    files = authority.issue("bridge")
    key = create(tmp_path, "program", "--scope", "write")
    process = start(
        tmp_path, "serve", "--port", "0", HOST="127.0.0.1", LOGBRIDGE_SINK="memory://",
        LOGBRIDGE_KEYS_FILE=str(tmp_path / "keys.json"), LOGBRIDGE_API_PREFIX="/logs/v9",
        LOGBRIDGE_TLS_CERT=files.chain, LOGBRIDGE_TLS_KEY=files.key,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = read_until(process.stdout, r"listens at https://[\d.]+:(\d+),")[1]
        url, trust = f"https://localhost:{port}", {"ca_file": authority.ca, "api_path": "/logs/v9"}
        with Client(url, key=key, **trust) as client:
            assert client.write("m").success
            assert client.log("m")
            assert client.flush(WAIT_S)
            assert client.counts == Counts(sent=1, last_error=client.counts.last_error)
            with pytest.raises(Forbidden, match="read"):
                client.page()
        with Client(url, **trust) as stranger, pytest.raises(Unauthorized, match="key"):
            stranger.write("m")
        with (
            Client(url, api_path="/logs/v9", retry_s=0) as careful,
            pytest.raises(ConnectionFailed, match="ca_file"),
        ):
            careful.write("m")
    finally:
        end(process)


def test_a_log_that_waits_on_the_disk_of_the_bridge(tmp_path: Path) -> None:
    """prefer_async: acknowledged while the log service is away, said to be spooled, and stored once."""
    sink = free_port()
    with bridge(tmp_path, f"grpc://127.0.0.1:{sink}", LOGBRIDGE_SPOOL="sqlite:///spool") as running:
        with Client(str(running.client.base_url), prefer_async=True) as client:
            assert client.write("one").spooled
            batch = client.write_batch({"message": str(number)} for number in range(3))
            assert [each.spooled for each in batch.results] == [True, True, True]
            assert client.stream([{"message": "streamed"}]).spooled
            assert client.health().status == "unhealthy"
        expected = dict.fromkeys(["one", "0", "1", "2", "streamed"], 1)
        with log_service(tmp_path, sink):
            until(lambda: stored(tmp_path) == expected)


def test_threads_share_a_client(client: Client) -> None:
    """Eight threads write through one client; each write has its own answer."""
    ids: list[str] = []

    def work() -> None:
        ids.extend(client.write("m", service_name="threads").log_id for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 400
    assert messages(client, "threads") == {"m": 400}


def test_a_fork_has_connections_of_its_own(running: Bridge, client: Client) -> None:
    """A child writes and logs through a client that its parent has used, and so does the parent after it."""
    code = """
import os, warnings
from logbridge.http import Client
client = Client("{url}", exit_timeout_s=100)
client.write("before", service_name="forks")
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork with threads
child = os.fork()
if not child:
    client.write("child", service_name="forks")
    assert client.log("child", service_name="forks") and client.close()
    os._exit(0)
client.write("parent", service_name="forks")
assert os.waitpid(child, 0)[1] == 0
client.close()
"""
    done = run_python(code.replace("{url}", str(running.client.base_url)))
    assert (done.returncode, done.stderr) == (0, "")
    assert messages(client, "forks") == {"before": 1, "child": 2, "parent": 1}


def test_a_killed_bridge_costs_nothing(tmp_path: Path) -> None:
    """While the bridge is killed and started again, writes wait; all that is acknowledged is stored, once."""
    sink, port = free_port(), free_port()
    with log_service(tmp_path, sink):
        written: list[str] = []
        with Client(f"http://127.0.0.1:{port}", retry_s=WAIT_S) as client:

            def work() -> None:
                written.extend(client.write(str(number)).log_id for number in range(600))

            writing = threading.Thread(target=work)
            with bridge(tmp_path, f"grpc://127.0.0.1:{sink}", port=port) as running:
                writing.start()
                for number in range(1000):
                    assert client.log(f"logged {number}")
                until(lambda: len(written) > 100 and client.counts.sent)
                end(running.process, signal.SIGKILL)
            with bridge(tmp_path, f"grpc://127.0.0.1:{sink}", port=port):
                writing.join(WAIT_S)
                assert client.flush(WAIT_S)
                assert client.counts == Counts(sent=1000, last_error=client.counts.last_error)
    assert len(written) == 600
    expected = {str(number): 1 for number in range(600)} | {f"logged {number}": 1 for number in range(1000)}
    assert stored(tmp_path) == expected


def test_without_a_bridge(tmp_path: Path) -> None:
    """A write says that nothing was written; a program that only logs ends, and says what it lost."""
    code = """
from logbridge.http import Client
client = Client("http://127.0.0.1:{port}", exit_timeout_s=0.5)
for number in range(100):
    assert client.log(str(number))
"""
    with held_port() as port:
        with (
            Client(f"http://127.0.0.1:{port}", retry_s=0) as client,
            pytest.raises(ConnectionFailed) as caught,
        ):
            client.write("m", log_id="mine")
        assert (caught.value.log_id, caught.value.may_be_written) == ("mine", False)
        done = run_python(code.replace("{port}", str(port)))
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("logs lost: 100, ")


def test_a_program_that_closes_nothing(running: Bridge) -> None:
    """All that it logged is sent, and its connections are ended: no warning of an open socket."""
    code = f"""
from logbridge.http import AsyncClient, Client
client = Client("{running.client.base_url}", exit_timeout_s=100)
beside = AsyncClient("{running.client.base_url}", exit_timeout_s=100)
client.write("written", service_name="left open")
client.log("logged", service_name="left open")
beside.log("logged beside", service_name="left open")
"""
    done = run_python(code)
    assert (done.returncode, done.stderr) == (0, "")
    with Client(str(running.client.base_url)) as client:
        assert set(messages(client, "left open")) == {"written", "logged", "logged beside"}


@pytest.mark.parametrize("code", blocks_of("docs/python-http.md", "python"))
def test_the_examples_of_the_page_run(running: Bridge, code: str) -> None:
    """Each example is a program that runs."""
    done = run_python(code.replace("http://127.0.0.1:8001", str(running.client.base_url)))
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_light() -> None:
    """A program that imports it loads no gRPC, no server and no container."""
    code = """
import sys
from logbridge.http import Client
Client("http://127.0.0.1:1").close()
heavy = {"grpc", "google", "starlette", "uvicorn", "cyclopts", "prometheus_client",
         "logbridge.entrypoints.container"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
