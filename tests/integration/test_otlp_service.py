"""LogsService/Export at the log service, as an exporter sees it: bytes in, a response or a status out."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from logbridge.adapters.memory import MemorySink, Step, fail, hang, lose, refuse
from logbridge.adapters.otlp.mapping import to_request
from logbridge.adapters.otlp.receive import RECORDS_MAX
from logbridge.domain.entry import LogEntry
from logbridge.entrypoints.otlp_service import OTLP_SERVICE
from tests.factories import make_entry
from tests.integration.test_keys import create, guarded
from tests.integration.test_log_service import MAKER, Client, client_of
from tests.unit.adapters.otlp.test_mapping import request_of
from tests.unit.entrypoints.http.serving import BrokenSink

EXPORT = f"/{OTLP_SERVICE}/Export"
TOO_LARGE = make_entry(message="m" * (MAKER.entry_bytes_max + 1))


def body_of(*entries: LogEntry) -> bytes:
    """The request with which an exporter sends these."""
    return to_request(entries).SerializeToString()


async def export(client: Client, body: bytes) -> ExportLogsServiceResponse:
    """The response to a request. Raises AioRpcError."""
    return ExportLogsServiceResponse.FromString(await client.raw(EXPORT, body))


async def failed(script: list[Step], body: bytes) -> grpc.aio.AioRpcError:
    """How a request fails before a store with this script."""
    async with client_of(MemorySink(script)) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await export(client, body)
    return caught.value


async def test_logs_are_stored_before_the_answer() -> None:
    """What was sent is stored as it is; the response to it, and to nothing at all, says no more than OK."""
    store, entries = MemorySink(), [make_entry(), make_entry(service_name="other")]
    async with client_of(store) as client:
        assert await export(client, body_of(*entries)) == ExportLogsServiceResponse()
        assert await export(client, b"") == ExportLogsServiceResponse()
    assert {entry.id: entry for entry in store.entries} == {entry.id: entry for entry in entries}


async def test_some_refused_are_a_partial_success() -> None:
    """The others are stored; the response counts the refused ones and says why."""
    store, good = MemorySink(), make_entry()
    async with client_of(store) as client:
        partly = (await export(client, body_of(TOO_LARGE, good))).partial_success
    assert partly.rejected_log_records == 1
    assert partly.error_message.startswith("record 0: $: the entry has ")
    assert store.entries == [good]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (body_of(TOO_LARGE), "nothing was written; record 0: "),
        (b"\xff", "not an ExportLogsServiceRequest"),
        (b"\x0a\x06\x12\x04" + b"\x12\x02\x0a\x09", "not a LogRecord"),
    ],
)
async def test_what_is_wrong_is_not_sent_again(body: bytes, said: str) -> None:
    """INVALID_ARGUMENT, which no exporter sends again, says what is wrong."""
    error = await failed([], body)
    assert error.code() is StatusCode.INVALID_ARGUMENT
    assert said in str(error.details())


async def test_too_many_records_are_refused() -> None:
    """More than RECORDS_MAX in one request are refused with the number that is allowed."""
    request = request_of(LogRecord())
    request.resource_logs[0].scope_logs[0].log_records.extend([LogRecord()] * RECORDS_MAX)
    error = await failed([], request.SerializeToString())
    assert error.code() is StatusCode.INVALID_ARGUMENT
    assert f"more than {RECORDS_MAX}" in str(error.details())


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (refuse("why"), StatusCode.INVALID_ARGUMENT),
        (fail("why"), StatusCode.RESOURCE_EXHAUSTED),
        (lose("why"), StatusCode.UNAVAILABLE),
    ],
)
async def test_what_the_store_says(step: Step, code: StatusCode) -> None:
    """Nothing that is not stored is a success; what may still get in has a status that is sent again."""
    error = await failed([step], body_of(make_entry()))
    assert error.code() is code
    assert "why" in str(error.details())


async def test_one_that_may_get_in_has_all_sent_again() -> None:
    """One record of three that failed in passing fails the request; sent again, each is stored once."""
    store = MemorySink([fail("full")])
    body = body_of(make_entry(), make_entry(), TOO_LARGE)
    async with client_of(store) as client:
        with pytest.raises(grpc.aio.AioRpcError, match="1 of 3 records were acknowledged: full"):
            await export(client, body)
        assert (await export(client, body)).partial_success.rejected_log_records == 1
    assert len(store.entries) == 2


async def test_retry_info_says_that_it_passes() -> None:
    """RESOURCE_EXHAUSTED is sent again only with RetryInfo in the status's details (OTLP specification)."""
    trailing = dict((await failed([fail("full")], body_of(make_entry()))).trailing_metadata() or ())
    status = Status.FromString(bytes(trailing["grpc-status-details-bin"]))
    assert [detail.Is(RetryInfo.DESCRIPTOR) for detail in status.details] == [True]


async def test_a_deadline_is_kept() -> None:
    """A store that takes longer than the exporter waits ends in DEADLINE_EXCEEDED, which is sent again."""
    async with client_of(MemorySink([hang])) as client:
        rpc: Any = client.channel.unary_unary(EXPORT)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rpc(body_of(make_entry()), timeout=0.2)
    assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED


async def test_a_fault_of_ours_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """UNKNOWN, which exporters do not send again; the log of the service has the reason."""
    async with client_of(BrokenSink()) as client:
        with pytest.raises(grpc.aio.AioRpcError, match="its own log says more") as caught:
            await export(client, body_of(make_entry()))
    assert caught.value.code() is StatusCode.UNKNOWN
    assert "secret" not in str(caught.value.details())
    assert "secret internals" in caplog.text


async def test_a_request_that_comes_again_is_stored_once() -> None:
    """Records without ids get those that the same bytes have again."""
    store = MemorySink()
    body = request_of(LogRecord(time_unix_nano=1)).SerializeToString()
    async with client_of(store) as client:
        await export(client, body)
        await export(client, body)
    assert len(store.entries) == 1


async def test_keys_are_asked_for(tmp_path: Path) -> None:
    """Without a key, the scope or the service nothing is written; of two services the own one is."""
    write = create(tmp_path, "writer", "--scope", "write", "--service", "shop")
    read = create(tmp_path, "reader", "--scope", "read")
    mine, other = make_entry(service_name="shop"), make_entry(service_name="other")
    async with guarded(tmp_path) as (port, store), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        rpc: Any = channel.unary_unary(EXPORT)
        for key, body, status in (
            (None, body_of(mine), StatusCode.UNAUTHENTICATED),
            ("nonsense", body_of(mine), StatusCode.UNAUTHENTICATED),
            (read, body_of(mine), StatusCode.PERMISSION_DENIED),
            (write, body_of(other), StatusCode.PERMISSION_DENIED),
        ):
            metadata = () if key is None else (("authorization", f"Bearer {key}"),)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await rpc(body, metadata=metadata)
            assert refused.value.code() is status
        answer = await rpc(body_of(mine, other), metadata=(("authorization", f"Bearer {write}"),))
    assert ExportLogsServiceResponse.FromString(answer).partial_success.rejected_log_records == 1
    assert store.entries == [mine]


framed = st.binary(max_size=30).map(lambda raw: b"\x0a" + bytes([len(raw)]) + raw)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.one_of(st.binary(max_size=100), framed))
async def test_garbage_is_the_clients_fault(body: bytes) -> None:
    """Whatever comes is taken, or INVALID_ARGUMENT: never a fault of the service."""
    async with client_of(MemorySink()) as client:
        rpc: Any = client.channel.unary_unary(EXPORT)
        assert await rpc(body).code() in (StatusCode.OK, StatusCode.INVALID_ARGUMENT)
