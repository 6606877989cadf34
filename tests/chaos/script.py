"""What a log service is told to do wrong: the harness writes a control file, an interceptor reads it."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, Literal

import grpc
import msgspec
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from msgspec import Struct

from logbridge.adapters.grpc import logservice_pb2 as pb

_STATUS_DETAILS = "grpc-status-details-bin"
Unary = Callable[[bytes, Any], Awaitable[bytes]]


class Act(Struct, frozen=True):
    """One way of being a bad log service.

    kind: well (none), status (end the call with ``code``, before or after the logs were stored), slow
    (begin within ``pause_s``), late (store, then answer after ``pause_s``), partial (store some of a batch,
    say how many, not which), garbage (store, then answer bytes that are no message). share: of the calls, 0
    to 1. methods: the calls it is about. retry_s: the pause that the status names (RetryInfo), below 0 none.
    """

    kind: Literal["well", "status", "slow", "late", "partial", "garbage"] = "well"
    code: str = ""
    details: str = ""
    after: bool = False
    pause_s: float = 0
    retry_s: float = -1
    share: float = 1
    methods: tuple[str, ...] = ("WriteLog", "BatchWriteLog")
    seed: int = 0


def tell(control: Path, act: Act) -> None:
    """Give the log service its next act."""
    new = control.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(act))
    new.replace(control)


class Script(grpc.aio.ServerInterceptor):
    """Plays the act of a control file on every write of a server."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self._changed_ns = -1
        self._act = Act()
        self._rng = Random()

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method.rpartition("/")[2]
        if method not in Act().methods:
            return handler
        return grpc.unary_unary_rpc_method_handler(self._played(method, handler.unary_unary))

    def _played(self, method: str, write: Unary) -> Unary:
        async def handle(raw: bytes, context: Any) -> bytes:
            act = self._current()
            if method not in act.methods or self._rng.random() >= act.share:
                return await write(raw, context)
            return await self._play(act, method, write, raw, context)

        return handle

    def _current(self) -> Act:
        changed_ns = os.stat(self._control).st_mtime_ns
        if changed_ns != self._changed_ns:
            self._changed_ns = changed_ns
            self._act = msgspec.json.decode(self._control.read_bytes(), type=Act)
            self._rng = Random(self._act.seed)
        return self._act

    async def _play(self, act: Act, method: str, write: Unary, raw: bytes, context: Any) -> bytes:
        if act.kind == "slow":
            await asyncio.sleep(self._rng.uniform(0, act.pause_s))
        if act.kind == "partial" and method == "BatchWriteLog":
            return await self._store_some(write, raw, context)
        if act.kind == "status" and not act.after:
            await _end(act, context)
        answer = await write(raw, context)
        if act.kind == "late":
            await asyncio.sleep(act.pause_s)
        if act.kind == "status":
            await _end(act, context)
        return b"\xff\xff\xff\xff not a message" if act.kind == "garbage" else answer

    async def _store_some(self, write: Unary, raw: bytes, context: Any) -> bytes:
        entries = list(pb.BatchWriteLogRequest.FromString(raw).log_entries)
        some = [entry for entry in entries if self._rng.random() < 0.5] or entries[:1]
        answer = pb.BatchWriteLogResponse.FromString(
            await write(pb.BatchWriteLogRequest(log_entries=some).SerializeToString(), context)
        )
        full = pb.BatchWriteLogResponse(
            success=len(some) == len(entries), error_message="queue is full", log_ids=answer.log_ids
        )
        return full.SerializeToString()


async def _end(act: Act, context: Any) -> None:
    trailer = ((_STATUS_DETAILS, _status_with_retry_info(act)),) if act.retry_s >= 0 else ()
    await context.abort(grpc.StatusCode[act.code], act.details or "by the script", trailer)


def _status_with_retry_info(act: Act) -> bytes:
    status = Status(code=grpc.StatusCode[act.code].value[0], message=act.details)
    pause = RetryInfo()
    pause.retry_delay.FromNanoseconds(int(act.retry_s * 1e9))
    status.details.add().Pack(pause)
    serialized: bytes = status.SerializeToString()
    return serialized
