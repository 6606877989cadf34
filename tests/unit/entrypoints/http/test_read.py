"""Query, tail, health and the rest: what is answered, and to whom."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from logbridge.adapters.memory import MemorySink
from logbridge.domain.errors import LogbridgeError, QueryNotSupported, QueryRefused, ReaderUnavailable
from logbridge.domain.ports import SinkHealth
from logbridge.entrypoints.container import Container
from logbridge.entrypoints.http.access import Gate, is_local
from logbridge.entrypoints.http.app import create_app
from logbridge.entrypoints.http.lifecycle import Lifecycle
from logbridge.entrypoints.http.proxies import Proxies
from logbridge.entrypoints.http.sessions import Sessions
from logbridge.entrypoints.http.tail import Tail
from logbridge.entrypoints.rates import Rates
from logbridge.entrypoints.settings import Settings
from tests.unit.entrypoints.http.serving import API, FAST, UnreadableSink, serving


async def test_what_was_written_is_found() -> None:
    """A query finds by filters, metadata and time, also when the + of an offset was not escaped."""
    log = {
        "message": "hello",
        "service_name": "s",
        "level": "ERROR",
        "user": "u",
        "timestamp": "2024-08-30T10:00:00Z",
    }
    async with serving() as client:
        await client.post(f"{API}/write", json=log)
        found = await client.get(
            f"{API}/query?service_name=s&level=error&q=HELL&metadata.user=u&limit=1&offset=0"
            "&start_time=2024-08-30T12:00:00+02:00&end_time="
        )
    assert found.json()["total_count"] == 1
    assert found.json()["logs"][0]["metadata"] == {"user": "u"}


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=", "offset=-1", "offset=x", "level=LOUD", "start_time=today", "nope=1",
     "limit=1&limit=1", "metadata.=1", "q=%ff"],
)  # fmt: skip
async def test_a_wrong_parameter_is_named(query: str) -> None:
    """An unknown, repeated or wrong parameter is 422, and the answer names it."""
    async with serving() as client:
        answer = await client.get(f"{API}/query?{query}")
    assert (answer.status_code, answer.json()["success"]) == (422, False)
    name = query.partition("=")[0]
    assert (name if name != "q" else "query string") in answer.json()["detail"]


@pytest.mark.parametrize("path", ["query", "histogram", "export", "tail"])
@pytest.mark.parametrize(
    ("error", "status"),
    [(QueryNotSupported("n"), 501), (QueryRefused("r"), 502), (ReaderUnavailable("u"), 503)],
)
async def test_an_unanswered_question_has_its_status(path: str, error: LogbridgeError, status: int) -> None:
    """Why a question found no answer shows in the status, before any event is sent."""
    async with serving(UnreadableSink(error)) as client:
        answer = await client.get(f"{API}/{path}")
    assert (answer.status_code, answer.json()["detail"]) == (status, str(error))
    assert ("retry-after" in answer.headers) == (status == 503)


REQUESTS = [
    *(("GET", path, "read") for path in ("query", "histogram", "export", "tail")),
    ("POST", "concurrent-test", "test"),
]


@pytest.mark.parametrize(("method", "path", "opening"), REQUESTS)
async def test_strangers_are_told_what_opens_the_door(method: str, path: str, opening: Any) -> None:
    """A remote peer gets 403 with the setting, and with that setting it gets in (here: as far as a 422)."""
    for settings, status in ((FAST, 403), (msgspec.structs.replace(FAST, open=frozenset([opening])), 422)):
        async with serving(settings=settings, peer="192.0.2.1") as client:
            answer = await client.request(method, f"{API}/{path}?no=1", content=b'{"count":0}')
        assert answer.status_code == status
        assert status != 403 or f"LOGBRIDGE_OPEN={opening}" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("peer", "headers", "local"),
    [
        ("127.0.0.1", {"host": "localhost:8001"}, True),
        ("::1", {"host": "[::1]:8001"}, True),
        ("::ffff:127.0.0.1", {"host": "127.0.0.1"}, True),
        ("127.0.0.1", {"host": "rebound.example"}, False),
        ("127.0.0.1", {}, False),
        ("127.0.0.1", {"host": "localhost", "x-forwarded-for": "127.0.0.1"}, False),
        ("127.0.0.1", {"host": "localhost", "origin": "https://evil.example"}, False),
        ("127.0.0.1", {"host": "localhost", "origin": "null"}, False),
        ("127.0.0.1", {"host": "localhost", "origin": "http://localhost:8001"}, True),
        ("192.0.2.1", {"host": "localhost"}, False),
        (None, {"host": "localhost"}, False),
        ("127.0.0.1", {"host": "localhost:evil.example"}, False),
        ("127.0.0.1", {"host": "[::1].evil.example"}, False),
        ("127.0.0.1", {"host": "127.0.0.1.evil.example"}, False),
        ("127.0.0.1", {"host": ""}, False),
        ("127.0.0.2", {"host": "localhost"}, False),
        ("127.0.0.1", {"host": "localhost", "x-forwarded-by": "a"}, False),
        ("127.0.0.1", {"host": "localhost", "client-ip": "127.0.0.1"}, False),
        ("127.0.0.1", {"host": "localhost", "x-envoy-external-address": "127.0.0.1"}, False),
        ("127.0.0.1", {"host": "localhost", "forwarded": ""}, False),
    ],
)
def test_local_means_peer_host_and_no_proxy(peer: str | None, headers: dict[str, str], local: bool) -> None:
    """Only a loopback peer, no trusted proxy, that asks for a loopback Host and forwards nothing is local."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    proxies = Proxies(["127.0.0.2"])
    assert is_local({"client": (peer, 1) if peer else None, "headers": raw}, proxies) is local


async def test_writing_is_open_to_strangers() -> None:
    """Writes are taken from anywhere."""
    async with serving(peer="192.0.2.1", host="logs.example") as client:
        assert (await client.post(f"{API}/write", json={"message": "a"})).status_code == 200


class Unwell(MemorySink):
    """A sink that cannot be reached."""

    async def check(self) -> SinkHealth:
        return SinkHealth(False, "nothing listens there")


async def test_health_writes_nothing() -> None:
    """Healthy is 200, unhealthy is 503 with the same body; neither stores a log."""
    for sink, status in ((MemorySink(), 200), (Unwell(), 503)):
        async with serving(sink) as client:
            answer = await client.get(f"{API}/health")
        assert (answer.status_code, answer.json()["grpc_connection"]) == (status, status == 200)
        assert sink.entries == []


async def test_probes_and_unknown_paths() -> None:
    """Probes, the root and the document answer; what does not exist is a problem with its reason."""
    async with serving() as client:
        for path in ("/livez", "/readyz", "/", "/openapi.json", "/docs", "/redoc"):
            assert (await client.get(path)).status_code == 200, path
        missing = await client.get(f"{API}/nope")
        wrong = await client.get(f"{API}/write")
    assert (missing.status_code, missing.json()["status"]) == (404, 404)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


async def test_not_ready_before_the_start_and_after_the_stop() -> None:
    """readyz is 503 until the application has started, from the notice of a stop on, and in the drain."""
    lifecycle = Lifecycle()
    assert not lifecycle.ready
    lifecycle.serve()
    assert lifecycle.ready
    lifecycle.notice()
    assert not lifecycle.ready
    await lifecycle.drain(0)
    assert not lifecycle.ready


class Wire:
    """One request to an ASGI application, read message by message; hang up with ``left.set()``."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self.scope: dict[str, Any] = {
            "type": "http", "method": "GET", "path": "/tail", "query_string": b"", "client": ("127.0.0.1", 1),
            "headers": [(b"host", b"localhost"), *headers],
        }  # fmt: skip
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.sent.put(message)

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.sent.get(), 30)


async def test_tail_follows_resumes_and_ends() -> None:
    """The first frame is the place, then come keep-alives and logs; it ends with the server or the client."""
    sink = MemorySink()
    container = Container(FAST, sink)
    app = create_app(container)
    async with app.router.lifespan_context(app):
        lifecycle = Lifecycle()
        gate = Gate(FAST, None, Sessions(b""), Rates())
        tail = Tail(container.bridge, gate, FAST, lifecycle, keep_alive_s=0.01)
        await _write(app, "early")
        wire = Wire((b"last-event-id", b"0"))
        task = asyncio.create_task(tail(wire.scope, wire.receive, wire.send))
        assert (await wire.next())["status"] == 200
        assert (await wire.next())["body"] == b"id: 0\n: following\n\n"
        assert b'"message":"early"' in (await _event(wire))
        assert (await wire.next())["body"] == b": keep-alive\n\n"
        await lifecycle.drain(0)
        await asyncio.wait_for(task, 30)
        gone = Wire()
        task = asyncio.create_task(tail_of(container, Lifecycle())(gone.scope, gone.receive, gone.send))
        await gone.next()
        gone.left.set()
        await asyncio.wait_for(task, 30)


def tail_of(container: Container, lifecycle: Lifecycle) -> Tail:
    return Tail(container.bridge, Gate(FAST, None, Sessions(b""), Rates()), FAST, lifecycle)


async def test_a_client_that_does_not_read_holds_up_no_stop() -> None:
    """The tail ends with the server also while its client takes nothing more."""
    container, lifecycle, wire = Container(FAST, MemorySink()), Lifecycle(), Wire()
    full = asyncio.Event()

    async def send(message: Any) -> None:
        if b"following" in message.get("body", b""):
            full.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(tail_of(container, lifecycle)(wire.scope, wire.receive, send))
    await full.wait()
    await lifecycle.drain(0)
    await asyncio.wait_for(task, 30)


async def test_head_of_a_tail_ends() -> None:
    """HEAD has the headers of a tail and follows nothing, so that the connection goes on."""
    container, wire = Container(FAST, MemorySink()), Wire()
    wire.scope["method"] = "HEAD"
    await asyncio.wait_for(tail_of(container, Lifecycle())(wire.scope, wire.receive, wire.send), 30)
    assert [(await wire.next())["type"] for _ in range(2)] == ["http.response.start", "http.response.body"]


async def _event(wire: Wire) -> bytes:
    while (body := (await wire.next())["body"]) == b": keep-alive\n\n":
        pass
    assert isinstance(body, bytes)
    return body


async def _write(app: Any, message: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        assert (await client.post(f"{API}/write", json={"message": message})).status_code == 200


@pytest.mark.parametrize("value", ["x", "-1", str(2**63), "1" * 30])
async def test_a_wrong_last_event_id_is_refused(value: str) -> None:
    """What is no id of an event is 422."""
    async with serving(settings=Settings()) as client:
        answer = await client.get(f"{API}/tail", headers={"last-event-id": value})
    assert (answer.status_code, "Last-Event-ID" in answer.json()["detail"]) == (422, True)
