"""The log services of the proof, as processes: python -m tests.chaos.peers ours|field PORT CONTROL STORE."""

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc

from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.mapping import SERVICE
from logbridge.entrypoints.cli import run
from tests.chaos.ledger import StoredLog
from tests.chaos.oracle import Content
from tests.chaos.script import Script

_PAGE = 500


def serve_ours(control: Path) -> int:
    """`logbridge service` as it is, but for one interceptor of grpc; its settings are in the environment."""
    made = grpc.aio.server

    def scripted(**options: Any) -> grpc.aio.Server:
        return made(interceptors=(Script(control),), **options)

    grpc.aio.server = scripted  # type: ignore[assignment]  # it is called with options alone
    return run(["service"])


class FieldPeer:
    """A log service that ignores ids: it stores what it takes under ids of its own, again and again."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path, isolation_level=None)
        # It is killed, not unplugged: what the kernel has is kept.
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute("CREATE TABLE IF NOT EXISTS logs (seq INTEGER PRIMARY KEY, message BLOB NOT NULL)")

    def handler(self) -> grpc.GenericRpcHandler:
        methods = {"WriteLog": self._write, "BatchWriteLog": self._write_batch, "QueryLog": self._query}
        handlers: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def _write(self, raw: bytes, context: Any) -> bytes:
        request = pb.WriteLogRequest.FromString(raw)
        if not request.HasField("log_entry"):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "log_entry is required")
        log_ids = self._store([request.log_entry])
        return pb.WriteLogResponse(success=True, log_id=log_ids[0]).SerializeToString()

    async def _write_batch(self, raw: bytes, context: Any) -> bytes:
        request = pb.BatchWriteLogRequest.FromString(raw)
        if not request.log_entries:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "log_entries is empty")
        log_ids = self._store(list(request.log_entries))
        return pb.BatchWriteLogResponse(success=True, log_ids=log_ids).SerializeToString()

    def _store(self, messages: list[pb.LogEntry]) -> list[str]:
        for message in messages:
            message.id = uuid4().hex
        self._file.execute("BEGIN IMMEDIATE")
        self._file.executemany(
            "INSERT INTO logs (message) VALUES (?)", [(each.SerializeToString(),) for each in messages]
        )
        self._file.execute("COMMIT")
        return [message.id for message in messages]

    async def _query(self, raw: bytes, _context: Any) -> bytes:
        request = pb.QueryLogRequest.FromString(raw)
        page = self._file.execute(
            "SELECT message FROM logs ORDER BY seq DESC LIMIT ? OFFSET ?", (request.limit, request.offset)
        )
        logs = [pb.LogEntry.FromString(message) for (message,) in page]
        return pb.QueryLogResponse(logs=logs, success=True).SerializeToString()


async def serve_field(port: int, control: Path, store: Path) -> None:
    """Serve until the process is killed."""
    server = grpc.aio.server(interceptors=(Script(control),), options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((FieldPeer(store).handler(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def read_store(port: int) -> list[StoredLog]:
    """Every log that the log service at 127.0.0.1:port has, asked page by page."""
    stored: list[StoredLog] = []
    options = (("grpc.max_receive_message_length", -1),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        ask: Any = channel.unary_unary(f"/{SERVICE}/QueryLog")
        while True:
            question = pb.QueryLogRequest(limit=_PAGE, offset=len(stored))
            answer = await ask(question.SerializeToString(), timeout=30, wait_for_ready=True)
            page = pb.QueryLogResponse.FromString(answer).logs
            stored += [_stored(message) for message in page]
            if len(page) < _PAGE:
                return stored


def _stored(message: pb.LogEntry) -> StoredLog:
    content = Content(
        message=message.message,
        service_name=message.service_name,
        level=pb.LogLevel.Name(message.level),
        timestamp=message.timestamp,
        metadata=dict(message.metadata),
        trace_id=message.trace_id,
        span_id=message.span_id,
    )
    return StoredLog(message.id, content)


def main(kind: str, port: str, control: str, store: str) -> int:
    if kind == "ours":
        return serve_ours(Path(control))
    asyncio.run(serve_field(int(port), Path(control), Path(store)))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
