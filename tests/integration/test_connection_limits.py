"""What a connection may send, how much and how slowly, over TCP with an application of one line."""

import asyncio
import json

import pytest

from logbridge.entrypoints.http.connection import StoppableHttp
from tests.integration.one_line import App, connection_to, listening
from tests.integration.served import Closed, Connection, Reply, connected, until

BODY = b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n"
CHUNKED = b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


async def refused(connection: Connection) -> Reply:
    """The answer, which is a problem and the last one, and then the end of the connection."""
    answer = await connection.read()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.last, answer.body["status"]) == (True, answer.status)
    assert await connection.ended()
    return answer


def only(app: App) -> StoppableHttp:
    """The one connection of the application."""
    (each,) = app.connections.connections
    assert isinstance(each, StoppableHttp)
    return each


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nName: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"Name: value\r\n" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nName: " + b"a" * 200_000,
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"Name: value\r\n" * 10_000,
    ],
    ids=["target", "value", "headers", "endless value", "endless headers"],
)
@pytest.mark.parametrize("piece_bytes", [1_000_000, 1000])
async def test_a_head_that_is_too_large(head: bytes, piece_bytes: int) -> None:
    """It gets 431 that names the limit, whether it comes at once or in pieces, and whether it ends or not."""
    app = App()
    async with connection_to(app) as connection:
        for place in range(0, len(head), piece_bytes):
            connection.write(head[place : place + piece_bytes])
            await asyncio.sleep(0)  # other tasks, such as the one that reads, have their turn
        answer = await refused(connection)
    assert answer.status == 431
    assert "LOGBRIDGE_HEAD_BYTES_MAX=65536" in answer.body["detail"]
    assert app.paths == []


async def test_a_head_that_is_as_large_as_allowed() -> None:
    """It is served, together with a large body before it in the same bytes."""
    async with connection_to(App()) as connection:
        body = BODY % 100_000 + b"\r\n" + b"x" * 100_000
        connection.write(body + b"GET /next HTTP/1.1\r\nHost: a\r\nName: " + b"a" * 60_000 + b"\r\n\r\n")
        assert (await connection.read()).body == 100_000
        assert (await connection.read()).body == "/next"


async def test_a_connection_that_says_nothing_ends() -> None:
    """Without a byte, or with blank lines only, it ends without an answer."""
    for said in (b"", b"\r\n\r\n"):
        async with connection_to(App(head_timeout_s=0.05)) as connection:
            connection.write(said)
            assert await connection.ended()


async def test_a_head_that_does_not_come_to_its_end() -> None:
    """It gets 408 that names the limit; on a connection that was used before, too."""
    async with connection_to(App(head_timeout_s=1)) as connection:
        assert (await connection.ask("GET", "/first")).body == "/first"
        connection.write(b"GET / HTTP/1.1\r\nHost:")
        answer = await refused(connection)
    assert answer.status == 408
    assert "LOGBRIDGE_HEAD_TIMEOUT_S=1" in answer.body["detail"]


@pytest.mark.parametrize("begin", [BODY % 10_000 + b"\r\nhalf", CHUNKED + b"4\r\nhalf\r\n", CHUNKED + b"4\r"])
async def test_a_body_that_does_not_come_to_its_end(begin: bytes) -> None:
    """It gets 408 that names the limit, with its length or chunked."""
    async with connection_to(App(body_timeout_s=0.05)) as connection:
        connection.write(begin)
        answer = await refused(connection)
    assert answer.status == 408
    assert "LOGBRIDGE_BODY_TIMEOUT_S=0.05" in answer.body["detail"]


async def test_a_request_that_waits_is_not_late() -> None:
    """While the answer before it is under way, and its body not read, its clock stands still."""
    app = App(body_timeout_s=3600)
    async with connection_to(app) as connection:
        connection.send("GET", "/slow")
        await asyncio.wait_for(app.entered.wait(), 60)
        connection.write(BODY % 8 + b"\r\nhalf")
        await until(lambda: only(app).flow.read_paused)
        until_s = only(app)._until_s()
        await until(lambda: (only(app)._until_s() or 0) > (until_s or 0))
        connection.write(b"half")
        app.gate.set()
        assert (await connection.read()).body == "/slow"
        assert (await connection.read()).body == 8


async def test_a_late_head_waits_for_the_answer_before_it() -> None:
    """The answer that is under way goes out as a whole, and is the last one."""
    app = App(head_timeout_s=1)
    async with connection_to(app) as connection:
        connection.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /never")
        await asyncio.wait_for(app.entered.wait(), 60)
        await until(lambda: only(app)._deaf)
        app.gate.set()
        answer = await connection.read()
        assert (answer.body, answer.last) == ("/slow", True)
        assert await connection.ended()
    assert app.paths == ["/slow"]


@pytest.mark.parametrize("bad", [b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"])
async def test_what_is_no_http_waits_for_the_answer_before_it(bad: bytes) -> None:
    """What comes behind a request does not break into its answer."""
    app = App()
    async with connection_to(app) as connection:
        connection.send("GET", "/slow")
        await asyncio.wait_for(app.entered.wait(), 60)
        connection.write(bad)
        await until(lambda: only(app)._deaf)
        app.gate.set()
        assert (await connection.read()).last
        assert await connection.ended()


async def test_a_body_that_is_no_http() -> None:
    """A chunk without a size is 400, and the connection ends."""
    async with connection_to(App()) as connection:
        connection.write(CHUNKED + b"nothing\r\n")
        assert (await refused(connection)).status == 400


@pytest.mark.parametrize(
    "begin",
    [
        BODY % 30_000_000 + b"\r\n",
        CHUNKED + b"%x\r\n" % 30_000_000,
    ],
    ids=["declared", "found"],
)
async def test_a_body_that_is_too_large_is_answered(begin: bytes) -> None:
    """A client that sends all of it before it reads still sees 413, and no reset."""
    app = App(body_bytes_max=1_000_000)
    async with connection_to(app) as connection:
        connection.write(begin)
        for _ in range(300):
            connection.write(b"x" * 100_000)
        await connection.drain()
        answer = await refused(connection)
    assert answer.status == 413
    assert "LOGBRIDGE_BODY_BYTES_MAX=1000000" in answer.body["detail"]


async def test_a_body_that_waits_to_be_asked_for() -> None:
    """Too large, it gets 413 and is not asked for; else it is asked for, and its time begins then."""
    app = App(body_bytes_max=1024, body_timeout_s=3600)
    async with connection_to(app) as connection:
        connection.write(BODY % 1025 + b"Expect: 100-continue\r\n\r\n")
        assert (await refused(connection)).status == 413
    async with connection_to(app) as connection:
        connection.write(BODY % 4 + b"Expect: 100-continue\r\n\r\n")
        assert await connection.read_exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.write(b"body")
        assert (await connection.read()).body == 4


async def test_an_answer_without_the_body_it_could_have_asked_for() -> None:
    """Nobody knows whether it comes: the connection ends, instead of taking the next request for it."""
    async with connection_to(App()) as connection:
        connection.write(
            b"POST /path HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        answer = await connection.read()
        assert (answer.body, answer.last) == ("/path", True)


async def test_a_body_that_nobody_reads() -> None:
    """What was answered before its body came is thrown away, but no more of it than a body may have."""
    async with connection_to(App(body_bytes_max=100_000)) as connection:
        connection.write(b"POST /path HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n")
        assert (await connection.read()).body == "/path"
        connection.write(b"x" * 50_000)
        assert (await connection.ask("GET", "/next")).body == "/next"
        connection.write(b"POST /path HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await connection.read()).body == "/path"
        connection.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        for _ in range(100):
            connection.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        assert await connection.ended()


async def test_a_trailer_is_no_header() -> None:
    """It changes nothing about a request that is under way."""
    app = App()
    async with connection_to(app) as connection:
        connection.write(CHUNKED + b"4\r\nbody\r\n0\r\nX-Api-Key: mine\r\n\r\n")
        assert (await connection.read()).body == 4
    assert [name for name, _ in app.scope["headers"]] == [b"host", b"transfer-encoding"]


@pytest.mark.parametrize("endless", [b"0\r\nName: ", b"4;name="], ids=["trailer", "chunk extension"])
async def test_a_body_without_content_does_not_grow(endless: bytes) -> None:
    """What is no content of a body may be as large as a head."""
    async with connection_to(App()) as connection:
        connection.write(CHUNKED + endless)
        for _ in range(200):
            connection.write(b"x" * 1000)
            await asyncio.sleep(0)  # other tasks, such as the one that reads, have their turn
        assert (await refused(connection)).status in (400, 431)


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n"


@pytest.mark.parametrize("piece_bytes", [1_000_000, 7, 1])
@pytest.mark.parametrize("framing", [b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_a_wish_for_another_protocol_is_passed_over(framing: bytes, piece_bytes: int) -> None:
    """Java's client and `curl --http2` ask for HTTP/2 with each body: it is read, and so is what follows."""
    body = b"body" if framing.startswith(b"Content") else b"4\r\nbody\r\n0\r\n\r\n"
    post = b"POST /body HTTP/1.1\r\nHost: a\r\n" + UPGRADE + framing + b"\r\n" + body
    get = b"GET /path HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"\r\n"
    data = (post + get) * 3
    async with connection_to(App()) as connection:
        for place in range(0, len(data), piece_bytes):
            connection.write(data[place : place + piece_bytes])
            await asyncio.sleep(0)  # other tasks, such as the one that reads, have their turn
        for _ in range(3):
            assert (await connection.read()).body == 4
            assert (await connection.read()).body == "/path"


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: a\r\n", b"Host: a\r\nhost: b\r\n"])
async def test_a_request_has_one_host(hosts: bytes) -> None:
    """None or several: 400. Who stands before the bridge may have taken another one of them."""
    app = App()
    async with connection_to(app) as connection:
        connection.write(b"GET /path HTTP/1.1\r\n" + hosts + b"\r\n")
        assert (await refused(connection)).status == 400
    assert app.paths == []


async def test_http_1_0_is_asked_for_no_body_and_gets_no_chunks() -> None:
    """It knows neither 100 Continue nor chunks: an answer of unknown length ends with the connection."""
    async with connection_to(App()) as connection:
        connection.write(b"POST /body HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody")
        assert (await connection.rest()).endswith(b"\r\n\r\n4")
    async with connection_to(App()) as connection:
        connection.write(b"GET /pieces HTTP/1.0\r\n\r\n")
        head, _, body = (await connection.rest()).partition(b"\r\n\r\n")
    assert (body, b"transfer-encoding" in head.lower()) == (b"one two", False)


async def test_who_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that reads nothing of its answer for a while holds no connection that is to end."""
    monkeypatch.setattr("logbridge.entrypoints.http.parting.LINGER_S", 0.1)
    app = App()
    async with listening(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # asyncio has no public way
        writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await asyncio.wait_for(app.entered.wait(), 60)
        await until(lambda: not app.connections.connections)
        writer.close()


async def test_too_many_connections() -> None:
    """One more than allowed gets 503 with Retry-After; when another has ended, there is room."""
    app = App(connections_max=1)
    async with listening(app) as port:
        async with connected(port) as first:
            assert (await first.ask("GET", "/first")).body == "/first"
            async with connected(port) as second:
                answer = await refused(second)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert "LOGBRIDGE_CONNECTIONS_MAX=1" in answer.body["detail"]
            assert (await first.ask("GET", "/again")).body == "/again"
        await until(lambda: not app.connections.connections)
        async with connected(port) as third:
            assert (await third.ask("GET", "/third")).body == "/third"
        await until(lambda: not app.connections.connections)


async def test_a_client_that_closes_at_once() -> None:
    """Its connection is forgotten, whatever it had begun."""
    app = App()
    async with listening(app) as port:
        for begun in (b"", b"GET", CHUNKED, CHUNKED + b"4\r\nhalf"):
            async with connected(port) as connection:
                connection.write(begun)
            await until(lambda: not app.connections.connections)


async def test_a_trusted_proxy_is_believed() -> None:
    """Client, scheme and host are those that it tells; from anybody else these headers change nothing."""
    asked = b"GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=192.0.2.1;proto=https;host=logs.example\r\n\r\n"
    for trusted, expected in (
        (frozenset({"127.0.0.0/8"}), ("192.0.2.1", "https", b"logs.example")),
        (frozenset({"10.0.0.0/8"}), ("127.0.0.1", "http", b"a")),
        (frozenset[str](), ("127.0.0.1", "http", b"a")),
    ):
        app = App(trusted_proxies=trusted)
        async with connection_to(app) as connection:
            connection.write(asked)
            assert (await connection.read()).status == 200
        hosts = [value for name, value in app.scope["headers"] if name == b"host"]
        assert (app.scope["client"][0], app.scope["scheme"], *hosts) == expected


async def test_a_problem_is_json() -> None:
    """Also one that is written before there is a request has a type, a title and a detail."""
    async with connection_to(App()) as connection:
        connection.write(b"NONSENSE / HTTP/1.1\r\n\r\n")
        body = (await connection.rest()).partition(b"\r\n\r\n")[2]
    assert json.loads(body)["title"] == "Bad Request"


async def test_nothing_follows_a_refusal() -> None:
    """What was sent behind it is not begun."""
    app = App()
    async with connection_to(app) as connection:
        connection.write(b"NONSENSE\r\n\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await refused(connection)).status == 400
        with pytest.raises(Closed):
            await connection.read()
    assert app.paths == []
