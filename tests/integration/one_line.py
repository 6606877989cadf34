"""An application of one line, served over TCP by our connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from logbridge.domain.measures import Measures
from logbridge.entrypoints.http.connection import Connections, StoppableHttp
from logbridge.entrypoints.http.decode import read_json_body
from logbridge.entrypoints.http.endpoints import Plain
from logbridge.entrypoints.http.lifecycle import Lifecycle
from logbridge.entrypoints.http.meter import RequestMeter
from logbridge.entrypoints.http.problems import Answer, ok
from logbridge.entrypoints.http.proxies import Proxies
from logbridge.entrypoints.http.recorded import RequestTracing
from logbridge.entrypoints.settings import Settings
from tests.integration.served import Connection, connected, until


class App:
    """Answers with the path: /slow only when the gate opens, /half never to the end; /body with its length,
    /pieces in two, and /large with more than anybody reads at once.

    With a query the answer is sent as a whole, in one message.

    entered: set by the first request. paths: what was begun. scope: of the last request. settings: of limits.
    """

    def __init__(self, **settings: Any) -> None:
        self.state = SimpleNamespace(
            lifecycle=Lifecycle(),
            settings=Settings(**settings),
            proxies=None,
            marked=lambda app: app,
            meter=RequestMeter(Measures(), ()),
            tracing=RequestTracing(None, ()),
        )
        if trusted := settings.get("trusted_proxies"):
            self.state.proxies = Proxies(trusted)
        self._body = Plain(self._length)
        self.state.lifecycle.serve()
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.paths: list[str] = []
        self.connections = Connections()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        self.scope = scope
        if scope["path"] == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        self.entered.set()
        if scope["path"] in ("/slow", "/half"):
            await self.gate.wait()
        if scope["path"] == "/pieces":
            await self._in_pieces(send)
        elif scope["path"] == "/large":
            await Answer(200, b"x" * 50_000_000).send(send)
        elif scope["path"] == "/body":
            await self._body(scope, receive, send)
        elif scope["path"] == "/broken":
            raise ZeroDivisionError
        else:
            await ok(scope["path"]).send(send, scope["extensions"] if scope["query_string"] else ())

    async def _in_pieces(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    async def _length(self, scope: Scope, receive: Receive) -> Answer:
        return ok(len(await read_json_body(scope, receive, self.state.settings.body_bytes_max)))


@asynccontextmanager
async def connection_to(app: App) -> AsyncIterator[Connection]:
    """A connection to a server of the application."""
    async with listening(app) as port:
        async with connected(port) as connection:
            yield connection
        await until(lambda: not app.connections.connections)


@asynccontextmanager
async def listening(app: App) -> AsyncIterator[int]:
    """The port of a server of the application."""
    config = uvicorn.Config(
        app,
        http=StoppableHttp,
        interface="asgi3",
        proxy_headers=False,
        log_config=None,
    )
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: StoppableHttp(config=config, server_state=app.connections, app_state={}), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]
