"""What each status of an OTLP receiver means for the records, over gRPC and HTTP; and HTTP's own traps."""

import asyncio
import gzip
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from logbridge.adapters.grpc.status import RETRY_INFO_S_MAX
from logbridge.adapters.otlp.http_sink import (
    ANSWER_BYTES_MAX,
    CONNECTIONS_MAX,
    GZIP_BYTES_MIN,
    GZIP_THREAD_BYTES_MIN,
    OtlpHttpSink,
)
from logbridge.adapters.renewed import LOOK_EVERY_S
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.ports import Deadline
from tests.certificates import Authority
from tests.factories import make_entry, soon
from tests.integration.otlp_collector import Answered, GrpcCollector, HttpCollector
from tests.integration.test_otlp_sinks import sink_to


def answers(*arguments: Any) -> Callable[[list[str]], bytes | None]:
    """A script that answers every request with one status."""

    def script(_messages: list[str]) -> bytes | None:
        raise Answered(*arguments)

    return script


async def outcome_of(way: str, *arguments: Any) -> Outcome:
    """What becomes of an entry where the receiver answers so."""
    peer = GrpcCollector(answers(*arguments)) if way == "grpc" else HttpCollector(answers(*arguments))
    async with peer, sink_to(way, peer.port) as sink:
        (outcome,) = await sink.write([make_entry()], deadline=soon())
    return outcome


def retry_info(seconds: float) -> bytes:
    """Details of a gRPC status that ask to come back."""
    info = RetryInfo()
    info.retry_delay.FromTimedelta(timedelta(seconds=seconds))
    status = Status(code=8)
    status.details.add().Pack(info)
    return status.SerializeToString()


@pytest.mark.parametrize(
    ("code", "kind", "cause", "may_go_again"),
    [
        (StatusCode.UNAVAILABLE, Unknown, Cause.NO_ANSWER, True),
        (StatusCode.CANCELLED, Unknown, Cause.NO_ANSWER, True),
        (StatusCode.DEADLINE_EXCEEDED, Unknown, Cause.TIMEOUT, True),
        (StatusCode.ABORTED, Unknown, Cause.NO_ANSWER, True),
        (StatusCode.DATA_LOSS, Unknown, Cause.NO_ANSWER, True),
        (StatusCode.OUT_OF_RANGE, Failed, Cause.OVERLOADED, True),
        (StatusCode.RESOURCE_EXHAUSTED, Failed, Cause.OVERLOADED, False),
        (StatusCode.UNKNOWN, Unknown, Cause.NO_ANSWER, False),
        (StatusCode.INTERNAL, Unknown, Cause.NO_ANSWER, False),
        (StatusCode.INVALID_ARGUMENT, Refused, Cause.PEER_REFUSED, None),
        (StatusCode.UNAUTHENTICATED, Refused, Cause.PEER_REFUSED, None),
        (StatusCode.PERMISSION_DENIED, Refused, Cause.PEER_REFUSED, None),
        (StatusCode.UNIMPLEMENTED, Refused, Cause.PEER_REFUSED, None),
    ],
)
async def test_grpc_statuses(
    code: StatusCode, kind: type[Outcome], cause: Cause, may_go_again: bool | None
) -> None:
    """The statuses that the OTLP specification calls retryable may go again, those and no others."""
    outcome = await outcome_of("grpc", code, "because")
    assert isinstance(outcome, kind)
    assert not isinstance(outcome, Accepted)
    assert outcome.cause is cause
    assert getattr(outcome, "may_go_again", None) is may_go_again


async def test_grpc_asks_to_come_back() -> None:
    """RESOURCE_EXHAUSTED with RetryInfo passes, and says when."""
    outcome = await outcome_of("grpc", StatusCode.RESOURCE_EXHAUSTED, "later", (retry_info(7),))
    assert isinstance(outcome, Failed)
    assert (outcome.may_go_again, outcome.retry_after_s) == (True, 7)


@pytest.mark.parametrize(
    ("status", "kind", "cause", "may_go_again"),
    [
        (301, Refused, Cause.PEER_REFUSED, None),
        (307, Refused, Cause.PEER_REFUSED, None),
        (400, Refused, Cause.PEER_REFUSED, None),
        (401, Refused, Cause.PEER_REFUSED, None),
        (403, Refused, Cause.PEER_REFUSED, None),
        (404, Refused, Cause.PEER_REFUSED, None),
        (405, Refused, Cause.PEER_REFUSED, None),
        (408, Unknown, Cause.NO_ANSWER, False),
        (413, Refused, Cause.TOO_LARGE, None),
        (415, Refused, Cause.PEER_REFUSED, None),
        (422, Refused, Cause.PEER_REFUSED, None),
        (429, Failed, Cause.OVERLOADED, True),
        (500, Unknown, Cause.NO_ANSWER, False),
        (501, Refused, Cause.PEER_REFUSED, None),
        (502, Unknown, Cause.NO_ANSWER, True),
        (503, Unknown, Cause.NO_ANSWER, True),
        (504, Unknown, Cause.NO_ANSWER, True),
        (599, Unknown, Cause.NO_ANSWER, False),
    ],
)
async def test_http_statuses(
    status: int, kind: type[Outcome], cause: Cause, may_go_again: bool | None
) -> None:
    """429, 502, 503 and 504 may go again, those and no others; each reason tells the status and the words."""
    outcome = await outcome_of("http", status, "because", {"location": "http://127.0.0.1:1/elsewhere"})
    assert isinstance(outcome, kind)
    assert not isinstance(outcome, Accepted)
    assert outcome.cause is cause
    assert getattr(outcome, "may_go_again", None) is may_go_again
    assert f"(HTTP {status}: because)" in outcome.reason


@pytest.mark.parametrize(
    ("header", "asked_s"),
    [
        ("7", 7),
        ("0", 0),
        ("9" * 30, RETRY_INFO_S_MAX),
        ("Fri, 31 Dec 2999 23:59:59 GMT", RETRY_INFO_S_MAX),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0),
        (format_datetime(datetime(2999, 1, 1, tzinfo=UTC)), RETRY_INFO_S_MAX),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_http_asks_to_come_back(status: int, header: str, asked_s: float | None) -> None:
    """Retry-After as seconds or as a date is what the pause is at least, within an hour."""
    outcome = await outcome_of("http", status, "", {"retry-after": header})
    assert isinstance(outcome, Failed | Unknown)
    assert outcome.retry_after_s == asked_s


async def test_a_refused_batch_is_halved() -> None:
    """Of a request that is refused as a whole only the record that is the reason is refused."""

    def script(messages: list[str]) -> bytes | None:
        if "bad" in messages:
            raise Answered(400, "bad body")
        return None

    entries = [make_entry(message="bad" if number == 5 else "good") for number in range(8)]
    async with HttpCollector(script) as peer, sink_to("http", peer.port) as sink:
        outcomes = await sink.write(entries, deadline=soon())
    assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Refused)] == [5]
    assert len(peer.messages) == 7


async def test_a_wrong_key_is_asked_for_once() -> None:
    """Where the key is the reason a batch is not halved: its halves would fare no better."""
    async with HttpCollector(answers(401, "no")) as peer, sink_to("http", peer.port) as sink:
        outcomes = await sink.write([make_entry() for _ in range(8)], deadline=soon())
        health = await sink.check()
    assert {type(outcome) for outcome in outcomes} == {Refused}
    assert len(peer.seen) == 2
    assert not health.reachable
    assert "LOGBRIDGE_SINK_KEY" in health.detail


async def test_the_words_of_a_status_message() -> None:
    """A google.rpc.Status, as receivers answer in, is read."""
    body = Status(code=3, message="no such tenant").SerializeToString().decode()
    outcome = await outcome_of("http", 400, body, {"content-type": "application/x-protobuf"})
    assert isinstance(outcome, Refused)
    assert "no such tenant" in outcome.reason


@pytest.mark.parametrize(
    ("content_type", "kind"), [("text/html", Unknown), ("application/x-protobuf", Accepted)]
)
async def test_a_success_that_is_none(
    content_type: str, kind: type[Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of some web server is no answer of a receiver, whatever its status."""
    monkeypatch.setattr(HttpCollector, "content_type", content_type)
    async with HttpCollector(lambda messages: b"\n\x00") as peer, sink_to("http", peer.port) as sink:
        (outcome,) = await sink.write([make_entry()], deadline=soon())
    assert isinstance(outcome, kind)


async def test_an_empty_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """Receivers that answer a success with nothing at all, such as 204, have it."""
    monkeypatch.setattr(HttpCollector, "content_type", "text/plain")
    async with HttpCollector(lambda messages: b"") as peer, sink_to("http", peer.port) as sink:
        (outcome,) = await sink.write([make_entry()], deadline=soon())
    assert isinstance(outcome, Accepted)
    assert isinstance(await outcome_of("http", 204), Accepted)


@pytest.mark.parametrize(("status", "kind"), [(200, Unknown), (400, Refused)])
async def test_an_endless_answer(status: int, kind: type[Outcome]) -> None:
    """Of an answer no more is read than ANSWER_BYTES_MAX."""
    outcome = await outcome_of("http", status, "x" * (ANSWER_BYTES_MAX + 1))
    assert isinstance(outcome, kind)
    assert not isinstance(outcome, Accepted)
    assert len(outcome.reason) < 1000


async def test_a_packed_answer() -> None:
    """An answer that is compressed, which nobody asked for, is not unpacked."""
    packed = gzip.compress(b"\x00" * 1_000_000).decode("latin-1")
    outcome = await outcome_of("http", 200, packed, {"content-encoding": "gzip"})
    assert isinstance(outcome, Unknown)


async def test_no_cookies_and_no_redirects() -> None:
    """What a receiver sets is not kept, and where it sends us we do not go."""
    headers = {"set-cookie": "a=b", "location": "/v1/logs"}
    async with HttpCollector(answers(302, "", headers)) as peer, sink_to("http", peer.port) as sink:
        for _ in range(2):
            await sink.write([make_entry()], deadline=soon())
    assert len(peer.seen) == 2
    assert not any("cookie" in seen for seen in peer.headers)


@pytest.mark.parametrize(
    ("length", "encoding"),
    [(1, None), (GZIP_BYTES_MIN, "gzip"), (GZIP_THREAD_BYTES_MIN, "gzip")],
)
async def test_compression(length: int, encoding: str | None) -> None:
    """Requests are compressed from GZIP_BYTES_MIN on, and say so."""
    async with HttpCollector() as peer, sink_to("http", peer.port) as sink:
        await sink.write([entry := make_entry(message="x" * length)], deadline=soon())
    assert peer.headers[0].get("content-encoding") == encoding
    assert peer.headers[0]["accept-encoding"] == "identity"
    assert peer.entries == [entry]


async def test_connections_are_kept_and_bounded() -> None:
    """In turn they use one connection; at once there are CONNECTIONS_MAX, and a check goes beside them."""
    async with HttpCollector() as peer, sink_to("http", peer.port) as sink:
        for _ in range(3):
            await sink.write([make_entry()], deadline=soon())
        assert peer.connections == 1
        peer.gate.clear()
        writing = [
            asyncio.ensure_future(sink.write([make_entry()], deadline=soon()))
            for _ in range(CONNECTIONS_MAX + 10)
        ]
        async with asyncio.timeout(60):
            while len(peer.seen) < 3 + CONNECTIONS_MAX:  # noqa: ASYNC110 (the other end has no event)
                await asyncio.sleep(0.01)
        checking = asyncio.ensure_future(sink.check())
        async with asyncio.timeout(60):
            while [] not in peer.seen:  # noqa: ASYNC110 (the other end has no event)
                await asyncio.sleep(0.01)
        assert len(peer.seen) == 3 + CONNECTIONS_MAX + 1
        peer.gate.set()
        assert (await checking).reachable
        assert {type(*outcomes) for outcomes in await asyncio.gather(*writing)} == {Accepted}


async def test_no_room_is_known_not_to_be_written() -> None:
    """Who waits for a connection until the deadline has sent nothing."""
    async with HttpCollector() as peer, sink_to("http", peer.port) as sink:
        peer.gate.clear()
        writing = [
            asyncio.ensure_future(sink.write([make_entry()], deadline=soon())) for _ in range(CONNECTIONS_MAX)
        ]
        async with asyncio.timeout(60):
            while len(peer.seen) < CONNECTIONS_MAX:  # noqa: ASYNC110 (the other end has no event)
                await asyncio.sleep(0.01)
        (outcome,) = await sink.write([make_entry()], deadline=soon(0.2))
        peer.gate.set()
        await asyncio.gather(*writing)
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.TIMEOUT


async def test_https(tmp_path: Path) -> None:
    """A receiver with a certificate of the CA is written to; of another CA, or without TLS, it says why."""
    authority = Authority(tmp_path)
    trusting = authority.issue("bridge", ca=authority.ca)
    stranger = authority.issue("stranger", ca=Authority(tmp_path, "other").ca)
    async with HttpCollector(tls=authority.issue("receiver")) as peer, HttpCollector() as plain:
        for port, files, words in (
            (peer.port, trusting, ""),
            (peer.port, stranger, "its certificate is of no CA that is trusted here, see LOGBRIDGE_SINK_CA"),
            (plain.port, trusting, "it speaks no TLS"),
        ):
            sink = OtlpHttpSink(f"https://localhost:{port}/v1/logs", tls=files)
            (outcome,) = await sink.write([make_entry()], deadline=soon())
            await sink.aclose()
            assert isinstance(outcome, Failed if words else Accepted)
            assert words in getattr(outcome, "reason", "")


async def test_new_certificates_hold_for_new_connections(tmp_path: Path) -> None:
    """When the CA's file changes the next request takes a new connection, without a restart."""
    right, wrong = Authority(tmp_path, "right"), Authority(tmp_path, "wrong")
    now_s = [0.0]
    ca = tmp_path / "ca.pem"
    shutil.copy(wrong.ca, ca)
    async with HttpCollector(tls=right.issue("receiver")) as peer:
        sink = OtlpHttpSink(
            f"https://localhost:{peer.port}/v1/logs",
            tls=right.issue("bridge", ca=str(ca)),
            monotonic=lambda: now_s[0],
        )
        (before,) = await sink.write([make_entry()], deadline=Deadline(now_s[0] + 5))
        shutil.copy(right.ca, ca)
        now_s[0] += LOOK_EVERY_S
        (after,) = await sink.write([make_entry()], deadline=Deadline(now_s[0] + 5))
        await sink.aclose()
    assert isinstance(before, Failed)
    assert isinstance(after, Accepted)
