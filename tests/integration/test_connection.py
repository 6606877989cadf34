"""A connection in the phases of a stop, over TCP, with an application of one line."""

import asyncio

import pytest

from logbridge.entrypoints.http.connection import StoppableHttp
from tests.integration.one_line import App, connection_to
from tests.integration.served import Closed


async def test_a_request_in_the_drain_is_refused() -> None:
    """It gets 503 as a problem, its body read, and the connection ends."""
    app = App()
    async with connection_to(app) as connection:
        assert (await connection.ask("GET", "/first")).body == "/first"
        app.state.lifecycle.drain(1)
        answer = await connection.ask("POST", "/late", {"message": "a" * 1_000_000})
        assert (answer.status, answer.last, answer.body["status"]) == (503, True, 503)
        assert answer.headers["retry-after"]
        assert await connection.ended()
    assert app.paths == ["/first"]


async def test_a_connection_of_the_drain_is_refused_or_ends() -> None:
    """Who connected last gets 503 too; who then says nothing is not waited for."""
    app = App()
    app.state.lifecycle.drain(1)
    async with connection_to(app) as connection:
        assert (await connection.ask("GET", "/late")).status == 503
    async with connection_to(app) as connection:
        assert await connection.ended()


async def test_a_body_that_waits_to_be_asked_for_is_not_read() -> None:
    """Expect: 100-continue is answered with 503 at once."""
    app = App()
    app.state.lifecycle.drain(1)
    async with connection_to(app) as connection:
        connection.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        assert (await connection.read()).status == 503


@pytest.mark.parametrize("drains", [False, True])
async def test_what_waits_behind_the_last_answer_is_not_begun(drains: bool) -> None:
    """Of requests sent at once the running one is answered; the end is no reset, however much is unread."""
    app = App()
    async with connection_to(app) as connection:
        connection.send("GET", "/slow")
        await app.entered.wait()
        for _ in range(3):
            connection.send("POST", "/behind", {"message": "a" * 1_000_000})
        app.state.lifecycle.notice()
        for each in app.connections.connections:
            assert isinstance(each, StoppableHttp)
            each.leave()
            if drains:
                each.shutdown()
        app.gate.set()
        answer = await connection.read()
        assert (answer.body, answer.last) == ("/slow", True)
        with pytest.raises(Closed):
            await connection.read()
    assert app.paths == ["/slow"]


async def test_an_answer_that_began_breaks_off() -> None:
    """What is cut off in the middle of its answer never looks complete."""
    app = App()
    async with connection_to(app) as connection:
        connection.send("GET", "/half")
        await app.entered.wait()
        for task in app.connections.tasks:
            task.cancel()
        with pytest.raises(asyncio.IncompleteReadError):
            await connection.read()


@pytest.mark.parametrize("head", ["GET {} HTTP/1.1", "GET {} HTTP/1.0", "HEAD {} HTTP/1.1"])
async def test_a_whole_answer_is_the_same_answer(head: str) -> None:
    """Sent with one write or as ASGI's two messages, the bytes are the same: HEAD and HTTP/1.0, too."""
    answers = []
    for path in ("/path", "/path?whole"):
        async with connection_to(App()) as connection:
            connection.write(
                f"{head.format(path)}\r\nHost: a\r\nX-Request-ID: a\r\nConnection: close\r\n\r\n".encode()
            )
            answers.append(await connection.rest())
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.1 200 OK\r\n")


async def test_whole_answers_to_requests_sent_at_once_keep_their_order() -> None:
    """Pipelined requests are answered one after the other, whichever way the answers go."""
    async with connection_to(App()) as connection:
        paths = ["/a?whole", "/b", "/c?whole", "/d?whole", "/e"]
        connection.write(b"".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in paths))
        assert [(await connection.read()).body for _ in paths] == ["/a", "/b", "/c", "/d", "/e"]


@pytest.mark.parametrize("chunks", [1, 2, 50])
async def test_a_body_is_read_to_its_end(chunks: int) -> None:
    """However it comes in, small or larger than what is read at once, chunked or with its length."""
    async with connection_to(App()) as connection:
        for size in (0, 10, 500_000):
            body = b"x" * size
            connection.write(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
            for part in range(chunks):
                connection.write(body[size * part // chunks : size * (part + 1) // chunks])
                await asyncio.sleep(0)  # other tasks, such as the one that reads, have their turn
            assert (await connection.read()).body == size
        connection.write(b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.write(b"5\r\nhello\r\n" * chunks + b"0\r\n\r\n")
        assert (await connection.read()).body == 5 * chunks


async def test_an_application_that_fails_is_answered() -> None:
    """It gets 500, and the connection ends."""
    async with connection_to(App()) as connection:
        connection.send("GET", "/broken")
        assert (await connection.rest()).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")


async def test_an_idle_connection_ends() -> None:
    """After its time without a request it ends; not while a request is under way, however long that takes."""
    app = App(idle_timeout_s=0.001)
    async with connection_to(app) as connection:
        connection.send("GET", "/slow")
        await app.entered.wait()
        (each,) = app.connections.connections
        assert isinstance(each, StoppableHttp)
        each.timeout_keep_alive_handler()
        app.gate.set()
        assert (await connection.read()).body == "/slow"
        assert await connection.ended()


async def test_a_connection_in_use_does_not_end() -> None:
    """The timer of the first answer ends after the second one: it comes again for the time that is left."""
    app = App()
    async with connection_to(app) as connection:
        for path in ("/first", "/second"):
            assert (await connection.ask("GET", path)).body == path
        (each,) = app.connections.connections
        assert isinstance(each, StoppableHttp)
        each.timeout_keep_alive_handler()
        assert (await connection.ask("GET", "/third")).body == "/third"
