"""The histogram over gRPC: who may ask, what older peers and peers that lie make of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.mapping import (
    SERVICE,
    VERSION_KEY,
    from_histogram_request,
    from_histogram_response,
    to_histogram_request,
    to_histogram_response,
)
from logbridge.adapters.grpc.sink import GrpcSink
from logbridge.domain.entry import LogLevel
from logbridge.domain.errors import InvalidRequest, QueryNotSupported, QueryRefused, ReaderUnavailable
from logbridge.domain.query import BUCKETS_MAX, HistogramQuery, LogHistogram
from tests.factories import make_entry, soon
from tests.integration.field_peer import FieldPeer
from tests.integration.test_grpc_sink import free_port
from tests.integration.test_keys import create, guarded

BUCKET = pb.HistogramBucket(counts=[1, 0, 0, 0, 0])
ANSWER = pb.HistogramLogResponse(bucket_us=1_000_000, buckets=[BUCKET])


@asynccontextmanager
async def answering(answer: bytes, *, named: bool = True) -> AsyncIterator[GrpcSink]:
    """A sink to a peer that gives this answer, and names itself as a log service of ours or does not."""

    async def handle(_: bytes, context: Any) -> bytes:
        if named:
            await context.send_initial_metadata(((VERSION_KEY, "0"),))
        return answer

    server = grpc.aio.server()
    methods = {"HistogramLog": grpc.unary_unary_rpc_method_handler(handle)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    sink = GrpcSink(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    await server.start()
    try:
        yield sink
    finally:
        await sink.aclose()
        await server.stop(None)


async def test_a_peer_of_the_field_cannot() -> None:
    """It answers UNIMPLEMENTED: the question is not supported, and over HTTP that is 501."""
    async with FieldPeer() as peer:
        sink = GrpcSink(peer.address)
        with pytest.raises(QueryNotSupported):
            await sink.histogram(HistogramQuery(), deadline=soon())
        await sink.aclose()


async def test_a_peer_that_does_not_name_itself_is_not_believed() -> None:
    """It might know neither text nor several services, and count the logs of others."""
    async with answering(ANSWER.SerializeToString(), named=False) as sink:
        with pytest.raises(QueryNotSupported, match="no histogram of ours"):
            await sink.histogram(HistogramQuery(services=frozenset({"shop", "pay"})), deadline=soon())


async def test_nobody_answers() -> None:
    """Without a log service, or after closing, it is unavailable."""
    sink = GrpcSink(f"127.0.0.1:{free_port()}")
    with pytest.raises(ReaderUnavailable):
        await sink.histogram(HistogramQuery(), deadline=soon())
    await sink.aclose()
    with pytest.raises(ReaderUnavailable, match="closed"):
        await sink.histogram(HistogramQuery(), deadline=soon())


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff",
        b"",
        pb.HistogramLogResponse(bucket_us=-1, buckets=[BUCKET]).SerializeToString(),
        pb.HistogramLogResponse(bucket_us=1, buckets=[BUCKET] * (BUCKETS_MAX + 1)).SerializeToString(),
        pb.HistogramLogResponse(bucket_us=1, buckets=[pb.HistogramBucket(counts=[1])]).SerializeToString(),
        pb.HistogramLogResponse(bucket_us=1, buckets=[pb.HistogramBucket()]).SerializeToString(),
        pb.HistogramLogResponse(
            bucket_us=1, buckets=[pb.HistogramBucket(counts=[-1, 0, 0, 0, 0])]
        ).SerializeToString(),
    ],
)
async def test_an_answer_that_is_none(answer: bytes) -> None:
    """What no log service of ours would say is refused as a whole."""
    async with answering(answer) as sink:
        with pytest.raises(ReaderUnavailable, match="not one of a log service"):
            await sink.histogram(HistogramQuery(), deadline=soon())


async def test_a_bound_key_at_the_log_service(tmp_path: Path) -> None:
    """A key with read counts its own services only; another one, and one without read, is refused."""
    bound = create(tmp_path, "bound", "--scope", "read", "--service", "shop")
    writer = create(tmp_path, "writer", "--scope", "write")
    async with guarded(tmp_path) as (port, store):
        store.entries.extend(make_entry(service_name=name) for name in ("shop", "pay", "shop"))
        sink = GrpcSink(f"127.0.0.1:{port}", key=bound)
        assert (await sink.histogram(HistogramQuery(), deadline=soon())).total_count == 2
        with pytest.raises(QueryRefused, match="for shop"):
            await sink.histogram(HistogramQuery(service_name="pay"), deadline=soon())
        await sink.aclose()
        refused = GrpcSink(f"127.0.0.1:{port}", key=writer)
        with pytest.raises(QueryRefused, match="needs the scope read"):
            await refused.histogram(HistogramQuery(), deadline=soon())
        await refused.aclose()


async def test_bad_requests_are_refused(tmp_path: Path) -> None:
    """A wrong number of buckets, level or time is INVALID_ARGUMENT with the field."""
    key = create(tmp_path, "all", "--scope", "read")
    bad = [
        pb.HistogramLogRequest(buckets=-1),
        pb.HistogramLogRequest(filter=pb.QueryLogRequest(level=9)),  # type: ignore[arg-type]  # no such level
        pb.HistogramLogRequest(filter=pb.QueryLogRequest(start_time="today")),
    ]
    async with guarded(tmp_path) as (port, _), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        rpc: Any = channel.unary_unary(f"/{SERVICE}/HistogramLog")
        for raw in (*(request.SerializeToString() for request in bad), b"\xff"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await rpc(raw, metadata=(("authorization", f"Bearer {key}"),))
            assert caught.value.code() is StatusCode.INVALID_ARGUMENT


def test_questions_and_answers_survive_the_wire() -> None:
    """Both are what they were; none for buckets means 60, and too many are as many as there may be."""
    asked = HistogramQuery(text="a", level=LogLevel.WARN, services=frozenset({"b", "c"}), buckets=7)
    assert from_histogram_request(to_histogram_request(asked)) == asked
    for sent, read in ((0, 60), (1000, BUCKETS_MAX)):
        assert from_histogram_request(pb.HistogramLogRequest(buckets=sent)).buckets == read
    with pytest.raises(InvalidRequest):
        from_histogram_request(pb.HistogramLogRequest(buckets=-2))
    for found in (
        LogHistogram(0, -5, 10, -100, [(1, 2, 3, 4, 5)]),
        LogHistogram(None, None, 1, 0, []),
    ):
        assert from_histogram_response(to_histogram_response(found)) == found
