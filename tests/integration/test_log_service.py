"""The log service as its clients see it: plain gRPC calls, bytes in and bytes out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from grpc import StatusCode
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from logbridge import __version__
from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.memory import MemorySink, fail, hang, lose, refuse
from logbridge.domain.entry import EntryMaker, LogLevel
from logbridge.domain.errors import InvalidSetting
from logbridge.entrypoints.log_service import LogServiceServer

NOW = "2024-08-30T10:30:45.000000Z"
MAKER = EntryMaker("default-service", 1000, 64, lambda: NOW, lambda: "made-id")
LOGS = "logservice.LogService"


class Client:
    """A client of the field: a channel, method names, bytes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.metadata: dict[str, Any] = {}

    async def raw(self, method: str, request: bytes) -> bytes:
        rpc: Any = self.channel.unary_unary(method)
        call = rpc(request, timeout=30)
        try:
            answer: bytes = await call
            return answer
        finally:
            self.metadata = dict(await call.initial_metadata())

    async def call(self, method: str, request: Message) -> Any:
        answers = {
            "WriteLog": pb.WriteLogResponse,
            "BatchWriteLog": pb.BatchWriteLogResponse,
            "QueryLog": pb.QueryLogResponse,
        }
        raw = await self.raw(f"/{LOGS}/{method}", request.SerializeToString())
        return answers[method].FromString(raw)  # type: ignore[attr-defined]  # one of three messages

    async def write(self, **fields: Any) -> Any:
        return await self.call("WriteLog", pb.WriteLogRequest(log_entry=pb.LogEntry(**fields)))


@pytest.fixture
def store() -> MemorySink:
    """What the service stores into."""
    return MemorySink()


@contextlib.asynccontextmanager
async def client_of(store: Any) -> AsyncIterator[Client]:
    """A client of a service in front of ``store``."""
    server = LogServiceServer(store, host="127.0.0.1", port=0, maker=MAKER)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Client(channel)
    await server.stop(0)


@pytest.fixture
async def client(store: MemorySink) -> AsyncIterator[Client]:
    """A client of a running service."""
    async with client_of(store) as client:
        yield client


async def test_plain_bytes_of_a_field_client(client: Client, store: MemorySink) -> None:
    """The bytes that any client of the field sends are served: stored before the answer, with an id."""
    entry = b"\x12\x01s" + b"\x18\x03" + b"\x22\x05hello" + b"\x32\x06\x0a\x01k\x12\x01v"
    answer = await client.raw(f"/{LOGS}/WriteLog", b"\x0a" + bytes([len(entry)]) + entry)
    assert answer == b"\x08\x01" + b"\x1a\x07made-id"
    (stored,) = store.entries
    assert (stored.service_name, stored.level, stored.message) == ("s", LogLevel.ERROR, "hello")
    assert stored.metadata == {"k": "v"}


async def test_what_is_missing_is_filled_in(client: Client, store: MemorySink) -> None:
    """No service name, no time and no id: the defaults, the time of arrival, a new id."""
    await client.write(message="x")
    (stored,) = store.entries
    assert (stored.service_name, stored.timestamp, stored.id) == ("default-service", NOW, "made-id")
    assert stored.timestamp_assigned


async def test_a_given_id_and_time_are_honoured(client: Client, store: MemorySink) -> None:
    """The same log twice is stored once and answered the same."""
    fields = {"id": "my-id", "message": "x", "timestamp": "2024-08-30T10:30:45.123456789+08:00"}
    assert (await client.write(**fields)).log_id == "my-id"
    assert (await client.write(**fields)).log_id == "my-id"
    (stored,) = store.entries
    assert stored.timestamp == fields["timestamp"]
    assert not stored.timestamp_assigned


async def test_a_time_that_the_bridge_assigned_stays_assigned(client: Client, store: MemorySink) -> None:
    """timestamp_assigned travels with the entry."""
    await client.write(message="x", timestamp=NOW, timestamp_assigned=True)
    assert store.entries[0].timestamp_assigned


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, r"\$\.message"),
        ({"message": "x", "timestamp": "yesterday"}, r"\$\.timestamp"),
        ({"message": "x", "level": 7}, r"\$\.level: expected one of .* got 7"),
        ({"message": "x" * 2000}, "ENTRY_BYTES_MAX=1000"),
    ],
)
async def test_bad_entries_are_refused(client: Client, fields: dict[str, Any], reason: str) -> None:
    """INVALID_ARGUMENT with the field and what is wrong with it; in a batch a result of its own."""
    with pytest.raises(grpc.aio.AioRpcError, match=reason) as caught:
        await client.write(**fields)
    assert caught.value.code() is StatusCode.INVALID_ARGUMENT
    batch = pb.BatchWriteLogRequest(log_entries=[pb.LogEntry(**fields), pb.LogEntry(id="b", message="x")])
    answer = await client.call("BatchWriteLog", batch)
    assert not answer.success
    assert list(answer.log_ids) == ["b"]
    assert answer.error_message.startswith("Entry 0: $")
    verdict = pb.EntryResult.TOO_LARGE if "MAX" in reason else pb.EntryResult.INVALID
    assert [result.verdict for result in answer.results] == [verdict, pb.EntryResult.STORED]


@pytest.mark.parametrize(
    ("method", "request_bytes", "reason"),
    [
        ("WriteLog", b"", r"\$\.log_entry: expected an entry"),
        ("BatchWriteLog", b"", r"\$\.log_entries: expected 1 entry or more"),
        ("WriteLog", b"\xff\xff", "not a WriteLogRequest"),
        ("WriteLog", b"\x0a\x03\x22\x01\xff", "not a WriteLogRequest"),
        ("QueryLog", b"\xff", "not a QueryLogRequest"),
        ("QueryLog", b"\x1a\x01x", r"\$\.start_time: expected an RFC 3339 time"),
    ],
)
async def test_bad_requests_are_refused(
    client: Client, method: str, request_bytes: bytes, reason: str
) -> None:
    """INVALID_ARGUMENT with a reason, also for bytes that are no request at all."""
    with pytest.raises(grpc.aio.AioRpcError, match=reason) as caught:
        await client.raw(f"/{LOGS}/{method}", request_bytes)
    assert caught.value.code() is StatusCode.INVALID_ARGUMENT


async def test_a_long_reason_fits_a_status(client: Client) -> None:
    """A reason of any length arrives, cut off, with its status."""
    batch_of_long = refuse("why " * 5000)
    async with client_of(MemorySink([batch_of_long])) as other:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await other.write(message="x")
    assert caught.value.code() is StatusCode.FAILED_PRECONDITION
    assert (caught.value.details() or "").endswith("why …")


async def test_a_batch_of_bad_entries_only(client: Client, store: MemorySink) -> None:
    """Nothing is stored, every entry has its result, and the message stays short."""
    request = pb.BatchWriteLogRequest(log_entries=[pb.LogEntry() for _ in range(5)])
    answer = await client.call("BatchWriteLog", request)
    assert not answer.success
    assert len(answer.results) == 5
    assert answer.error_message.endswith("; and 2 more")
    assert store.entries == []


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (refuse("why"), StatusCode.FAILED_PRECONDITION),
        (fail("why"), StatusCode.RESOURCE_EXHAUSTED),
        (lose("why"), StatusCode.UNKNOWN),
    ],
)
async def test_what_the_store_says(step: Any, code: StatusCode) -> None:
    """A write that was not stored is never answered with OK."""
    async with client_of(MemorySink([step])) as client:
        with pytest.raises(grpc.aio.AioRpcError, match="why") as caught:
            await client.write(message="x")
    assert caught.value.code() is code


async def test_a_taken_id_is_already_exists(client: Client) -> None:
    """Other content under a stored id: ALREADY_EXISTS."""
    await client.write(id="my-id", message="x")
    with pytest.raises(grpc.aio.AioRpcError, match="my-id") as caught:
        await client.write(id="my-id", message="y")
    assert caught.value.code() is StatusCode.ALREADY_EXISTS


async def test_it_names_itself(client: Client) -> None:
    """Every call says that this is logbridge, and which version, also when it fails."""
    await client.write(message="x")
    assert client.metadata["logbridge-version"] == __version__
    with pytest.raises(grpc.aio.AioRpcError):
        await client.write()
    assert client.metadata["logbridge-version"] == __version__


async def test_queries_of_field_clients(client: Client) -> None:
    """A level on the wire is that level, no level is any level; newest first, with the total."""
    for hour, level in enumerate(LogLevel):
        await client.write(
            id=level.name, message="x", level=level.name, timestamp=f"2024-08-30T0{hour}:00:00Z"
        )
    anything = await client.call("QueryLog", pb.QueryLogRequest(limit=2))
    assert [log.id for log in anything.logs] == ["FATAL", "ERROR"]
    assert (anything.success, anything.total_count) == (True, 5)
    debug = await client.call("QueryLog", pb.QueryLogRequest(level=pb.DEBUG))
    assert [log.id for log in debug.logs] == ["DEBUG"]


async def test_health_and_reflection(client: Client) -> None:
    """grpc.health.v1 says that it serves, and reflection lists the services."""
    raw = await client.raw("/grpc.health.v1.Health/Check", b"")
    assert health_pb2.HealthCheckResponse.FromString(raw).status == health_pb2.HealthCheckResponse.SERVING
    rpc: Any = client.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = [
        reflection_pb2.ServerReflectionResponse.FromString(raw)
        async for raw in rpc(iter([request.SerializeToString()]))
    ]
    names = {service.name for service in answers[0].list_services_response.service}
    assert {LOGS, "grpc.health.v1.Health"} <= names


async def test_a_bad_follow_is_refused(client: Client) -> None:
    """A follow that makes no sense is INVALID_ARGUMENT too."""
    rpc: Any = client.channel.unary_stream(f"/{LOGS}/FollowLog")
    with pytest.raises(grpc.aio.AioRpcError, match="not a FollowLogRequest") as caught:
        await rpc(b"\xff").read()
    assert caught.value.code() is StatusCode.INVALID_ARGUMENT


async def test_no_deadline_is_a_deadline_too() -> None:
    """A client that sets no deadline is served."""
    async with client_of(MemorySink()) as client:
        rpc: Any = client.channel.unary_unary(f"/{LOGS}/WriteLog")
        request = pb.WriteLogRequest(log_entry=pb.LogEntry(message="x"))
        assert pb.WriteLogResponse.FromString(await rpc(request.SerializeToString())).success


async def test_the_port_is_taken() -> None:
    """A second service on a port stops with one line that names the port and its setting."""
    first = LogServiceServer(MemorySink(), host="127.0.0.1", port=0, maker=MAKER)
    await first.start()
    second = LogServiceServer(MemorySink(), host="127.0.0.1", port=first.port, maker=MAKER)
    with pytest.raises(InvalidSetting, match=f"GRPC_SERVER_PORT={first.port}: .*in use") as caught:
        await second.start()
    assert "\n" not in str(caught.value)
    await second.stop(0)
    await first.stop(0)
    await first.stop(0)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
async def test_a_host_that_is_not_here(host: str) -> None:
    """An address that cannot be listened on stops with one line that names its setting."""
    server = LogServiceServer(MemorySink(), host=host, port=0, maker=MAKER)
    with pytest.raises(InvalidSetting, match=f"LOGBRIDGE_SERVICE_HOST={host}"):
        await server.start()


async def test_ipv6_and_names() -> None:
    """An IPv6 address and a name are hosts too."""
    for host in ("::1", "localhost"):
        server = LogServiceServer(MemorySink(), host=host, port=0, maker=MAKER)
        await server.start()
        assert server.port
        await server.stop(0)


async def test_stopping_lets_writes_end() -> None:
    """A write that runs when the service stops is answered within the grace."""
    store = MemorySink([hang])
    server = LogServiceServer(store, host="127.0.0.1", port=0, maker=MAKER)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        rpc: Any = channel.unary_unary(f"/{LOGS}/WriteLog")
        request = pb.WriteLogRequest(log_entry=pb.LogEntry(message="x")).SerializeToString()
        call = rpc(request, timeout=0.5)
        await call.initial_metadata()
        await asyncio.wait_for(server.stop(300), 60)
        assert await call.code() is StatusCode.DEADLINE_EXCEEDED
