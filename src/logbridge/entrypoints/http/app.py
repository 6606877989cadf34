"""The ASGI application: routes, the answers to whatever has no route, and the life of the container."""

import functools
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from logbridge import __version__
from logbridge.entrypoints.clock import utc_now
from logbridge.entrypoints.container import Container, close, start
from logbridge.entrypoints.http.access import Gate
from logbridge.entrypoints.http.console_pages import Console
from logbridge.entrypoints.http.cors import CrossOrigin
from logbridge.entrypoints.http.docs_pages import docs_routes
from logbridge.entrypoints.http.endpoints import Endpoints, Plain
from logbridge.entrypoints.http.export import Export
from logbridge.entrypoints.http.lifecycle import Lifecycle
from logbridge.entrypoints.http.load_test import LoadTest
from logbridge.entrypoints.http.meter import RequestMeter
from logbridge.entrypoints.http.openapi import openapi_document
from logbridge.entrypoints.http.operation import Parts
from logbridge.entrypoints.http.otlp import Otlp
from logbridge.entrypoints.http.probes import Probes, worker_readiness
from logbridge.entrypoints.http.problems import Answer, fault_problem, ok, problem
from logbridge.entrypoints.http.proxies import Proxies
from logbridge.entrypoints.http.recorded import RequestTracing
from logbridge.entrypoints.http.root_path import at_prefix
from logbridge.entrypoints.http.routes import api_routes, operations, root_of
from logbridge.entrypoints.http.session_endpoints import SessionEndpoints
from logbridge.entrypoints.http.sessions import SECRET_BYTES, Sessions
from logbridge.entrypoints.http.stream import Stream
from logbridge.entrypoints.http.tail import Tail
from logbridge.entrypoints.http.watch_endpoints import MetricsEndpoint, StatsEndpoint
from logbridge.entrypoints.rates import Rates

# What writes logs, by the name of its route.
SHORTCUTS = ("write", "batch", "otlp-logs")


class Bridge(Starlette):
    """Starlette, with a short way to the endpoints that write: past middleware, which they do not need."""

    shortcuts: dict[str, ASGIApp]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = None
        if scope["type"] == "http" and scope["method"] == "POST" and not scope.get("root_path"):
            endpoint = self.shortcuts.get(scope["path"])
        await (endpoint or super().__call__)(scope, receive, send)


def create_app(container: Container, session_secret: bytes = b"") -> Starlette:
    """The application over a container's bridge. session_secret: what several workers sign sessions with.

    ``app.state.lifecycle`` tells it that the server is stopping, and closes the container: when the server
    begins to drain, or else when the lifespan ends. Its ``settings``, ``proxies``, ``meter``, which counts
    requests, ``tracing``, and ``marked``, which makes answers readable for listed origins, are for its
    connections.
    """
    settings = container.settings
    bridge = container.bridge
    vitals = container.vitals
    lifecycle = Lifecycle(functools.partial(close, container))
    table = operations(settings.api_prefix)
    sessions = Sessions(session_secret or secrets.token_bytes(SECRET_BYTES), settings.root_path)
    rates = Rates(settings.address_rate, settings.key_rate, shared=container.board)
    gate = Gate(settings, container.keys, sessions, rates)
    endpoints = Endpoints(bridge, gate, settings, utc_now)
    document = ok(openapi_document(table, settings))
    root = ok(root_of(table, settings, __version__), headers={"Vary": "Accept"})
    console = Console(gate, settings)

    cross_origin = functools.partial(
        CrossOrigin, origins=settings.cors_origins, methods=[operation.method for operation in table]
    )
    parts = Parts(
        endpoints,
        Probes(lifecycle, "bridge", bridge.readiness),
        Stream(container.stream_bridge, gate, settings, lifecycle),
        Otlp(bridge, gate, settings),
        LoadTest(bridge, gate, settings, lifecycle, utc_now),
        Export(bridge, gate, lifecycle, utc_now),
        Tail(bridge, gate, settings, lifecycle),
        SessionEndpoints(gate, sessions),
        StatsEndpoint(vitals, gate, settings, lifecycle),
        MetricsEndpoint(vitals, gate, settings),
    )
    routes = api_routes(table, parts)
    app = Bridge(
        routes=[
            *routes,
            console.at_root(root),
            *console.routes(),
            _fixed(settings.openapi_path, document),
            *docs_routes(settings),
            *at_prefix(settings.root_path),
        ],
        exception_handlers=_handlers(
            routes, f"GET {settings.root_path}/ lists what there is", settings.root_path
        ),
        lifespan=_lifespan(container, lifecycle),
        middleware=[Middleware(cross_origin)] if settings.cors_origins else [],
    )
    # A redirect to the address without the slash would lose the body of many clients' POST.
    app.router.redirect_slashes = False
    short = cross_origin if settings.cors_origins else _as_it_is
    app.shortcuts = {route.path: short(route.app) for route in routes if route.name in SHORTCUTS}
    _equip(app, container, lifecycle, short)
    return app


def create_forward_app(container: Container) -> Starlette:
    """What a worker answers: probes and metrics, by the same rules as a bridge, and with the same state."""
    settings = container.settings
    vitals = container.vitals
    lifecycle = Lifecycle(functools.partial(close, container))
    # Nobody begins a session here.
    sessions = Sessions(secrets.token_bytes(SECRET_BYTES))
    gate = Gate(settings, container.keys, sessions, Rates(settings.address_rate, settings.key_rate))
    readiness = functools.partial(worker_readiness, vitals, container.bridge.health)
    probes = Probes(lifecycle, "worker", readiness)
    answers = {
        "/livez": probes.livez,
        "/readyz": probes.readyz,
        "/metrics": MetricsEndpoint(vitals, gate, settings).show,
    }
    routes = [Route(path, Plain(answer), methods=["GET"]) for path, answer in answers.items()]
    app = Starlette(
        routes=routes,
        exception_handlers=_handlers(routes, f"a worker has {', '.join(answers)}"),
        lifespan=_lifespan(container, lifecycle, deliver=True),
    )
    app.router.redirect_slashes = False
    _equip(app, container, lifecycle, _as_it_is)
    return app


def _lifespan(
    container: Container, lifecycle: Lifecycle, *, deliver: bool = False
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """From the first delivery to the end of the drain. deliver: see start."""
    vitals, tracer = container.vitals, container.tracer

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        start(container, deliver=deliver)
        vitals.start()
        lifecycle.serve()
        try:
            yield
        finally:
            await lifecycle.drain(container.settings.drain_s)
            await vitals.stop()
            if tracer is not None:
                await tracer.aclose(lifecycle.left_s)

    return lifespan


def _equip(
    app: Starlette, container: Container, lifecycle: Lifecycle, marked: Callable[[ASGIApp], ASGIApp]
) -> None:
    """Give an application the state that its connections and its server look at."""
    settings = container.settings
    paths = [route.path for route in app.routes if isinstance(route, Route)]
    app.state.marked = marked
    app.state.lifecycle = lifecycle
    app.state.settings = settings
    app.state.meter = RequestMeter(container.measures, paths)
    app.state.tracing = RequestTracing(container.tracer, paths)
    app.state.proxies = Proxies(settings.trusted_proxies) if settings.trusted_proxies else None


def _as_it_is(app: ASGIApp) -> ASGIApp:
    return app


def _fixed(path: str, answer: Answer) -> Route:
    async def always(_scope: Scope, _receive: Receive) -> Answer:
        return answer

    return Route(path, Plain(always), methods=["GET"])


def _methods_by_path(routes: Iterable[Route]) -> dict[str, str]:
    """What Allow says of each path: Starlette knows only the methods of one route of several."""
    methods: dict[str, set[str]] = {}
    for route in routes:
        methods.setdefault(route.path, set()).update(route.methods or ())
    return {path: ", ".join(sorted(names)) for path, names in methods.items()}


def _handlers(routes: Iterable[Route], hint: str, root_path: str = "") -> Mapping[Any, Any]:
    """The answers to what has no route, or broke. hint: where to find what there is."""
    methods = _methods_by_path(routes)
    return {HTTPException: functools.partial(_no_route, methods, hint, root_path), Exception: _broken}


async def _no_route(
    methods: Mapping[str, str], hint: str, root_path: str, request: Request, error: Exception
) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (Starlette's type for handlers is too wide)
    headers = dict(error.headers or {})
    allowed = methods.get(request.url.path) or headers.get("Allow", "")
    if error.status_code == 405:
        headers["Allow"] = allowed
    reasons = {
        404: f"there is no {root_path}{request.url.path[:200]}; {hint}",
        405: f"{request.method} is not possible here; allowed: {allowed}",
    }
    return _response(
        problem(error.status_code, reasons.get(error.status_code, error.detail), headers=headers)
    )


async def _broken(_request: Request, _error: Exception) -> Response:
    # Starlette raises it again, and the connection logs it.
    return _response(fault_problem())


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers, answer.media_type)
