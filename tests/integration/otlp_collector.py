"""Receivers of OTLP logs, over real gRPC and real HTTP, that know nothing of logbridge, with a script."""

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import grpc
import uvicorn
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from logbridge.adapters.certificates import PemFiles
from logbridge.adapters.grpc.status import _DETAILS_KEY
from logbridge.adapters.otlp.grpc_sink import SERVICE
from logbridge.adapters.otlp.mapping import drafts_of
from logbridge.domain.entry import EntryDraft, EntryMaker, LogEntry

PROTOBUF = "application/x-protobuf"
DEPTH_MAX = 64
MAKER = EntryMaker(
    "default-service", 262_144, DEPTH_MAX, lambda: "2024-08-30T10:30:45.000000Z", lambda: "made-id"
)


class Answered(Exception):
    """A status in place of an answer. status: of gRPC or HTTP. trailing: metadata or headers beside it."""

    def __init__(self, status: Any, said: str = "", trailing: Any = ()) -> None:
        self.status, self.said, self.trailing = status, said, trailing


class Script(Protocol):
    """Looks at the messages of a request before any is stored.

    Returns bytes of an answer in place of its own, or raises Answered.
    """

    def __call__(self, messages: list[str]) -> bytes | None: ...


def messages_of(request: ExportLogsServiceRequest) -> list[str]:
    """The message of each record."""
    return [
        record.body.string_value
        for of_resource in request.resource_logs
        for of_scope in of_resource.scope_logs
        for record in of_scope.log_records
    ]


class _Collector:
    """What both keep. stored: what got in. seen: messages of each request. headers: of each request.

    rejects: whether it rejects a record, by its message; the others of the request get in, and the answer
    says only how many did not. gate: requests wait for it. entered: one has come. keeps_first: they are
    stored before they wait.
    """

    def __init__(
        self,
        script: Script = lambda messages: None,
        *,
        rejects: Callable[[str], bool] = lambda message: False,
        tls: PemFiles | None = None,
        said: str = "",
    ) -> None:
        self.stored: list[ExportLogsServiceRequest] = []
        self.seen: list[list[str]] = []
        self.headers: list[dict[str, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.keeps_first = False
        self.script = script
        self.rejects = rejects
        self.port = 0
        self._tls = tls
        self._said = said

    @property
    def messages(self) -> list[str]:
        """Those that got in."""
        return [m for request in self.stored for m in messages_of(request) if not self.rejects(m)]

    @property
    def entries(self) -> list[LogEntry]:
        """What got in, as a log service of ours would read it."""
        read = [draft for request in self.stored for draft in drafts_of(request, DEPTH_MAX)]
        return [MAKER.make(draft) for draft in read if isinstance(draft, EntryDraft)]

    async def _take(self, raw: bytes, headers: dict[str, str]) -> bytes:
        request = ExportLogsServiceRequest.FromString(raw)
        messages = messages_of(request)
        self.headers.append(headers)
        self.seen.append(messages)
        self.entered.set()
        if not self.keeps_first:
            await self.gate.wait()
        scripted = self.script(messages)
        if scripted is not None:
            return scripted
        self.stored.append(request)
        await self.gate.wait()
        response = ExportLogsServiceResponse()
        if rejected := sum(map(self.rejects, messages)):
            response.partial_success.rejected_log_records = rejected
        if rejected or self._said:
            response.partial_success.error_message = self._said or "body too strange"
        return response.SerializeToString()


class GrpcCollector(_Collector):
    """OTLP over gRPC; an async context manager."""

    message_bytes_max = 4 * 1024 * 1024

    async def __aenter__(self) -> "GrpcCollector":
        await self.start(0)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self, port: int) -> None:
        """Listen on a port of 127.0.0.1, 0 for any."""
        options = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", self.message_bytes_max))
        self._server = grpc.aio.server(options=options)
        handler = grpc.unary_unary_rpc_method_handler(self._export)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),)
        )
        self.port = self._add_port(self._server, f"127.0.0.1:{port}")
        await self._server.start()

    def _add_port(self, server: grpc.aio.Server, address: str) -> int:
        if self._tls is None:
            return server.add_insecure_port(address)
        pair = (Path(self._tls.key).read_bytes(), Path(self._tls.chain).read_bytes())
        return server.add_secure_port(address, grpc.ssl_server_credentials([pair]))

    async def stop(self) -> None:
        """Break every connection."""
        await self._server.stop(None)

    async def _export(self, raw: bytes, context: Any) -> bytes:
        try:
            return await self._take(raw, dict(context.invocation_metadata()))
        except Answered as answered:
            trailing = tuple((_DETAILS_KEY, value) for value in answered.trailing)
            await context.abort(answered.status, answered.said, trailing)
            raise


class HttpCollector(_Collector):
    """OTLP over HTTP, at /v1/logs; an async context manager."""

    body_bytes_max = 20 * 1024 * 1024
    content_type = PROTOBUF

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._clients: set[Any] = set()

    @property
    def connections(self) -> int:
        """How many connections requests came by."""
        return len(self._clients)

    async def __aenter__(self) -> "HttpCollector":
        await self.start(0)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self, port: int) -> None:
        """Listen on a port of 127.0.0.1, 0 for any."""
        app = Starlette(routes=[Route("/v1/logs", self._export, methods=["POST"])])
        tls = {} if self._tls is None else {"ssl_certfile": self._tls.chain, "ssl_keyfile": self._tls.key}
        config = uvicorn.Config(app, "127.0.0.1", port, log_config=None, lifespan="off", **tls)
        self._server = uvicorn.Server(config)
        self._serving = asyncio.ensure_future(self._server._serve())
        while not self._server.started:  # noqa: ASYNC110 (it has no event)
            await asyncio.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Break every connection."""
        for protocol in list(self._server.server_state.connections):
            protocol.transport.abort()
        self._server.should_exit = self._server.force_exit = True
        await self._serving

    async def _export(self, request: Request) -> Response:
        raw = await request.body()
        self._clients.add(request.client)
        if len(raw) > self.body_bytes_max:
            return Response(status_code=413)
        assert request.headers["content-type"] == PROTOBUF
        if request.headers.get("content-encoding") == "gzip":
            raw = gzip.decompress(raw)
        try:
            body = await self._take(raw, dict(request.headers))
        except Answered as answered:
            headers = {"content-type": "text/plain", **dict(answered.trailing)}
            return Response(answered.said.encode("latin-1"), answered.status, headers)
        return Response(body, 200, {"content-type": self.content_type})
