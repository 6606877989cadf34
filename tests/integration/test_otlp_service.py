"""OTLP on the log service's port, as its clients see it: statuses, details, reflection, health."""

from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from logbridge.adapters.memory import MemorySink, Step, fail, hang, lose, refuse
from logbridge.adapters.otlp.mapping import to_request
from logbridge.domain.entry import LogEntry
from tests.factories import make_entry
from tests.integration.test_log_service import Client, client_of

SERVICE = "opentelemetry.proto.collector.logs.v1.LogsService"


async def export(client: Client, *entries: LogEntry) -> ExportLogsServiceResponse:
    """The answer to an export of these."""
    answer = await client.raw(f"/{SERVICE}/Export", to_request(entries).SerializeToString())
    return ExportLogsServiceResponse.FromString(answer)


async def refused_with(store: Any, body: bytes) -> grpc.aio.AioRpcError:
    """The error of an export of this."""
    async with client_of(store) as client:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await client.raw(f"/{SERVICE}/Export", body)
    return raised.value


async def test_logs_are_stored_before_the_answer() -> None:
    """A full success says nothing else; the entries are the ones that were sent, stored once."""
    store, entries = MemorySink(), [make_entry(), make_entry(service_name="other")]
    async with client_of(store) as client:
        for _ in range(2):
            assert await export(client, *entries) == ExportLogsServiceResponse()
        assert await export(client) == ExportLogsServiceResponse()
    assert {entry.id: entry for entry in store.entries} == {entry.id: entry for entry in entries}


async def test_a_bad_record_is_told_as_partial_success() -> None:
    """The others are stored."""
    store = MemorySink()
    async with client_of(store) as client:
        partly = (await export(client, make_entry(message="m" * 2000), make_entry())).partial_success
    assert (partly.rejected_log_records, len(store.entries)) == (1, 1)
    assert partly.error_message.startswith("record 0: $: the entry has ")


@pytest.mark.parametrize(
    ("step", "status"),
    [
        (refuse("why"), StatusCode.INVALID_ARGUMENT),
        (fail("full"), StatusCode.RESOURCE_EXHAUSTED),
        (hang, StatusCode.DEADLINE_EXCEEDED),
        (lose("cut"), StatusCode.UNAVAILABLE),
    ],
)
async def test_a_status_says_whether_to_send_it_again(step: Step, status: StatusCode) -> None:
    """All but INVALID_ARGUMENT are retryable in OTLP; RESOURCE_EXHAUSTED with RetryInfo only."""
    async with client_of(MemorySink([step])) as client:
        rpc: Any = client.channel.unary_unary(f"/{SERVICE}/Export")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rpc(to_request([make_entry()]).SerializeToString(), timeout=1 if step is hang else 10)
    assert raised.value.code() is status
    if status is StatusCode.RESOURCE_EXHAUSTED:
        trailing = dict(raised.value.trailing_metadata() or ())["grpc-status-details-bin"]
        assert isinstance(trailing, bytes)
        (detail,) = Status.FromString(trailing).details
        assert detail.Is(RetryInfo.DESCRIPTOR)


@pytest.mark.parametrize("body", [b"\x0a", b"\x0a\x02\x12\xff", b"\xff" * 20])
async def test_what_is_no_request_is_invalid(body: bytes) -> None:
    """Bytes that cannot be read are INVALID_ARGUMENT, which is not sent again."""
    error = await refused_with(MemorySink(), body)
    assert error.code() is StatusCode.INVALID_ARGUMENT
    assert "not an ExportLogsServiceRequest" in (error.details() or "")


async def test_reflection_and_health_name_it() -> None:
    """Generic clients find the service, and ask how it is."""
    async with client_of(MemorySink()) as client:
        ask = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
        stream: Any = client.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )
        call = stream()
        await call.write(ask.SerializeToString())
        await call.done_writing()
        answer = reflection_pb2.ServerReflectionResponse.FromString(await call.read())
        assert answer.file_descriptor_response.file_descriptor_proto
        raw = await client.raw(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest(service=SERVICE).SerializeToString(),
        )
    assert health_pb2.HealthCheckResponse.FromString(raw).status == health_pb2.HealthCheckResponse.SERVING
