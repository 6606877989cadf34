"""A log service as in the field: a real gRPC server that knows nothing of logbridge, with a script."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
from grpc import StatusCode

from logbridge.adapters.certificates import PemFiles
from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.mapping import SERVICE

Status = tuple[StatusCode, str] | tuple[StatusCode, str, tuple[tuple[str, bytes], ...]]


class FieldPeer:
    """Ignores ids, has no health service, only queues; use it as an async context manager.

    has_batches, has_queries: whether it has BatchWriteLog and QueryLog. message_bytes_max: what it takes.
    queue_entries_max: entries until its queue is full. refuses: the status for a message, None to take it.
    answers: bytes or a status, with trailing metadata perhaps, that stand in for the answers of a method.
    honours_ids: it stores an entry under the id that was sent. calls: methods called, in order.
    stored: what got in. in_flight_max: the most WriteLogs seen at once. gate: writes wait for it.
    tls: what it shows, valid or not. port: where it listens first, 0 for any; one that is to be stopped and
    followed by another one must have a port that nobody else is given meanwhile.
    """

    def __init__(
        self,
        *,
        has_batches: bool = True,
        has_queries: bool = True,
        message_bytes_max: int = 4 * 1024 * 1024,
        queue_entries_max: int = 1_000_000,
        refuses: Callable[[str], Status | None] = lambda message: None,
        answers: dict[str, bytes | Status] | None = None,
        filters_level: bool = True,
        honours_ids: bool = False,
        tls: PemFiles | None = None,
        port: int = 0,
    ) -> None:
        self.calls: list[str] = []
        self.stored: list[pb.LogEntry] = []
        self.in_flight_max = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.answers = answers or {}
        self.address = ""
        self._filters_level = filters_level
        self._honours_ids = honours_ids
        self._queue_entries_max = queue_entries_max
        self._refuses = refuses
        self._tls = tls
        self._port = port
        self._in_flight = 0
        self._methods: dict[str, Callable[[bytes, Any], Any]] = {"WriteLog": self._write}
        if has_batches:
            self._methods["BatchWriteLog"] = self._write_batch
        if has_queries:
            self._methods["QueryLog"] = self._query
        self._options = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", message_bytes_max))
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> "FieldPeer":
        await self.start(self._port)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self, port: int) -> None:
        """Listen on a port of 127.0.0.1, 0 for any."""
        self._server = grpc.aio.server(options=self._options)
        handlers: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(self._scripted(name, method))
            for name, method in self._methods.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.address = f"127.0.0.1:{self._add_port(self._server, f'127.0.0.1:{port}')}"
        await self._server.start()

    def _add_port(self, server: grpc.aio.Server, address: str) -> int:
        if self._tls is None:
            return server.add_insecure_port(address)
        pair = (Path(self._tls.key).read_bytes(), Path(self._tls.chain).read_bytes())
        return server.add_secure_port(address, grpc.ssl_server_credentials([pair]))

    async def stop(self) -> None:
        """Break every connection."""
        if self._server is not None:
            await self._server.stop(None)

    def _scripted(self, name: str, method: Callable[[bytes, Any], Any]) -> Callable[[bytes, Any], Any]:
        async def handle(raw: bytes, context: Any) -> bytes:
            self.calls.append(name)
            self.entered.set()
            self._in_flight += 1
            self.in_flight_max = max(self.in_flight_max, self._in_flight)
            try:
                await self.gate.wait()
                return await self._answer(name, method, raw, context)
            finally:
                self._in_flight -= 1

        return handle

    async def _answer(
        self, name: str, method: Callable[[bytes, Any], Any], raw: bytes, context: Any
    ) -> bytes:
        answer = self.answers.get(name)
        if isinstance(answer, bytes):
            return answer
        if answer is not None:
            await context.abort(*answer)
        response: bytes = (await method(raw, context)).SerializeToString()
        return response

    async def _write(self, raw: bytes, context: Any) -> pb.WriteLogResponse:
        request = pb.WriteLogRequest.FromString(raw)
        if not request.HasField("log_entry"):
            await context.abort(StatusCode.INVALID_ARGUMENT, "log_entry is missing")
        entry = request.log_entry
        if status := self._refuses(entry.message):
            await context.abort(*status)
        if not self._takes(entry):
            await context.abort(StatusCode.RESOURCE_EXHAUSTED, "queue is full")
        return pb.WriteLogResponse(success=True, log_id=self.stored[-1].id)

    async def _write_batch(self, raw: bytes, context: Any) -> pb.BatchWriteLogResponse:
        entries = pb.BatchWriteLogRequest.FromString(raw).log_entries
        for entry in entries:
            if status := self._refuses(entry.message):
                await context.abort(*status)
        log_ids = [self.stored[-1].id for entry in entries if self._takes(entry)]
        full = len(log_ids) < len(entries)
        return pb.BatchWriteLogResponse(
            success=not full, error_message="queue is full" if full else "", log_ids=log_ids
        )

    def _takes(self, entry: pb.LogEntry) -> bool:
        if len(self.stored) >= self._queue_entries_max:
            return False
        stored = pb.LogEntry()
        stored.CopyFrom(entry)
        if not self._honours_ids:
            stored.id = uuid4().hex
        self.stored.append(stored)
        return True

    async def _query(self, raw: bytes, context: Any) -> pb.QueryLogResponse:
        request = pb.QueryLogRequest.FromString(raw)
        found = [entry for entry in self.stored if self._matches(request, entry)]
        found.sort(key=lambda entry: entry.timestamp, reverse=True)
        page = found[request.offset : request.offset + (request.limit or 100)]
        return pb.QueryLogResponse(logs=page, total_count=len(found), success=True)

    def _matches(self, request: pb.QueryLogRequest, entry: pb.LogEntry) -> bool:
        if request.service_name not in ("", entry.service_name):
            return False
        # Without presence a level that was not sent reads as 0, DEBUG.
        return not self._filters_level or request.level == entry.level
