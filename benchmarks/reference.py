"""The obvious design, to compare with: FastAPI, Pydantic, grpc.aio, and one RPC for each log.

Written as its description says, with what its frameworks advise: one channel, uvloop, httptools, no access
log. A batch and the concurrent test are their single writes, at most 50 at a time.
"""

import asyncio
import json
import os
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal

import grpc
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from logbridge.adapters.grpc import logservice_pb2 as pb

LOG_SERVICE = os.environ.get("REFERENCE_LOG_SERVICE", "127.0.0.1:50051")
WORKERS = 50
TIMEOUT_S = float(os.environ.get("REFERENCE_TIMEOUT_S", "10"))
LOG_FIELDS = {"message", "service_name", "level", "trace_id", "span_id", "metadata"}


class LogEntryRequest(BaseModel):
    """One log; any other field goes into metadata."""

    model_config = ConfigDict(extra="allow")

    message: str = Field(min_length=1)
    service_name: str = "reference"
    level: Literal["DEBUG", "INFO", "WARN", "ERROR", "FATAL"] = "INFO"
    trace_id: str = ""
    span_id: str = ""
    adv_id: int | None = None
    aweme_id: int | None = None
    plan_id: int | None = None
    monitor_type: str | None = None
    co_id: int | None = None
    metadata: dict[str, Any] | None = None


class BatchRequest(BaseModel):
    """Many logs."""

    log_entries: list[LogEntryRequest] = Field(min_length=1, max_length=1000)


class ConcurrentTestRequest(BaseModel):
    """How many generated logs, and how many at a time."""

    count: int = Field(10_000, ge=1, le=10_000)
    max_workers: int = Field(50, ge=1, le=50)


class WriteResult(BaseModel):
    """What became of one log."""

    success: bool
    log_id: str = ""
    error_message: str = ""


class BatchResult(BaseModel):
    """What became of many."""

    total_count: int
    success_count: int
    error_count: int
    errors: list[str]
    results: list[WriteResult]


class ConcurrentTestResult(BaseModel):
    """What became of the generated ones."""

    success: bool
    total_count: int
    success_count: int
    failed_count: int
    duration_seconds: float
    logs_per_second: float
    max_workers: int


class LogServiceClient:
    """The log service behind one channel. Made inside the running loop."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._write_log = self._channel.unary_unary(
            "/logservice.LogService/WriteLog",
            request_serializer=pb.WriteLogRequest.SerializeToString,
            response_deserializer=pb.WriteLogResponse.FromString,
        )

    async def write(self, entry: LogEntryRequest) -> WriteResult:
        """One log, one RPC."""
        request = pb.WriteLogRequest(
            log_entry=pb.LogEntry(
                id=str(uuid.uuid4()),
                service_name=entry.service_name,
                level=pb.LogLevel.Value(entry.level),  # type: ignore[arg-type]  # the stub wants its own type
                message=entry.message,
                timestamp=datetime.now(UTC).isoformat(),
                metadata=metadata_of(entry),
                trace_id=entry.trace_id,
                span_id=entry.span_id,
            )
        )
        try:
            response = await self._write_log(request, timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            return WriteResult(success=False, error_message=error.details() or "")
        return WriteResult(
            success=response.success, log_id=response.log_id, error_message=response.error_message
        )

    async def write_many(self, entries: list[LogEntryRequest], workers: int) -> list[WriteResult]:
        """Each a write of its own, so many at a time."""
        turns = asyncio.Semaphore(workers)

        async def write_one(entry: LogEntryRequest) -> WriteResult:
            async with turns:
                return await self.write(entry)

        return await asyncio.gather(*(write_one(entry) for entry in entries))

    async def aclose(self) -> None:
        """Close the channel."""
        await self._channel.close()


def metadata_of(entry: LogEntryRequest) -> dict[str, str]:
    """Business fields, unknown fields and metadata, as text."""
    values = entry.model_dump(exclude=LOG_FIELDS, exclude_none=True)
    values.update(entry.metadata or {})
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in values.items()
    }


def generated(number: int) -> LogEntryRequest:
    """One log of the concurrent test."""
    return LogEntryRequest(
        message=f"concurrent test log {number}",
        service_name="reference-concurrent-test",
        level=random.choice(["DEBUG", "INFO", "WARN", "ERROR", "FATAL"]),
        trace_id=f"reference-trace-{number:06}",
        span_id=f"reference-span-{number:06}",
        adv_id=random.randint(1_000_000, 9_999_999),
        aweme_id=random.randint(100_000_000, 999_999_999),
        plan_id=random.randint(10_000, 99_999),
        monitor_type=random.choice(["impression", "click", "conversion", "view"]),
        co_id=random.randint(1_000, 9_999),
        metadata={"client_type": "reference"},
    )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for all requests."""
    app.state.client = LogServiceClient(LOG_SERVICE)
    yield
    await app.state.client.aclose()


app = FastAPI(title="reference", lifespan=lifespan)


@app.post("/api/v1/logs/write")
async def write(entry: LogEntryRequest) -> WriteResult:
    """Write one log."""
    client: LogServiceClient = app.state.client
    return await client.write(entry)


@app.post("/api/v1/logs/batch")
async def batch(request: BatchRequest) -> BatchResult:
    """Write many."""
    client: LogServiceClient = app.state.client
    results = await client.write_many(request.log_entries, WORKERS)
    errors = [f"Entry {index}: {r.error_message}" for index, r in enumerate(results) if not r.success]
    return BatchResult(
        total_count=len(results),
        success_count=len(results) - len(errors),
        error_count=len(errors),
        errors=errors,
        results=results,
    )


@app.post("/api/v1/logs/concurrent-test")
async def concurrent_test(request: ConcurrentTestRequest) -> ConcurrentTestResult:
    """Write generated ones, so many at a time."""
    client: LogServiceClient = app.state.client
    began_s = time.perf_counter()
    entries = [generated(number) for number in range(request.count)]
    results = await client.write_many(entries, request.max_workers)
    took_s = time.perf_counter() - began_s
    good = sum(result.success for result in results)
    return ConcurrentTestResult(
        success=good > 0,
        total_count=request.count,
        success_count=good,
        failed_count=request.count - good,
        duration_seconds=took_s,
        logs_per_second=request.count / took_s,
        max_workers=request.max_workers,
    )
