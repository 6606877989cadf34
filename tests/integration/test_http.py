"""The bridge over TCP, as a process of its own: start, requests, a tail, a stop."""

import asyncio
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from logbridge.domain.errors import InvalidSetting
from logbridge.entrypoints.http.server import bind
from logbridge.entrypoints.settings import Settings
from tests.integration.processes import ran
from tests.integration.served import API, running

pytestmark = pytest.mark.usefixtures("each_way")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_and_stops_cleanly(tmp_path: Path, workers: int, stop: signal.Signals) -> None:
    """It writes over TCP; a stop ends an open tail properly, and the exit code is 0."""
    async with (
        running(tmp_path, workers) as (process, url),
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        answer = await client.post(f"{API}/write", json={"message": "a"})
        assert answer.json()["success"] is True
        assert "server" not in answer.headers
        async with client.stream("GET", f"{API}/tail") as tail:
            lines = tail.aiter_lines()
            assert (await anext(lines)).startswith("id: ")
            process.send_signal(stop)
            async for _ in lines:
                pass
        assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_what_is_no_http_gets_a_problem(tmp_path: Path) -> None:
    """A request line that HTTP does not know gets 400 as problem+json, and the connection ends."""
    async with running(tmp_path) as (_, url):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"NONSENSE /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    for header in (b"content-type: application/problem+json", b"nosniff", b"connection: close", b"date: "):
        assert answer.count(header) == 1
    assert b'"status":400' in answer


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_during_the_start_exits_with_0(tmp_path: Path, stop: signal.Signals) -> None:
    """A signal that comes as soon as the address is told ends the process, with exit code 0."""
    async with running(tmp_path) as (process, _):
        process.send_signal(stop)
        assert await asyncio.wait_for(process.wait(), 60) == 0


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_the_loop_begins_exits_with_0(tmp_path: Path, stop: signal.Signals) -> None:
    """In the middle of its making, too, a loop is not broken off: it begins, and drains what there is."""
    program = f"""
import signal, socket, sys
from logbridge.entrypoints.http.server import serve
from logbridge.entrypoints.settings import Settings
pair, stops = socket.socketpair, [{int(stop)}]
def signalled(*arguments):
    # uvloop asks for these to hear of signals, and once more at the end.
    if stops:
        signal.raise_signal(stops.pop())
    return pair(*arguments)
socket.socketpair = signalled
sys.exit(serve(Settings(host="127.0.0.1", port=0, sink="memory://")))
"""
    assert "listens at" in ran(sys.executable, "-c", program, cwd=tmp_path)


def test_a_taken_port_is_one_line() -> None:
    """A port that another program has is refused by name, value and remedy."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InvalidSetting, match=f"PORT={port}: is taken by another program"):
            bind(Settings(host="127.0.0.1", port=port))


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_a_host_that_is_not_here_is_one_line(host: str) -> None:
    """An address of another machine, or none at all, names HOST."""
    with pytest.raises(InvalidSetting, match=f"HOST={host}"):
        bind(Settings(host=host, port=0))
