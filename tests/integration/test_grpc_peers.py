"""What a GrpcSink learns of the peer at its address, and what each answer of a peer says of an entry."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.connection import Connection
from logbridge.adapters.grpc.status import RETRY_INFO_S_MAX
from logbridge.adapters.memory import MemorySink
from logbridge.domain.entry import LogEntry
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.ports import LogSink
from logbridge.entrypoints.container import Container, close
from logbridge.entrypoints.settings import Settings
from tests.factories import make_entry, soon
from tests.integration.field_peer import FieldPeer
from tests.integration.test_grpc_sink import GARBAGE, free_port, serving, sink_to

DETAILS = "grpc-status-details-bin"


def port_of(peer: FieldPeer) -> int:
    return int(peer.address.rpartition(":")[2])


def messages_of(peer: FieldPeer) -> list[str]:
    return [entry.message for entry in peer.stored]


class TestHonouringIds:
    """Whether the peer that is there now stores an id once."""

    async def test_it_shows_in_the_answer_to_a_write(self) -> None:
        """A peer that answers with the id that was sent honours ids: it is not asked again."""
        async with FieldPeer(honours_ids=True) as peer, sink_to(peer.address) as sink:
            await sink.write([make_entry()], deadline=soon())
            assert await sink.honours_ids(deadline=soon()) is True
            assert peer.calls == ["WriteLog"]

    async def test_it_shows_in_the_answer_to_a_batch(self) -> None:
        """The ids of a batch are looked at as well."""
        async with FieldPeer(honours_ids=True) as peer, sink_to(peer.address) as sink:
            await sink.write([make_entry(), make_entry()], deadline=soon())
            assert await sink.honours_ids(deadline=soon()) is True
            assert peer.calls == ["BatchWriteLog"]

    @pytest.mark.parametrize("count", [1, 2])
    async def test_an_answer_without_an_id_shows_nothing(self, count: int) -> None:
        """Success alone says nothing about ids: the peer is asked, and does not name itself."""
        success = pb.WriteLogResponse(success=True).SerializeToString()
        answers: Any = {"WriteLog": success, "BatchWriteLog": success}
        async with FieldPeer(answers=answers) as peer, sink_to(peer.address) as sink:
            outcomes = await sink.write([make_entry() for _ in range(count)], deadline=soon())
            assert {type(outcome) for outcome in outcomes} == {Accepted}
            assert await sink.honours_ids(deadline=soon()) is False

    @pytest.mark.parametrize("count", [0, 1, 2])
    async def test_an_answer_of_a_peer_that_is_gone_says_nothing(
        self, count: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the connection is lost before its answer is read, the answer is not that of the next peer.

        count: entries of the write; 0 is the question about ids.
        """
        call = Connection.call

        async def lost_after(connection: Connection, *arguments: Any) -> Any:
            answer = await call(connection, *arguments)
            # A real one would need both in the same instant.
            connection.generation += 1
            return answer

        async with serving(MemorySink()) as server, sink_to(f"127.0.0.1:{server.port}") as sink:
            with monkeypatch.context() as patched:
                patched.setattr(Connection, "call", lost_after)
                if count:
                    await sink.write([make_entry() for _ in range(count)], deadline=soon())
                else:
                    assert await sink.honours_ids(deadline=soon()) is None
            await server.stop(0)
            assert await sink.honours_ids(deadline=soon()) is None

    async def test_our_service_names_itself(self) -> None:
        """A log service of ours is known before the first write, by a call that it refuses."""
        store = MemorySink()
        async with serving(store) as server, sink_to(f"127.0.0.1:{server.port}") as sink:
            assert await sink.honours_ids(deadline=soon()) is True
        assert store.entries == []

    async def test_a_peer_of_the_field_does_not(self) -> None:
        """It is asked without an entry, which it refuses, and nothing is stored."""
        async with FieldPeer() as peer, sink_to(peer.address) as sink:
            await sink.write([make_entry(message="first")], deadline=soon())
            assert await sink.honours_ids(deadline=soon()) is False
            assert messages_of(peer) == ["first"]

    async def test_nobody_answers(self) -> None:
        """Without an answer it is not known; neither after closing."""
        async with sink_to(f"127.0.0.1:{free_port()}") as sink:
            assert await sink.honours_ids(deadline=soon()) is None
        assert await sink.honours_ids(deadline=soon()) is None

    async def test_no_answer_in_time(self) -> None:
        """A peer that hangs has not said no."""
        async with FieldPeer() as peer, sink_to(peer.address) as sink:
            peer.gate.clear()
            assert await sink.honours_ids(deadline=soon(0.2)) is None
            peer.gate.set()

    async def test_it_is_forgotten_on_reconnect(self) -> None:
        """What the old peer at an address did says nothing about the new one."""
        old, new = FieldPeer(honours_ids=True, port=free_port()), FieldPeer()
        async with old, sink_to(old.address) as sink:
            await sink.write([make_entry()], deadline=soon())
            await old.stop()
            await new.start(port_of(old))
            async with asyncio.timeout(60):
                while await sink.honours_ids(deadline=soon()) is not False:  # noqa: ASYNC110 (only asking tells)
                    await asyncio.sleep(0.01)
            await new.stop()


@contextlib.asynccontextmanager
async def delivered_to(address: str) -> AsyncIterator[Container]:
    """The parts of a bridge in front of a log service; ``delivered`` is its chain."""
    container = Container(Settings(sink=f"grpc://{address}", retry_budget_s=30.0))
    try:
        yield container
    finally:
        await close(container)


async def write(chain: LogSink, entry: LogEntry) -> Outcome:
    (outcome,) = await chain.write([entry], deadline=soon())
    return outcome


@contextlib.asynccontextmanager
async def lost_at(peer: FieldPeer, chain: LogSink, entry: LogEntry) -> AsyncIterator[asyncio.Task[Outcome]]:
    """A write whose connection breaks when the peer has it."""
    peer.gate.clear()
    peer.entered.clear()
    writing = asyncio.create_task(write(chain, entry))
    await asyncio.wait_for(peer.entered.wait(), 30)
    await peer.stop()
    yield writing
    await asyncio.wait_for(writing, 30)


async def _never(_connection: Connection, _channel: Any) -> None:
    await asyncio.Event().wait()


class TestUnknownOutcomes:
    """The delivered chain as the container builds it, when a connection breaks under a write."""

    @pytest.mark.parametrize("noticed", ["soon", "late"])
    async def test_a_successor_that_ignores_ids_gets_it_only_once(
        self, noticed: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A write is lost at a peer that honours ids; the next one there does not, and gets nothing.

        late: grpc tells that the connection broke only when all is over.
        """
        if noticed == "late":
            monkeypatch.setattr(Connection, "_watch", _never)
        old, new = FieldPeer(honours_ids=True, port=free_port()), FieldPeer()
        async with old, delivered_to(old.address) as container:
            chain = container.delivered
            assert isinstance(await write(chain, make_entry(message="known")), Accepted)
            async with lost_at(old, chain, make_entry(message="lost")) as writing:
                await new.start(port_of(old))
            outcome = writing.result()
            assert isinstance(outcome, Unknown)
            assert "does not honour ids" in outcome.reason
            assert isinstance(await write(chain, make_entry(message="next")), Accepted)
            await new.stop()
        assert messages_of(new) == ["next"]

    async def test_a_successor_that_honours_ids_gets_it_again(self) -> None:
        """The same with a log service of ours as the successor: it is sent again, and acknowledged."""
        old, store = FieldPeer(port=free_port()), MemorySink()
        async with (
            old,
            delivered_to(old.address) as container,
            lost_at(old, container.delivered, make_entry(message="lost")) as writing,
            serving(store, port_of(old)),
        ):
            outcome = await asyncio.wait_for(writing, 30)
        assert isinstance(outcome, Accepted)
        assert [entry.message for entry in store.entries] == ["lost"]

    async def test_a_peer_that_honours_ids_gets_it_again(self) -> None:
        """A status that may go again goes again to a peer whose answers have shown that it honours ids."""
        lost = iter([(StatusCode.ABORTED, "once more"), (StatusCode.DATA_LOSS, "and again")])
        peer = FieldPeer(honours_ids=True, refuses=lambda message: next(lost, None) if message else None)
        peer_known = make_entry(message="")
        async with peer, delivered_to(peer.address) as container:
            assert isinstance(await write(container.delivered, peer_known), Accepted)
            assert isinstance(await write(container.delivered, make_entry(message="again")), Accepted)
        assert peer.calls == ["WriteLog"] * 4
        assert messages_of(peer) == ["", "again"]

    async def test_a_peer_of_the_field_gets_it_only_once(self) -> None:
        """The same from a peer that ignores ids is told as unknown, after one attempt and one question."""
        sent: list[str] = []

        def refuses(message: str) -> tuple[StatusCode, str]:
            sent.append(message)
            return StatusCode.ABORTED, "once more"

        async with FieldPeer(refuses=refuses) as peer, delivered_to(peer.address) as container:
            outcome = await write(container.delivered, make_entry(message="lost"))
        assert isinstance(outcome, Unknown)
        assert "does not honour ids" in outcome.reason
        assert sent == ["lost"]
        assert peer.calls == ["WriteLog"] * 2


def retry_info(seconds: int, nanos: int = 0) -> bytes:
    """The status details of a peer that asks to wait."""
    info, status = RetryInfo(), Status(code=8)
    info.retry_delay.seconds, info.retry_delay.nanos = seconds, nanos
    status.details.add().Pack(info)
    raw: bytes = status.SerializeToString()
    return raw


QUEUE_FULL = "queue is full"
MAY_GO_AGAIN = True
STAYS = False
REFUSED = (Refused, Cause.PEER_REFUSED, STAYS)


@pytest.mark.parametrize(
    ("status", "found"),
    [
        ((StatusCode.UNAVAILABLE, "going away"), (Unknown, Cause.NO_ANSWER, MAY_GO_AGAIN)),
        ((StatusCode.DEADLINE_EXCEEDED, "mine"), (Unknown, Cause.TIMEOUT, MAY_GO_AGAIN)),
        ((StatusCode.CANCELLED, ""), (Unknown, Cause.NO_ANSWER, MAY_GO_AGAIN)),
        ((StatusCode.ABORTED, ""), (Unknown, Cause.NO_ANSWER, MAY_GO_AGAIN)),
        ((StatusCode.DATA_LOSS, ""), (Unknown, Cause.NO_ANSWER, MAY_GO_AGAIN)),
        ((StatusCode.UNKNOWN, ""), (Unknown, Cause.NO_ANSWER, STAYS)),
        ((StatusCode.INTERNAL, ""), (Unknown, Cause.NO_ANSWER, STAYS)),
        ((StatusCode.OUT_OF_RANGE, ""), (Failed, Cause.OVERLOADED, MAY_GO_AGAIN)),
        ((StatusCode.RESOURCE_EXHAUSTED, QUEUE_FULL), (Failed, Cause.OVERLOADED, MAY_GO_AGAIN)),
        (
            (StatusCode.RESOURCE_EXHAUSTED, "quota", ((DETAILS, retry_info(1)),)),
            (Failed, Cause.OVERLOADED, MAY_GO_AGAIN),
        ),
        ((StatusCode.RESOURCE_EXHAUSTED, "quota"), (Failed, Cause.OVERLOADED, STAYS)),
        ((StatusCode.INVALID_ARGUMENT, ""), REFUSED),
        ((StatusCode.NOT_FOUND, ""), REFUSED),
        ((StatusCode.PERMISSION_DENIED, ""), REFUSED),
        ((StatusCode.FAILED_PRECONDITION, ""), REFUSED),
        ((StatusCode.UNAUTHENTICATED, ""), REFUSED),
        ((StatusCode.UNIMPLEMENTED, ""), REFUSED),
        ((StatusCode.ALREADY_EXISTS, ""), (Refused, Cause.CONFLICT, STAYS)),
    ],
    ids=lambda value: " ".join(str(getattr(part, "name", part))[:20] for part in value[:2]),
)
async def test_each_status_says_what_became_of_the_entry(status: Any, found: tuple[Any, Cause, bool]) -> None:
    """Every status of the contract's table, from a real peer: the outcome, and whether it may go again."""
    async with FieldPeer(answers={"WriteLog": status}) as peer, sink_to(peer.address) as sink:
        (outcome,) = await sink.write([make_entry()], deadline=soon())
    kind, cause, again = found
    assert isinstance(outcome, kind)
    assert outcome.cause is cause
    assert getattr(outcome, "may_go_again", False) is again


class TestRetryInfo:
    """google.rpc.RetryInfo: the time that a log service asks for."""

    @pytest.mark.parametrize(
        ("details", "asked_s"),
        [
            (retry_info(7), 7.0),
            (retry_info(0, 500_000_000), 0.5),
            (retry_info(-5), 0.0),
            (retry_info(10**10), RETRY_INFO_S_MAX),
            (Status(code=8).SerializeToString(), None),
            (GARBAGE, None),
            (b"", None),
        ],
        ids=["7 s", "half a second", "negative", "years", "another detail", "garbage", "empty"],
    )
    @pytest.mark.parametrize(
        ("code", "method"),
        [
            (StatusCode.RESOURCE_EXHAUSTED, "WriteLog"),
            (StatusCode.RESOURCE_EXHAUSTED, "BatchWriteLog"),
            (StatusCode.UNAVAILABLE, "WriteLog"),
        ],
    )
    async def test_it_arrives(
        self, code: StatusCode, method: str, details: bytes, asked_s: float | None
    ) -> None:
        """What a peer asks for is in the outcome; details that cannot be read are passed over."""
        answers: Any = {method: (code, QUEUE_FULL, ((DETAILS, details),))}
        entries = [make_entry()] if method == "WriteLog" else [make_entry(), make_entry()]
        async with FieldPeer(answers=answers) as peer, sink_to(peer.address) as sink:
            outcomes = await sink.write(entries, deadline=soon())
        for outcome in outcomes:
            assert isinstance(outcome, Failed | Unknown)
            assert outcome.retry_after_s == asked_s
            assert outcome.may_go_again

    async def test_our_service_sends_it(self) -> None:
        """A full store of ours asks to come again, which makes RESOURCE_EXHAUSTED a passing thing."""
        store = MemorySink(entries_max=0)
        async with serving(store) as server, sink_to(f"127.0.0.1:{server.port}") as sink:
            (outcome,) = await sink.write([make_entry()], deadline=soon())
        assert isinstance(outcome, Failed)
        assert (outcome.cause, outcome.may_go_again) == (Cause.OVERLOADED, True)
        assert outcome.retry_after_s is not None

    async def test_it_is_waited_for(self) -> None:
        """The chain waits as long as it is asked to: beyond its budget it answers at once, with that time."""
        answers: Any = {"WriteLog": (StatusCode.RESOURCE_EXHAUSTED, "", ((DETAILS, retry_info(40)),))}
        async with FieldPeer(answers=answers) as peer, delivered_to(peer.address) as container:
            outcome = await write(container.delivered, make_entry())
        assert isinstance(outcome, Failed)
        assert outcome.retry_after_s == 40
        assert peer.calls == ["WriteLog"]
