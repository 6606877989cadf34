"""A connection in the phases of a stop, over TCP, with an application of one line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from logbridge.entrypoints.http.connection import Connections, StoppableHttp
from logbridge.entrypoints.http.lifecycle import Lifecycle
from logbridge.entrypoints.http.problems import ok
from tests.integration.served import Closed, Connection, connected, until


class App:
    """Answers with the path: /slow only when the gate opens, /half never to the end.

    entered: set by the first request. paths: what was begun.
    """

    def __init__(self) -> None:
        self.state = SimpleNamespace(lifecycle=Lifecycle())
        self.state.lifecycle.serve()
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.paths: list[str] = []
        self.connections = Connections()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        if scope["path"] == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        self.entered.set()
        if scope["path"] in ("/slow", "/half"):
            await self.gate.wait()
        await ok(scope["path"]).send(send)


@asynccontextmanager
async def connection_to(app: App) -> AsyncIterator[Connection]:
    """A connection to a server of the application."""
    config = uvicorn.Config(app, http=StoppableHttp, interface="asgi3", proxy_headers=False, log_config=None)
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: StoppableHttp(config=config, server_state=app.connections, app_state={}), "127.0.0.1", 0
    )
    async with server:
        async with connected(server.sockets[0].getsockname()[1]) as connection:
            yield connection
        await until(lambda: not app.connections.connections)


async def test_a_request_in_the_drain_is_refused() -> None:
    """It gets 503 as a problem, its body read, and the connection ends."""
    app = App()
    async with connection_to(app) as connection:
        assert (await connection.ask("GET", "/first")).body == "/first"
        app.state.lifecycle.drain(1)
        answer = await connection.ask("POST", "/late", {"message": "a" * 1_000_000})
        assert (answer.status, answer.last, answer.body["status"]) == (503, True, 503)
        assert answer.headers["retry-after"]
        assert await connection.ended()
    assert app.paths == ["/first"]


async def test_a_connection_of_the_drain_is_refused_or_ends() -> None:
    """Who connected last gets 503 too; who then says nothing is not waited for."""
    app = App()
    app.state.lifecycle.drain(1)
    async with connection_to(app) as connection:
        assert (await connection.ask("GET", "/late")).status == 503
    async with connection_to(app) as connection:
        assert await connection.ended()


async def test_a_body_that_waits_to_be_asked_for_is_not_read() -> None:
    """Expect: 100-continue is answered with 503 at once."""
    app = App()
    app.state.lifecycle.drain(1)
    async with connection_to(app) as connection:
        connection.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        assert (await connection.read()).status == 503


@pytest.mark.parametrize("drains", [False, True])
async def test_what_waits_behind_the_last_answer_is_not_begun(drains: bool) -> None:
    """Of requests sent at once the running one is answered; the end is no reset, however much is unread."""
    app = App()
    async with connection_to(app) as connection:
        connection.send("GET", "/slow")
        await app.entered.wait()
        for _ in range(3):
            connection.send("POST", "/behind", {"message": "a" * 1_000_000})
        app.state.lifecycle.notice()
        for each in app.connections.connections:
            assert isinstance(each, StoppableHttp)
            each.leave()
            if drains:
                each.shutdown()
        app.gate.set()
        answer = await connection.read()
        assert (answer.body, answer.last) == ("/slow", True)
        with pytest.raises(Closed):
            await connection.read()
    assert app.paths == ["/slow"]


async def test_an_answer_that_began_breaks_off() -> None:
    """What is cut off in the middle of its answer never looks complete."""
    app = App()
    async with connection_to(app) as connection:
        connection.send("GET", "/half")
        await app.entered.wait()
        for task in app.connections.tasks:
            task.cancel()
        with pytest.raises(asyncio.IncompleteReadError):
            await connection.read()
