"""One thing that the API can be asked, as the routes and the OpenAPI document need it."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct
from starlette.types import ASGIApp

from logbridge.domain.access import Scope as Right
from logbridge.entrypoints.http.endpoints import Endpoints
from logbridge.entrypoints.http.export import Export
from logbridge.entrypoints.http.load_test import LoadTest
from logbridge.entrypoints.http.otlp import Otlp
from logbridge.entrypoints.http.probes import Probes
from logbridge.entrypoints.http.problems import JSON, PROBLEM, title_of
from logbridge.entrypoints.http.schema import Problem
from logbridge.entrypoints.http.session_endpoints import SessionEndpoints
from logbridge.entrypoints.http.stream import Stream
from logbridge.entrypoints.http.tail import Tail
from logbridge.entrypoints.http.watch_endpoints import MetricsEndpoint, StatsEndpoint


class Response(Struct, frozen=True):
    """One documented answer. types: all of them hold for the body at once. texts: examples of the texts that
    it may be as well, by media type.
    """

    description: str
    types: tuple[type, ...]
    example: Any
    media_type: str = JSON
    texts: dict[str, str] = {}


class Parameter(Struct, frozen=True):
    """One query parameter or header."""

    name: str
    description: str
    schema: dict[str, Any]
    where: str = "query"


STRANGERS = "Without keys it answers callers on this machine only, unless LOGBRIDGE_OPEN has read."


class Parts(Struct, frozen=True):
    """What answers the operations."""

    endpoints: Endpoints
    probes: Probes
    stream: Stream
    otlp: Otlp
    load_test: LoadTest
    export: Export
    tail: Tail
    sessions: SessionEndpoints
    stats: StatsEndpoint
    metrics: MetricsEndpoint


class Operation(Struct, frozen=True):
    """One thing to ask. handler: makes its ASGI endpoint. right: what a key needs for it, if anything.

    request_texts: examples of the texts that it takes besides JSON, or instead, by media type.
    """

    name: str
    method: str
    path: str
    summary: str
    handler: Callable[[Parts], ASGIApp]
    responses: dict[int, Response]
    description: str = ""
    request: type | None = None
    request_example: Any = None
    parameters: tuple[Parameter, ...] = ()
    right: Right | None = None
    tag: str = ""
    # Whether a key is needed though it needs no right.
    asks_who: bool = False
    request_texts: dict[str, str] = {}


REFUSALS = (400, 401, 403, 413, 415, 422, 429)
_WHY = {
    400: "Not JSON, or over a limit that the settings name.",
    401: "No key, or one that is unknown, revoked or expired.",
    403: "Closed to strangers, or the key lacks the scope or is not for that service.",
    408: "Nothing came for too long.",
    409: "This log_id is taken by other content.",
    413: "The body or the log is too large.",
    415: "A media type or an encoding that is not supported.",
    422: "Valid JSON that does not fit: which field, and why.",
    429: "More requests than this key or this address may make; Retry-After says when to come back.",
    501: "This log service cannot answer that.",
    502: "The log service refused.",
    503: "Too much in flight, or the log service is not reachable.",
    504: "The log service did not answer in time; the outcome may be unknown.",
}
_DETAILS = {
    400: "the body is not JSON: Expecting value at line 1 column 1",
    401: "/api/v1/logs/write needs a key: send Authorization: Bearer KEY or X-API-Key: KEY",
    403: "/api/v1/logs/query answers callers on this machine only; LOGBRIDGE_OPEN=read opens it to others, "
    "LOGBRIDGE_KEYS_FILE to those with a key",
    408: "nothing came for LOGBRIDGE_STREAM_IDLE_TIMEOUT_S=300 seconds",
    409: "this log_id is taken by other content",
    413: "the body is larger than LOGBRIDGE_BODY_BYTES_MAX=20971520 bytes",
    415: "Content-Type text/plain is not supported; send application/json",
    422: "$.adv_id: Expected `int | null`, got `str`",
    429: "the key shop may make 1000 requests a second",
    501: "this sink only writes: it cannot be asked for stored logs",
    502: "the log service refused it",
    503: "nothing listens at localhost:50051",
    504: "no answer before the deadline",
}


def problems(
    *statuses: int, also: type | None = None, beside: Callable[[str], Any] = lambda _: {}
) -> dict[int, Response]:
    """What it answers where it cannot. also: what stands beside the problem; beside: an example of it."""
    types: tuple[type, ...] = (Problem, also) if also else (Problem,)
    return {status: Response(_WHY[status], types, _example(status, beside), PROBLEM) for status in statuses}


def _example(status: int, beside: Callable[[str], Any]) -> Any:
    detail = _DETAILS[status]
    problem = {"type": "about:blank", "title": title_of(status), "status": status, "detail": detail}
    return problem | msgspec.to_builtins(beside(detail))
