"""GrpcSink over real connections: our own log service, peers of the field, and nobody at all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.connection import CALLS_IN_FLIGHT_MAX
from logbridge.adapters.grpc.sink import GrpcSink
from logbridge.adapters.memory import MemorySink, fail, hang, lose, refuse
from logbridge.adapters.sqlite.store import SqliteStore
from logbridge.domain.entry import EntryMaker, LogLevel
from logbridge.domain.errors import QueryNotSupported, QueryRefused, ReaderUnavailable
from logbridge.domain.outcome import Accepted, Cause, Failed, Refused, Unknown
from logbridge.domain.policy import BatchPolicy
from logbridge.domain.ports import Deadline
from logbridge.domain.query import LogFilter, LogQuery
from logbridge.entrypoints.log_service import LogServiceServer
from tests.factories import make_entry, soon
from tests.integration.field_peer import FieldPeer
from tests.integration.processes import free_port
from tests.sink_contract import SinkContract

MAKER = EntryMaker("default-service", 262_144, 64, lambda: "2024-08-30T10:30:45.000000Z", lambda: "made-id")


@contextlib.asynccontextmanager
async def serving(store: Any, port: int = 0) -> AsyncIterator[LogServiceServer]:
    """Our own log service on a port of this machine."""
    server = LogServiceServer(store, host="127.0.0.1", port=port, maker=MAKER)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


@contextlib.asynccontextmanager
async def sink_to(address: str, **options: Any) -> AsyncIterator[GrpcSink]:
    """An open sink."""
    sink = GrpcSink(address, **options)
    try:
        yield sink
    finally:
        await sink.aclose()


class TestOverMemory(SinkContract):
    """The contract over gRPC, in front of the fake."""

    @pytest.fixture
    async def sink(self) -> AsyncIterator[GrpcSink]:
        async with serving(MemorySink()) as server, sink_to(f"127.0.0.1:{server.port}") as sink:
            yield sink


class TestOverSqlite(SinkContract):
    """The contract over gRPC, in front of the real store."""

    @pytest.fixture
    async def sink(self, tmp_path: Path) -> AsyncIterator[GrpcSink]:
        store = SqliteStore(tmp_path / "logs.db")
        async with serving(store) as server, sink_to(f"127.0.0.1:{server.port}") as sink:
            yield sink
        await store.aclose()


class TestOverFieldPeer(SinkContract):
    """The contract in front of a peer that ignores ids."""

    reads_back = False
    follows = False
    honours_ids = False

    @pytest.fixture
    async def sink(self) -> AsyncIterator[GrpcSink]:
        async with FieldPeer() as peer, sink_to(peer.address) as sink:
            yield sink


@pytest.mark.parametrize("count", [1, 2])
async def test_verdicts_of_our_service_come_through(count: int) -> None:
    """Refused, failed and unknown at the store are the same at the sink, alone and in a batch."""
    script = [step for step in (refuse("no"), fail("later"), lose("lost")) for _ in range(count)]
    store = MemorySink(script)
    async with serving(store) as server, sink_to(f"127.0.0.1:{server.port}") as sink:
        answers = [await sink.write([make_entry() for _ in range(count)], deadline=soon()) for _ in range(3)]
    kinds = [{type(outcome) for outcome in answer} for answer in answers]
    assert kinds == [{Refused}, {Failed}, {Unknown}]
    assert "no" in answers[0][0].reason  # type: ignore[union-attr]  # Refused, as just asserted


async def test_no_answer_in_time_is_unknown() -> None:
    """A service that does not answer before the deadline leaves the outcome unknown."""
    async with serving(MemorySink([hang])) as server, sink_to(f"127.0.0.1:{server.port}") as sink:
        (outcome,) = await sink.write([make_entry()], deadline=soon(0.2))
    assert isinstance(outcome, Unknown)
    assert outcome.cause is Cause.TIMEOUT
    assert "did not answer in time" in outcome.reason


async def test_nothing_listens() -> None:
    """A refused connection fails at once: known not written, address and reason in plain words."""
    address = f"localhost:{free_port()}"
    async with sink_to(address) as sink:
        outcomes = await sink.write([make_entry(), make_entry()], deadline=soon(300))
        health = await sink.check()
        with pytest.raises(ReaderUnavailable, match="nothing listens there"):
            await sink.query(LogQuery(), deadline=soon())
        with pytest.raises(ReaderUnavailable, match="nothing listens there"):
            await anext(sink.follow(LogFilter()))
    assert {type(outcome) for outcome in outcomes} == {Failed}
    assert outcomes[0].reason == f"{address}: nothing listens there (connection refused)"  # type: ignore[union-attr]
    assert not health.reachable
    assert address in health.detail


async def test_the_service_is_found_when_it_comes() -> None:
    """A sink that began without its service, or lost it, finds it again by itself."""
    port = free_port()
    async with sink_to(f"127.0.0.1:{port}") as sink:
        (before,) = await sink.write([make_entry()], deadline=soon())
        assert isinstance(before, Failed)
        for _ in range(2):
            store = MemorySink()
            async with serving(store, port):
                await _until_accepted(sink)
            assert store.entries
            (away,) = await sink.write([make_entry()], deadline=soon())
            assert isinstance(away, Failed | Unknown)


async def _until_accepted(sink: GrpcSink) -> None:
    async with asyncio.timeout(60):
        while True:
            (outcome,) = await sink.write([make_entry()], deadline=soon())
            if isinstance(outcome, Accepted):
                return
            await asyncio.sleep(0.05)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


async def test_a_connection_that_breaks_is_unknown() -> None:
    """A peer that dies after the entry was sent may have written it."""
    async with FieldPeer() as peer, sink_to(peer.address) as sink:
        peer.gate.clear()
        writing = asyncio.ensure_future(sink.write([make_entry()], deadline=soon(300)))
        await asyncio.wait_for(peer.entered.wait(), 30)
        await peer.stop()
        (outcome,) = await asyncio.wait_for(writing, 30)
    assert isinstance(outcome, Unknown)
    assert outcome.cause is Cause.NO_ANSWER


async def test_one_entry_is_a_single_write_and_several_are_a_batch() -> None:
    """The cheapest call is chosen, and a field peer's ids are handed on."""
    async with FieldPeer() as peer, sink_to(peer.address) as sink:
        one = await sink.write([make_entry()], deadline=soon())
        several = await sink.write([make_entry() for _ in range(3)], deadline=soon())
    assert peer.calls == ["WriteLog", "BatchWriteLog"]
    assert [*one, *several] == [Accepted(entry.id) for entry in peer.stored]


async def test_chunks_respect_the_message_size() -> None:
    """A batch larger than a message goes as several, each within the limit, in order."""
    entries = [make_entry(message=f"{number:03}" + "x" * 1000) for number in range(50)]
    policy = BatchPolicy(message_bytes_max=8192)
    async with FieldPeer(message_bytes_max=8192) as peer, sink_to(peer.address, batch=policy) as sink:
        outcomes = await sink.write(entries, deadline=soon())
    assert outcomes == [Accepted(entry.id) for entry in peer.stored]
    assert [entry.message for entry in peer.stored] == [entry.message for entry in entries]
    assert 7 <= len(peer.calls) <= 10


async def test_a_peer_that_takes_less_gets_less() -> None:
    """A message larger than the peer takes is split and sent again; an entry too large alone is refused."""
    entries = [make_entry(message="x" * 1000) for _ in range(10)]
    entries[4] = make_entry(message="x" * 9000)
    async with FieldPeer(message_bytes_max=4096) as peer, sink_to(peer.address) as sink:
        outcomes = await sink.write(entries, deadline=soon())
    refused = outcomes.pop(4)  # type: ignore[attr-defined]  # a list
    assert isinstance(refused, Refused)
    assert refused.cause is Cause.TOO_LARGE
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len(peer.stored) == 9


async def test_the_guilty_entry_stands_alone() -> None:
    """One entry that a peer refuses does not sink its batch."""

    def refuses(message: str) -> tuple[StatusCode, str] | None:
        return (StatusCode.INVALID_ARGUMENT, "no, thanks") if message == "guilty" else None

    entries = [make_entry() for _ in range(9)]
    entries[5] = make_entry(message="guilty")
    async with FieldPeer(refuses=refuses) as peer, sink_to(peer.address) as sink:
        outcomes = await sink.write(entries, deadline=soon())
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Accepted] * 5 + [Refused] + [Accepted] * 3
    assert "no, thanks" in outcomes[5].reason  # type: ignore[union-attr]  # Refused, as just asserted
    assert len(peer.stored) == 8


async def test_without_credentials_nothing_is_halved() -> None:
    """UNAUTHENTICATED refuses every entry with one call."""
    answers = {"BatchWriteLog": (StatusCode.UNAUTHENTICATED, "who are you")}
    async with FieldPeer(answers=answers) as peer, sink_to(peer.address) as sink:  # type: ignore[arg-type]
        outcomes = await sink.write([make_entry() for _ in range(8)], deadline=soon())
    assert {type(outcome) for outcome in outcomes} == {Refused}
    assert peer.calls == ["BatchWriteLog"]


async def test_a_peer_without_batches_gets_singles() -> None:
    """UNIMPLEMENTED is met once; from then on there are single writes."""
    answers = {"BatchWriteLog": (StatusCode.UNIMPLEMENTED, "Method not found!")}
    async with FieldPeer(answers=answers) as peer, sink_to(peer.address) as sink:  # type: ignore[arg-type]
        for _ in range(2):
            outcomes = await sink.write([make_entry() for _ in range(10)], deadline=soon())
            assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert peer.calls == ["BatchWriteLog"] + ["WriteLog"] * 20


async def test_singles_are_only_so_many_at_once() -> None:
    """A large batch does not flood a peer that takes no batches."""
    policy = BatchPolicy(singles_in_flight_max=3)
    async with FieldPeer(has_batches=False) as peer, sink_to(peer.address, batch=policy) as sink:
        peer.gate.clear()
        entries = [make_entry() for _ in range(10)]
        writing = asyncio.create_task(sink.write(entries, deadline=soon(300)))
        await _until(lambda: len(peer.calls) == 3)
        peer.gate.set()
        outcomes = await writing
    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert peer.in_flight_max == 3


async def test_thousands_of_writes_at_once() -> None:
    """Any number of writes at once is answered; a grpc server would drop calls beyond 1,000 waiting ones."""
    async with FieldPeer() as peer, sink_to(peer.address) as sink:
        writes = [sink.write([make_entry()], deadline=soon(300)) for _ in range(5000)]
        answers = await asyncio.gather(*writes)
    assert {type(outcome) for (outcome,) in answers} == {Accepted}


async def test_waiting_for_room_ends_with_the_deadline() -> None:
    """Writes that never got their turn are known not written."""
    async with FieldPeer() as peer, sink_to(peer.address) as sink:
        peer.gate.clear()
        ahead = [
            asyncio.create_task(sink.write([make_entry()], deadline=soon(300)))
            for _ in range(CALLS_IN_FLIGHT_MAX)
        ]
        await _until(lambda: len(peer.calls) == CALLS_IN_FLIGHT_MAX)
        (outcome,) = await sink.write([make_entry()], deadline=soon(0.1))
        peer.gate.set()
        await asyncio.gather(*ahead)
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.TIMEOUT


async def test_health_does_not_wait_behind_writes() -> None:
    """With every call taken and more writes waiting, a peer that is well is healthy."""
    async with FieldPeer() as peer, sink_to(peer.address) as sink:
        peer.gate.clear()
        count = CALLS_IN_FLIGHT_MAX + 100
        writes = [asyncio.create_task(sink.write([make_entry()], deadline=soon(300))) for _ in range(count)]
        await _until(lambda: len(peer.calls) == CALLS_IN_FLIGHT_MAX)
        health = await sink.check()
        peer.gate.set()
        await asyncio.gather(*writes)
    assert health.reachable


async def test_missing_batches_are_forgotten_on_reconnect() -> None:
    """A new peer at the same address is asked for batches again."""
    old, new = FieldPeer(has_batches=False, port=free_port()), FieldPeer()
    async with old, sink_to(old.address) as sink:
        await sink.write([make_entry(), make_entry()], deadline=soon())
        await old.stop()
        await new.start(int(old.address.rpartition(":")[2]))
        await _until_accepted(sink)
        await sink.write([make_entry(), make_entry()], deadline=soon())
        await new.stop()
    assert new.calls[-1] == "BatchWriteLog"


async def test_a_full_queue_may_be_tried_again() -> None:
    """RESOURCE_EXHAUSTED is known not written."""
    async with FieldPeer(queue_entries_max=0) as peer, sink_to(peer.address) as sink:
        (one,) = await sink.write([make_entry()], deadline=soon())
        batch = await sink.write([make_entry(), make_entry()], deadline=soon())
    for outcome in (one, *batch):
        assert isinstance(outcome, Failed)
        assert outcome.cause is Cause.OVERLOADED
        assert "queue is full" in outcome.reason


async def test_an_ambiguous_batch_is_never_a_success() -> None:
    """A peer that took some without saying which: all unknown, then single writes for 30 s, then batches."""
    clock = [100.0]
    peer = FieldPeer(queue_entries_max=2)
    async with peer, sink_to(peer.address, monotonic=lambda: clock[0]) as sink:
        outcomes = await sink.write([make_entry() for _ in range(3)], deadline=Deadline(110))
        clock[0] = 129.9
        await sink.write([make_entry(), make_entry()], deadline=Deadline(140))
        clock[0] = 130.1
        await sink.write([make_entry(), make_entry()], deadline=Deadline(140))
    assert {type(outcome) for outcome in outcomes} == {Unknown}
    assert "2 of 3 entries without saying which" in outcomes[0].reason  # type: ignore[union-attr]
    assert peer.calls == ["BatchWriteLog", "WriteLog", "WriteLog", "BatchWriteLog"]


async def test_an_id_that_is_taken_is_a_conflict() -> None:
    """ALREADY_EXISTS is refused as a conflict, also when it answers a batch."""
    status = (StatusCode.ALREADY_EXISTS, "taken")
    async with FieldPeer(refuses=lambda message: status) as peer, sink_to(peer.address) as sink:
        outcomes = await sink.write([make_entry(), make_entry()], deadline=soon())
    assert [getattr(outcome, "cause", None) for outcome in outcomes] == [Cause.CONFLICT] * 2


async def test_success_false_is_refused() -> None:
    """OK without success is no success, and the peer's words are told."""
    answer = pb.WriteLogResponse(error_message="disk on fire").SerializeToString()
    async with FieldPeer(answers={"WriteLog": answer}) as peer, sink_to(peer.address) as sink:
        (outcome,) = await sink.write([make_entry()], deadline=soon())
    assert isinstance(outcome, Refused)
    assert "disk on fire" in outcome.reason


GARBAGE = b"\xff\xff\xff"


async def test_garbage_is_unknown() -> None:
    """An answer that is no answer of a log service leaves outcomes unknown, and raises nothing on writing."""
    answers = {"WriteLog": GARBAGE, "BatchWriteLog": GARBAGE, "QueryLog": GARBAGE}
    async with FieldPeer(answers=answers) as peer, sink_to(peer.address) as sink:  # type: ignore[arg-type]
        (one,) = await sink.write([make_entry()], deadline=soon())
        batch = await sink.write([make_entry(), make_entry()], deadline=soon())
        with pytest.raises(ReaderUnavailable, match="not one of a log service"):
            await sink.query(LogQuery(), deadline=soon())
    assert {type(outcome) for outcome in (one, *batch)} == {Unknown}


@pytest.mark.parametrize(
    ("follow_bytes", "said"), [(GARBAGE, "not one of a log service"), (b"\x08\x07", "ended the stream")]
)
async def test_a_peer_gone_mad(follow_bytes: bytes, said: str) -> None:
    """Garbage from a health service is no health; a stream of garbage, or one that ends, is an error."""

    async def check(raw: bytes, context: Any) -> bytes:
        return GARBAGE

    async def follow(raw: bytes, context: Any) -> AsyncIterator[bytes]:
        yield follow_bytes

    health: Any = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    logs: Any = {"FollowLog": grpc.unary_stream_rpc_method_handler(follow)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
            grpc.method_handlers_generic_handler("logservice.LogService", logs),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with sink_to(f"127.0.0.1:{port}") as sink:
        assert not (await sink.check()).reachable
        with pytest.raises(ReaderUnavailable, match=said):
            [item async for item in sink.follow(LogFilter())]
    await server.stop(0)


async def test_check_understands_peers() -> None:
    """A peer without a health service lives; one that is shutting down does not serve; neither gets a log."""
    store = MemorySink()
    async with FieldPeer() as peer, sink_to(peer.address) as sink:
        assert (await sink.check()).reachable
        assert peer.calls == []
    async with serving(store) as server, sink_to(f"127.0.0.1:{server.port}") as sink:
        assert (await sink.check()).reachable
        await server._health.enter_graceful_shutdown()
        health = await sink.check()
    assert not health.reachable
    assert "not serving" in health.detail
    assert store.entries == []


async def test_a_closed_sink_answers() -> None:
    """After aclose nothing hangs and nothing is written."""
    async with FieldPeer() as peer:
        sink = GrpcSink(peer.address)
        await sink.aclose()
        (outcome,) = await sink.write([make_entry()], deadline=soon())
        assert isinstance(outcome, Failed)
        assert not (await sink.check()).reachable
        with pytest.raises(ReaderUnavailable, match="closed"):
            await sink.query(LogQuery(), deadline=soon())


async def test_closing_finishes_what_was_begun() -> None:
    """A write that runs while the sink is closed gets its answer."""
    async with FieldPeer() as peer:
        sink = GrpcSink(peer.address)
        peer.gate.clear()
        writing = asyncio.ensure_future(sink.write([make_entry(), make_entry()], deadline=soon(300)))
        await asyncio.wait_for(peer.entered.wait(), 30)
        closing = asyncio.ensure_future(sink.aclose())
        await asyncio.sleep(0)
        peer.gate.set()
        outcomes = await asyncio.wait_for(writing, 30)
        await asyncio.wait_for(closing, 30)
    assert {type(outcome) for outcome in outcomes} == {Accepted}


async def test_closing_ends_a_follow() -> None:
    """Who follows is told that the sink was closed."""
    async with serving(MemorySink()) as server:
        sink = GrpcSink(f"127.0.0.1:{server.port}")
        follow = sink.follow(LogFilter())
        await asyncio.wait_for(anext(follow), 30)
        waiting = asyncio.ensure_future(anext(follow))
        await asyncio.sleep(0)
        await sink.aclose()
        with pytest.raises(ReaderUnavailable):
            await asyncio.wait_for(waiting, 30)
        with pytest.raises(ReaderUnavailable, match="closed"):
            await anext(sink.follow(LogFilter()))


async def test_cancelling_a_follow_cancels() -> None:
    """A follower that is cancelled sees its cancellation, not an error."""
    async with serving(MemorySink()) as server, sink_to(f"127.0.0.1:{server.port}") as sink:
        follow = sink.follow(LogFilter())
        await asyncio.wait_for(anext(follow), 30)
        waiting = asyncio.ensure_future(anext(follow))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_service_that_stops_ends_a_follow() -> None:
    """A follower is told at once that the log service shuts down, whatever the grace for writes is."""
    server = LogServiceServer(MemorySink(), host="127.0.0.1", port=0, maker=MAKER)
    await server.start()
    async with sink_to(f"127.0.0.1:{server.port}") as sink:
        follow = sink.follow(LogFilter())
        await asyncio.wait_for(anext(follow), 30)
        waiting = asyncio.ensure_future(anext(follow))
        await asyncio.wait_for(server.stop(300), 30)
        with pytest.raises(ReaderUnavailable, match="shutting down"):
            await asyncio.wait_for(waiting, 30)


async def test_a_store_that_closes_ends_a_follow() -> None:
    """A follower is told when the store behind the service goes away."""
    store = MemorySink()
    async with serving(store) as server, sink_to(f"127.0.0.1:{server.port}") as sink:
        follow = sink.follow(LogFilter())
        await asyncio.wait_for(anext(follow), 30)
        waiting = asyncio.ensure_future(anext(follow))
        await store.aclose()
        with pytest.raises(ReaderUnavailable, match="closed"):
            await asyncio.wait_for(waiting, 30)


class TestFieldQueries:
    """Questions to peers that know neither "any level" nor full text."""

    async def test_level_by_level(self) -> None:
        """No level means any level, newest first, with the right total and page."""
        async with FieldPeer() as peer, sink_to(peer.address) as sink:
            await sink.write(
                [
                    make_entry(level=level, timestamp=f"2024-08-30T10:{minute:02}:0{level.value}Z")
                    for level in LogLevel
                    for minute in range(4)
                ],
                deadline=soon(),
            )
            page = await sink.query(LogQuery(limit=7, offset=2), deadline=soon())
        expected = sorted((entry.timestamp for entry in peer.stored), reverse=True)
        assert [entry.timestamp for entry in page.entries] == expected[2:9]
        assert page.total_count == 20

    async def test_deep_pages(self) -> None:
        """A peer that pages is asked on until there is enough, also with times that are none."""
        async with FieldPeer() as peer, sink_to(peer.address) as sink:
            entries = [make_entry(timestamp="long ago") for _ in range(1500)]
            await sink.write(entries, deadline=soon(300))
            page = await sink.query(LogQuery(limit=1000, offset=1200), deadline=soon(300))
            with pytest.raises(QueryNotSupported, match="name a level"):
                await sink.query(LogQuery(offset=9_950), deadline=soon())
        assert len(page.entries) == 300
        assert page.total_count == 1500

    async def test_a_level_is_asked_as_it_is(self) -> None:
        """With a level one question is enough."""
        async with FieldPeer() as peer, sink_to(peer.address) as sink:
            await sink.write([make_entry(level=level) for level in LogLevel], deadline=soon())
            page = await sink.query(LogQuery(level=LogLevel.WARN), deadline=soon())
        assert [entry.level for entry in page.entries] == [LogLevel.WARN]
        assert peer.calls.count("QueryLog") == 1

    async def test_a_peer_that_knows_any_level(self) -> None:
        """A peer that answers with other levels than DEBUG has understood; its answer stands."""
        async with FieldPeer(filters_level=False) as peer, sink_to(peer.address) as sink:
            await sink.write([make_entry(level=level) for level in LogLevel], deadline=soon())
            page = await sink.query(LogQuery(), deadline=soon())
        assert len(page.entries) == page.total_count == 5

    async def test_what_it_cannot_answer(self) -> None:
        """Full text, and following or querying a peer without the method, are not supported."""
        async with FieldPeer() as peer, sink_to(peer.address) as sink:
            with pytest.raises(QueryNotSupported, match="full text"):
                await sink.query(LogQuery(text="x"), deadline=soon())
            with pytest.raises(QueryNotSupported):
                await anext(sink.follow(LogFilter()))
        async with FieldPeer(has_queries=False) as peer, sink_to(peer.address) as sink:
            with pytest.raises(QueryNotSupported):
                await sink.query(LogQuery(), deadline=soon())

    async def test_a_query_that_failed(self) -> None:
        """An answer without success is an error with the peer's words."""
        answer = pb.QueryLogResponse(error_message="index is gone").SerializeToString()
        async with FieldPeer(answers={"QueryLog": answer}) as peer, sink_to(peer.address) as sink:
            with pytest.raises(QueryRefused, match="index is gone"):
                await sink.query(LogQuery(), deadline=soon())


async def test_a_peer_that_is_no_grpc_server() -> None:
    """An HTTP/1 server at the address is no connection: known not written."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, sink_to(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as sink:
        (outcome,) = await sink.write([make_entry()], deadline=soon())
    assert isinstance(outcome, Failed)
    assert "no connection" in outcome.reason
