"""What a request tells of itself beside its meaning: its id and its trace; and the span that records it."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from starlette.types import Scope

from logbridge.domain.trace import Trace, Tracer, parse_trace
from logbridge.entrypoints.request_id import HEADER, new_request_id, request_id_of

_PARENT, _STATE = b"traceparent", b"tracestate"
TOLD = frozenset((HEADER, _PARENT, _STATE))
# RFC 9110 and 5789: what any other method is called is not recorded.
_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))


def what_was_told(headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, tuple[Trace, ...]]:
    """The id of a request, and its trace if it has one, of those headers that are TOLD."""
    ids = [value for name, value in headers if name == HEADER]
    parents = [value.decode("latin-1") for name, value in headers if name == _PARENT]
    states = [value.decode("latin-1") for name, value in headers if name == _STATE]
    trace = parse_trace(parents, states)
    return request_id_of(ids), () if trace is None else (trace,)


class Traced(Protocol):
    """A request that is under way."""

    scope: Any
    request_id: bytes
    traces: tuple[Trace, ...]
    recorded: "Recorded | None"


class RequestTracing:
    """Gives requests their ids and traces, and records them. tracer: None where nothing is recorded.

    routes: the paths that are told apart.
    """

    def __init__(self, tracer: Tracer | None, routes: Collection[str]) -> None:
        self._tracer = tracer
        self._routes = frozenset(routes)

    def begin(self, request: Traced, told: Sequence[tuple[bytes, bytes]]) -> None:
        """A request begins. told: those of its headers that are TOLD."""
        if told:
            request.request_id, request.traces = what_was_told(told)
        else:
            request.request_id = new_request_id()
        if self._tracer is not None:
            scope = request.scope
            route = scope["path"] if scope["path"] in self._routes else ""
            recorded = Recorded(self._tracer, scope, route, request.request_id, request.traces)
            request.recorded, request.traces = recorded, (recorded.trace,)


class Recorded:
    """The span of a request, by the conventions of OpenTelemetry for HTTP servers; it begins now.

    route: empty where there is none. trace: its place, for whoever is called. status: int, of the answer; 0
    before there is one.
    """

    def __init__(
        self, tracer: Tracer, scope: Scope, route: str, request_id: bytes, traces: tuple[Trace, ...]
    ) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        attributes: dict[str, Any] = {
            "http.request.method": method,
            "url.scheme": scope["scheme"],
            "url.path": scope["path"],
            "network.protocol.version": scope["http_version"],
            "logbridge.request_id": request_id.decode("ascii"),
        }
        if route:
            attributes["http.route"] = route
        if scope["client"]:
            attributes["client.address"] = scope["client"][0]
        if scope["server"]:
            attributes["server.address"] = scope["server"][0]
            if scope["server"][1] is not None:
                attributes["server.port"] = scope["server"][1]
        name = "HTTP" if method == "_OTHER" else method
        self._span = tracer.begin(f"{name} {route}".rstrip(), attributes, traces, inbound=True)
        self.trace = self._span.trace
        self.status = 0

    def end(self) -> None:
        """Its answer is out, or nobody waits for it any more."""
        attributes = {"http.response.status_code": self.status} if self.status else {}
        self._span.end(attributes, str(self.status) if self.status >= 500 else "")
