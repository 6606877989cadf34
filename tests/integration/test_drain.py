"""Stopping: who is told, what is still served, what is answered, and how the process ends."""

import asyncio
import contextlib
import errno
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette

from logbridge.adapters.memory import MemorySink
from logbridge.entrypoints.container import Container
from logbridge.entrypoints.http.app import create_app
from logbridge.entrypoints.http.connection import StoppableHttp
from logbridge.entrypoints.http.draining import RETIRE, DrainingServer, let_nobody_in
from logbridge.entrypoints.settings import Settings
from tests.integration.field_peer import FieldPeer
from tests.integration.load import LOG, WRITE, Load
from tests.integration.served import Reply, Served, connected, running, until
from tests.integration.workers import gone, workers_of

LONG_S = 3600.0


@asynccontextmanager
async def slow(folder: Path, workers: int = 1, **settings: Any) -> AsyncIterator[tuple[Served, FieldPeer]]:
    """A bridge whose log service answers no write before ``gate`` is set; writes may take long."""
    async with FieldPeer() as peer:
        limits = ("request_timeout_s", "attempt_timeout_s", "retry_budget_s", "body_timeout_s")
        patient = dict.fromkeys(limits, LONG_S)
        address = f"grpc://{peer.address}"
        async with running(folder, workers, sink=address, **{**patient, **settings}) as served:
            peer.gate.clear()
            try:
                yield served, peer
            finally:
                peer.gate.set()


def processes_of(served: Served) -> list[int]:
    """The process ids of its workers."""
    return workers_of(served.process.pid)


async def test_the_notice(tmp_path: Path) -> None:
    """After SIGTERM /readyz says 503; old and new connections are served, each for a last time."""
    async with running(tmp_path, drain_notice_s=LONG_S, drain_s=LONG_S, body_timeout_s=LONG_S) as served:
        async with connected(served.port) as kept, connected(served.port) as early:
            assert not (await kept.ask("GET", "/readyz")).last
            early.send("POST", WRITE, LOG, part=slice(0, -1))
            served.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                while (await _once(served, "GET", "/readyz")).status != 503:
                    pass
            for method, path, body in (("GET", "/livez", None), ("POST", WRITE, LOG)):
                fresh = await _once(served, method, path, body)
                assert (fresh.status, fresh.last) == (200, True), path
            answer = await kept.ask("POST", WRITE, LOG)
            assert (answer.status, answer.last, await kept.ended()) == (200, True, True)
            early.send("POST", WRITE, LOG, part=slice(-1, None))
            answer = await early.read()
            assert (answer.status, answer.last, await early.ended()) == (200, True, True)
        served.process.send_signal(signal.SIGTERM)
        assert await served.ended() == -signal.SIGTERM


async def _once(served: Served, method: str, path: str, body: Any = None) -> Reply:
    """The answer on a connection of its own."""
    async with connected(served.port) as connection:
        return await connection.ask(method, path, body)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_what_is_in_flight_finishes(tmp_path: Path, stop: signal.Signals, workers: int) -> None:
    """The listener closes, idle connections end, half a body is awaited and refused, a write is stored."""
    async with (
        slow(tmp_path, workers) as (served, peer),
        connected(served.port) as writing,
        connected(served.port) as uploading,
        connected(served.port) as idle,
    ):
        assert (await idle.ask("GET", "/livez")).status == 200
        writing.send("POST", WRITE, LOG)
        uploading.send("POST", WRITE, LOG, part=slice(0, -1))
        await asyncio.wait_for(peer.entered.wait(), 30)
        served.process.send_signal(stop)
        await served.refuses()
        assert await idle.ended()
        uploading.send("POST", WRITE, LOG, part=slice(-1, None))
        refused = await uploading.read()
        assert (refused.status, refused.last, refused.body["success"]) == (503, True, False)
        assert served.process.returncode is None
        peer.gate.set()
        answer = await writing.read()
        assert (answer.status, answer.last, await writing.ended()) == (200, True, True)
        assert await served.ended() == 0
    assert len(peer.stored) == 1


async def test_what_does_not_end_in_time_is_answered(tmp_path: Path) -> None:
    """At LOGBRIDGE_DRAIN_S an unfinished write gets 503 and so does half a body; the exit code is 0."""
    async with (
        slow(tmp_path, drain_s=0.1) as (served, peer),
        connected(served.port) as writing,
        connected(served.port) as uploading,
    ):
        writing.send("POST", WRITE, LOG)
        uploading.send("POST", WRITE, LOG, part=slice(0, -1))
        await asyncio.wait_for(peer.entered.wait(), 30)
        served.process.send_signal(signal.SIGTERM)
        for answer in (await writing.read(), await uploading.read()):
            assert (answer.status, answer.last) == (503, True)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["retry-after"]
        assert await served.ended() == 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(tmp_path: Path, second: signal.Signals, workers: int) -> None:
    """Nothing is waited for any more: the process, and its workers, end by the signal."""
    async with slow(tmp_path, workers) as (served, peer), connected(served.port) as writing:
        writing.send("POST", WRITE, LOG)
        await asyncio.wait_for(peer.entered.wait(), 30)
        await until(lambda: len(processes_of(served)) == (workers if workers > 1 else 0))
        pids = processes_of(served)
        served.process.send_signal(signal.SIGTERM)
        await served.refuses()
        served.process.send_signal(second)
        assert await served.ended() == -second
        await until(lambda: gone(pids))


async def test_signals_to_the_whole_group(tmp_path: Path) -> None:
    """A service manager that signals the workers too does not cut them off: they drain."""
    async with slow(tmp_path, 2) as (served, peer), connected(served.port) as writing:
        writing.send("POST", WRITE, LOG)
        await asyncio.wait_for(peer.entered.wait(), 30)
        for pid in processes_of(served):
            os.kill(pid, signal.SIGTERM)
        served.process.send_signal(signal.SIGTERM)
        await served.refuses()
        peer.gate.set()
        assert (await writing.read()).status == 200
        assert await served.ended() == 0


async def test_a_killed_supervisor_leaves_no_workers(tmp_path: Path) -> None:
    """kill -9 of the parent: its workers let the port go, finish what is in flight, and end."""
    async with slow(tmp_path, 2) as (served, peer), connected(served.port) as writing:
        writing.send("POST", WRITE, LOG)
        await asyncio.wait_for(peer.entered.wait(), 30)
        await until(lambda: len(processes_of(served)) == 2)
        pids = processes_of(served)
        served.process.kill()
        await served.refuses()
        peer.gate.set()
        assert (await writing.read()).status == 200
        await until(lambda: gone(pids))


async def test_a_worker_that_retires_makes_nobody_doubt(tmp_path: Path) -> None:
    """Who asks it for /readyz on an open connection hears what the others would say, and is sent to them."""
    async with (
        running(tmp_path, 2, drain_notice_s=LONG_S, drain_s=LONG_S) as served,
        connected(served.port) as kept,
    ):
        answer = await kept.ask("GET", "/readyz")
        await until(lambda: len(processes_of(served)) == 2)
        for pid in processes_of(served):
            os.kill(pid, RETIRE)
        statuses = {answer.status}
        async with asyncio.timeout(30):
            while not answer.last:
                answer = await kept.ask("GET", "/readyz")
                statuses.add(answer.status)
        assert await kept.ended()
        # Not the same one twice: of equal signals that it has not heard yet a process keeps one.
        for number in (signal.SIGTERM, signal.SIGINT):
            served.process.send_signal(number)
        assert await served.ended() in (-signal.SIGTERM, -signal.SIGINT)
    assert statuses == {200}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("notice_s", [0.0, 2.0])
async def test_under_load_no_answer_is_broken(tmp_path: Path, notice_s: float, workers: int) -> None:
    """Each request gets a whole answer, a refused connection, or the proper end of an idle one.

    After a notice it is served or finds nobody, and nothing else: who had connected had a last call.
    """
    async with (
        FieldPeer() as peer,
        running(tmp_path, workers, sink=f"grpc://{peer.address}", drain_notice_s=notice_s) as served,
    ):
        load = Load(served.port)
        async with load.pouring(until_refused=True):
            served.process.send_signal(signal.SIGTERM)
            assert await served.ended() == 0
    assert set(load.seen) <= (
        {"200", "refused"} if notice_s else {"200", "503", "refused", "closed", "reset"}
    )
    # Who connects in the very instant of closing is reset before it is heard: no call closes without that.
    assert load.seen["reset"] <= 2
    assert load.seen["refused"] == 16
    assert load.seen["200"] == len(peer.stored)


@pytest.mark.parametrize("number", [signal.SIGTERM, RETIRE])
async def test_a_stop_during_the_start(number: int) -> None:
    """It waits for the end of the start: who has connected meanwhile is served, for the only time."""
    settings = Settings(drain_notice_s=0.01, drain_s=LONG_S)
    app = create_app(Container(settings, MemorySink()))
    started, held, go = app.router.lifespan_context, threading.Event(), threading.Event()

    @asynccontextmanager
    async def hold(app: Starlette) -> AsyncIterator[object]:
        held.set()
        await asyncio.to_thread(go.wait)
        async with started(app) as state:
            yield state

    app.router.lifespan_context = hold
    config = uvicorn.Config(app, http=StoppableHttp, ws="none", proxy_headers=False, log_config=None)
    server = DrainingServer(config, settings, again=signal.raise_signal)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(asyncio.to_thread(server.run, [listener]))
        try:
            async with connected(listener.getsockname()[1]) as client:
                await asyncio.to_thread(held.wait)
                server.handle_exit(number, None)
                go.set()
                answer = await client.ask("POST", WRITE, LOG)
                assert (answer.status, answer.last, await client.ended()) == (200, True, True)
        finally:
            go.set()
            server.should_exit = True
            await serving


async def test_workers_are_replaced_under_load(tmp_path: Path) -> None:
    """SIGHUP replaces one worker after the other, and every request is answered as before."""
    async with (
        FieldPeer() as peer,
        running(tmp_path, 2, sink=f"grpc://{peer.address}", drain_notice_s=10.0) as served,
    ):
        load = Load(served.port)
        async with load.pouring():
            old = processes_of(served)
            served.process.send_signal(signal.SIGHUP)
            await until(lambda: gone(old) and len(processes_of(served)) == 2)
        assert set(load.seen) == {"200"}
        served.process.send_signal(signal.SIGTERM)
        assert await served.ended() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such a filter")
def test_a_listener_that_is_about_to_close_ignores_newcomers() -> None:
    """Who had connected is accepted; who comes then is refused once it is closed, and was never let in."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as clients:
        address = listener.getsockname()
        clients.enter_context(socket.create_connection(address))
        let_nobody_in(listener)
        late = clients.enter_context(socket.socket())
        late.setblocking(False)
        assert late.connect_ex(address) == errno.EINPROGRESS
        clients.enter_context(listener.accept()[0])
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        listener.close()
        assert select.select([], [late], [], 30)[1] == [late]
        assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def test_only_who_asks_for_a_connection_is_ignored() -> None:
    """What is sent on one passes the same filter: who was answered gets in before the listener closes."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as accepted,
    ):
        let_nobody_in(accepted)
        client.sendall(b"a")
        accepted.settimeout(30)
        assert accepted.recv(1) == b"a"
