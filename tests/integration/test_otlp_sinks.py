"""The OTLP sinks over real connections: what both do alike, whatever carries the records."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from random import Random
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)

from logbridge.adapters.otlp.grpc_sink import SERVICE, OtlpGrpcSink
from logbridge.adapters.otlp.http_sink import OtlpHttpSink
from logbridge.adapters.otlp.sink import SAID_CHARS_MAX, SINGLES_AFTER_PARTIAL_S, OtlpSink
from logbridge.domain.entry import LogLevel
from logbridge.domain.outcome import Accepted, Cause, Failed, Refused, Unknown
from logbridge.domain.policy import BatchPolicy
from logbridge.domain.ports import Deadline, LogSink
from logbridge.domain.trace import Trace
from logbridge.entrypoints.container import Container, close
from logbridge.entrypoints.settings import Settings
from logbridge.entrypoints.sinks import reader_of
from tests.factories import coalesces, make_entry, soon
from tests.integration.otlp_collector import GrpcCollector, HttpCollector
from tests.integration.processes import free_port
from tests.sink_contract import SinkContract

Collector = GrpcCollector | HttpCollector
WAYS = ("grpc", "http")
pytestmark = pytest.mark.parametrize("way", WAYS)


def collector(way: str, *arguments: Any, **options: Any) -> Collector:
    """A collector that speaks this way."""
    return GrpcCollector(*arguments, **options) if way == "grpc" else HttpCollector(*arguments, **options)


@contextlib.asynccontextmanager
async def sink_to(way: str, port: int, **options: Any) -> AsyncIterator[OtlpSink]:
    """An open sink to a port of this machine."""
    sink: OtlpSink
    if way == "grpc":
        sink = OtlpGrpcSink(f"127.0.0.1:{port}", **options)
    else:
        sink = OtlpHttpSink(f"http://127.0.0.1:{port}/v1/logs", **options)
    try:
        yield sink
    finally:
        await sink.aclose()


class _WriteOnly(SinkContract):
    reads_back = False
    follows = False
    honours_ids = False


class TestSink(_WriteOnly):
    """The contract in front of a collector, which ignores ids and cannot be asked."""

    @pytest.fixture
    async def sink(self, way: str) -> AsyncIterator[LogSink]:
        async with collector(way) as peer, sink_to(way, peer.port) as sink:
            yield sink


@pytest.mark.usefixtures("each_way")
class TestChain(_WriteOnly):
    """The contract over the whole chain, as the container builds it."""

    @pytest.fixture
    async def sink(self, way: str) -> AsyncIterator[LogSink]:
        async with collector(way) as peer:
            scheme = "otlp" if way == "grpc" else "otlp+http"
            container = Container(Settings(sink=f"{scheme}://127.0.0.1:{peer.port}", coalesce=coalesces()))
            yield container.delivered
            await close(container)


async def test_the_receiver_has_every_field(way: str) -> None:
    """What gets in says, record by record, what the entries said, and is accepted under its own id."""
    entries = [make_entry(level=level, message=f"at {level.name}") for level in LogLevel]
    async with collector(way) as peer, sink_to(way, peer.port) as sink:
        outcomes = await sink.write(entries, deadline=soon())
    assert list(outcomes) == [Accepted(entry.id) for entry in entries]
    assert peer.entries == entries
    assert len(peer.seen) == 1


async def test_a_sink_that_only_writes(way: str) -> None:
    """It is no reader, a collector is taken to ignore ids, and nobody there is an open question over gRPC."""
    async with collector(way) as peer, sink_to(way, peer.port) as sink:
        assert reader_of(sink) is None
        await sink.write([make_entry()], deadline=soon())
        assert await sink.honours_ids(deadline=soon()) is False
    async with sink_to(way, free_port()) as sink:
        assert await sink.honours_ids(deadline=soon()) is (None if way == "grpc" else False)


async def test_check(way: str) -> None:
    """A check sends a request without records; one with nobody there says so."""
    async with collector(way) as peer, sink_to(way, peer.port) as sink:
        assert (await sink.check()).reachable
        assert peer.seen == [[]]
    async with sink_to(way, free_port()) as sink:
        health = await sink.check()
    assert not health.reachable
    assert "nothing listens there" in health.detail


async def test_nothing_listens(way: str) -> None:
    """A refused connection fails at once: known not written, and it may go again."""
    async with sink_to(way, port := free_port()) as sink:
        outcomes = await sink.write([make_entry(), make_entry()], deadline=soon(60))
    for outcome in outcomes:
        assert isinstance(outcome, Failed)
        assert (outcome.cause, outcome.may_go_again) == (Cause.UNAVAILABLE, True)
        assert outcome.reason.startswith(f"127.0.0.1:{port}")
        assert "nothing listens there (connection refused)" in outcome.reason


async def test_no_answer_in_time_is_unknown(way: str) -> None:
    """A receiver that has the records and does not answer may have written them."""
    async with collector(way) as peer, sink_to(way, peer.port) as sink:
        peer.gate.clear()
        # A busy machine may take the shorter ones to send it.
        for seconds in (0.3, 3, 30):
            (outcome,) = await sink.write([make_entry()], deadline=soon(seconds))
            if peer.entered.is_set():
                break
        peer.gate.set()
    assert isinstance(outcome, Unknown)
    assert (outcome.cause, outcome.may_go_again) == (Cause.TIMEOUT, True)


async def test_a_connection_that_breaks_is_unknown(way: str) -> None:
    """A receiver that goes away with the records in its hands may have written them."""
    async with collector(way) as peer, sink_to(way, peer.port) as sink:
        peer.gate.clear()
        writing = asyncio.ensure_future(sink.write([make_entry()], deadline=soon()))
        await peer.entered.wait()
        await peer.stop()
        peer.gate.set()
        (outcome,) = await writing
        await peer.start(0)
    assert isinstance(outcome, Unknown)
    assert outcome.cause is Cause.NO_ANSWER


async def test_all_rejected_is_refused(way: str) -> None:
    """Where all records of a request are rejected each one is refused, with what the receiver said."""
    async with collector(way, rejects=lambda message: True) as peer, sink_to(way, peer.port) as sink:
        outcomes = await sink.write([make_entry() for _ in range(3)], deadline=soon())
    for outcome in outcomes:
        assert isinstance(outcome, Refused)
        assert "the receiver rejected it: body too strange" in outcome.reason


async def test_some_rejected_is_never_a_success(way: str) -> None:
    """Of an answer that does not say which records got in nobody is told that his did, or did not."""
    entries = [make_entry(message=message) for message in ("good", "bad", "good")]
    async with (
        collector(way, rejects=lambda message: message == "bad") as peer,
        sink_to(way, peer.port) as sink,
    ):
        outcomes = await sink.write(entries, deadline=soon())
    for entry, outcome in zip(entries, outcomes, strict=True):
        assert isinstance(outcome, Unknown)
        assert (outcome.log_id, outcome.cause) == (entry.id, Cause.UNCLEAR)
        assert "rejected 1 of 3 records without saying which (body too strange)" in outcome.reason


async def test_after_some_rejected_the_guilty_one_stands_alone(way: str) -> None:
    """After such an answer records go one by one, until none was rejected for half a minute."""
    now_s = [1000.0]
    bad = make_entry(message="bad")

    def deadline() -> Deadline:
        return Deadline(now_s[0] + 5)

    peer = collector(way, rejects=lambda message: message == "bad")
    async with peer, sink_to(way, peer.port, monotonic=lambda: now_s[0]) as sink:
        await sink.write([bad, make_entry()], deadline=deadline())
        for _ in range(2):  # each time that one is rejected it begins anew
            outcomes = await sink.write([make_entry(), bad, make_entry()], deadline=deadline())
            assert [type(outcome) for outcome in outcomes] == [Accepted, Refused, Accepted]
            now_s[0] += SINGLES_AFTER_PARTIAL_S - 1
        assert {len(messages) for messages in peer.seen[1:]} == {1}
        now_s[0] += 1
        await sink.write([make_entry(), make_entry()], deadline=deadline())
        assert len(peer.seen[-1]) == 2


@pytest.mark.parametrize("rejected", [-1, 4])
async def test_numbers_that_cannot_be(way: str, rejected: int) -> None:
    """An answer that rejects more records than there were, or fewer than none, says nothing of any."""
    answer = ExportLogsServiceResponse(
        partial_success=ExportLogsPartialSuccess(rejected_log_records=rejected)
    ).SerializeToString()
    async with collector(way, lambda messages: answer) as peer, sink_to(way, peer.port) as sink:
        outcomes = await sink.write([make_entry() for _ in range(3)], deadline=soon())
    assert {type(outcome) for outcome in outcomes} == {Unknown}


async def test_a_warning_is_accepted_and_told(way: str, caplog: pytest.LogCaptureFixture) -> None:
    """A message with nothing rejected is a warning: the records got in, and the log says it once a minute."""
    async with collector(way, said="use less" + "!" * 1000) as peer, sink_to(way, peer.port) as sink:
        for _ in range(3):
            (outcome,) = await sink.write([make_entry()], deadline=soon())
            assert isinstance(outcome, Accepted)
    (record,) = [record for record in caplog.records if record.name == OtlpSink.__module__]
    assert "took all records, and warns: use less!" in record.getMessage()
    assert len(record.getMessage()) < SAID_CHARS_MAX + 100


async def test_garbage_is_unknown(way: str) -> None:
    """An answer that is none of a receiver's leaves open what became of the records, and is no health."""
    async with collector(way, lambda messages: b"\xff\xff<html>") as peer, sink_to(way, peer.port) as sink:
        (outcome,) = await sink.write([make_entry()], deadline=soon())
        health = await sink.check()
    assert isinstance(outcome, Unknown)
    assert "not one of an OTLP receiver" in outcome.reason
    assert not health.reachable


async def test_what_is_larger_than_a_message_goes_in_parts(way: str) -> None:
    """No request is larger than LOGBRIDGE_GRPC_MESSAGE_BYTES_MAX, and everything gets in."""
    entries = [make_entry(message=f"{number:02}" + "x" * 20_000) for number in range(20)]
    batch = BatchPolicy(message_bytes_max=100_000)
    async with collector(way) as peer, sink_to(way, peer.port, batch=batch) as sink:
        outcomes = await sink.write(entries, deadline=soon())
    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert max(len(messages) for messages in peer.seen) == 3
    assert sorted(peer.messages) == [entry.message for entry in entries]


async def test_larger_than_the_receiver_takes(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it finds too large is halved; a record that is too large by itself is refused as that."""
    monkeypatch.setattr(GrpcCollector, "message_bytes_max", 30_000)
    monkeypatch.setattr(HttpCollector, "body_bytes_max", 500)  # compressed
    sizes = [10_000, 10_000, 40_000, 10_000] if way == "grpc" else [10, 10, 600, 10]
    entries = [make_entry(message=_noise(size)) for size in sizes]
    async with collector(way) as peer, sink_to(way, peer.port) as sink:
        outcomes = await sink.write(entries, deadline=soon())
    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted, Refused, Accepted]
    assert isinstance(outcomes[2], Refused)
    assert outcomes[2].cause is Cause.TOO_LARGE


def _noise(length: int) -> str:
    """Text that does not become smaller than half."""
    return Random(length).randbytes(length // 2).hex()


async def test_the_key_and_headers_are_shown(way: str) -> None:
    """The key goes as a bearer token with each request, the headers beside it."""
    headers = (("x-tenant", "shop"),)
    async with collector(way) as peer, sink_to(way, peer.port, key="s3cret", headers=headers) as sink:
        await sink.write([make_entry()], deadline=soon())
    assert peer.headers[0]["authorization"] == "Bearer s3cret"
    assert peer.headers[0]["x-tenant"] == "shop"


async def test_writes_after_close(way: str) -> None:
    """A closed sink says so."""
    async with collector(way) as peer, sink_to(way, peer.port) as sink:
        await sink.aclose()
        (outcome,) = await sink.write([make_entry()], deadline=soon())
        health = await sink.check()
        honours = await sink.honours_ids(deadline=soon())
    assert isinstance(outcome, Failed)
    assert "closed" in outcome.reason
    assert "closed" in health.detail
    assert not honours


async def test_the_receiver_is_found_when_it_comes(way: str) -> None:
    """A sink that began without its receiver finds it, and finds it again."""
    peer = collector(way)
    async with sink_to(way, port := free_port()) as sink:
        (before,) = await sink.write([make_entry()], deadline=soon())
        assert isinstance(before, Failed)
        for _ in range(2):
            await peer.start(port)
            try:
                await _until_accepted(sink)
            finally:
                await peer.stop()


async def _until_accepted(sink: OtlpSink) -> None:
    async with asyncio.timeout(60):
        while True:
            (outcome,) = await sink.write([make_entry()], deadline=soon())
            if isinstance(outcome, Accepted):
                return
            await asyncio.sleep(0.05)


class _Recorder:
    """A Tracer and its Spans, which keeps what it is told."""

    trace = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "01", "")

    def __init__(self) -> None:
        self.told: list[Any] = []

    def begin(
        self, name: str, attributes: Mapping[str, str | int], traces: tuple[Trace, ...], *, inbound: bool
    ) -> "_Recorder":
        self.told.append((name, dict(attributes), traces, inbound))
        return self

    def end(self, attributes: Mapping[str, str | int], fault: str = "") -> None:
        self.told.append((dict(attributes), fault))

    async def aclose(self, within_s: float) -> None:
        """Nothing is open."""


async def test_each_request_is_recorded_and_told_its_trace(way: str) -> None:
    """A span for each request, one without an answer too; the receiver is told it as its traceparent."""
    tracer = _Recorder()
    async with collector(way) as peer, sink_to(way, peer.port, tracer=tracer) as sink:
        await sink.write([make_entry()], deadline=soon())
    assert peer.headers[0]["traceparent"] == tracer.trace.parent
    (name, attributes, _, inbound), ended = tracer.told
    assert name == ("POST" if way == "http" else f"{SERVICE}/Export")
    assert (attributes["server.address"], attributes["server.port"]) == ("127.0.0.1", peer.port)
    assert not inbound
    status = {"http.response.status_code": 200} if way == "http" else {"rpc.grpc.status_code": 0}
    assert ended == (status, "")
    tracer.told.clear()
    async with sink_to(way, free_port(), tracer=tracer) as sink:
        await sink.write([make_entry()], deadline=soon())
    assert tracer.told[-1][1] == ("no_answer" if way == "http" else "UNAVAILABLE")
