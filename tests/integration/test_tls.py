"""REST over TLS, in processes: certificates, clients with and without one, renewal, and stops."""

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from logbridge.adapters.certificates import PemFiles
from tests.certificates import Authority, replace
from tests.integration.field_peer import FieldPeer
from tests.integration.processes import DEADLINE_S, end, start
from tests.integration.served import API, Closed, Connection, Served, connected, running, until
from tests.integration.workers import gone, workers_of

WRITE = f"{API}/write"
LOG = {"message": "a", "service_name": "s"}
LONG_S = 3600.0
LARGE_PAGE = 15  # logs of 200,000 bytes each, where a page stops at 3 MiB


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def serving(files: PemFiles) -> dict[str, Any]:
    """The settings that serve with these files."""
    return {"tls_cert": files.chain, "tls_key": files.key, "tls_client_ca": files.ca}


def own_of(connection: Connection) -> bytes:
    return connection.tls.getpeercert(binary_form=True) or b""


async def shown_now(served: Served, client: ssl.SSLContext) -> bytes:
    """What a new connection is shown."""
    async with connected(served.port, client) as fresh:
        assert (await fresh.ask("GET", "/livez")).status == 200
        return own_of(fresh)


async def until_shown(served: Served, client: ssl.SSLContext, is_right: Callable[[bytes], bool]) -> None:
    """Returns once a new connection is shown the right certificate."""
    async with asyncio.timeout(DEADLINE_S):
        while not is_right(await shown_now(served, client)):
            pass


async def test_rest_over_tls(tmp_path: Path, authority: Authority) -> None:
    """The bridge says https, speaks TLS 1.3 and HTTP/1.1, and several requests share a connection."""
    async with running(tmp_path, **serving(authority.issue("own"))) as served:
        assert served.url.startswith("https://")
        async with connected(served.port, authority.trusted()) as connection:
            assert (await connection.ask("POST", WRITE, LOG)).status == 200
            assert (await connection.ask("GET", f"{API}/query")).body["total_count"] == 1
            assert connection.tls.version() == "TLSv1.3"


async def test_clients_with_a_certificate_only(tmp_path: Path, authority: Authority) -> None:
    """With a CA for clients: served with a certificate of it, not served without, nor with another's."""
    stranger = Authority(tmp_path, "other").issue("stranger", "shop")
    files = authority.issue("own", ca=authority.ca)
    async with running(tmp_path, **serving(files)) as served:
        assert await shown_now(served, authority.trusted(authority.issue("client", "shop")))
        for shown in (None, stranger):
            with pytest.raises((ssl.SSLError, ConnectionError, Closed)):
                await shown_now(served, authority.trusted(shown))


async def test_plain_http_at_the_tls_port(tmp_path: Path, authority: Authority) -> None:
    """Whoever speaks no TLS gets no answer: the connection ends."""
    files = authority.issue("own")
    async with running(tmp_path, **serving(files)) as served, connected(served.port) as plain:
        plain.send("GET", "/livez")
        assert await plain.ended()


async def test_a_handshake_that_does_not_get_on(tmp_path: Path, authority: Authority) -> None:
    """Who connects and says nothing is cut off after LOGBRIDGE_HEAD_TIMEOUT_S."""
    settings = serving(authority.issue("own"))
    async with running(tmp_path, head_timeout_s=0.1, **settings) as served, connected(served.port) as silent:
        assert await silent.ended()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_new_certificate(tmp_path: Path, authority: Authority, workers: int) -> None:
    """A replaced certificate is shown to new connections, by every worker; open ones go on."""
    client = authority.trusted()
    async with running(tmp_path, workers, **serving(authority.issue("own"))) as served:
        async with connected(served.port, client) as kept:
            assert (await kept.ask("GET", "/livez")).status == 200
            old = own_of(kept)
            authority.issue("own")
            seen_new = 0

            def is_new(shown: bytes) -> bool:
                nonlocal seen_new
                seen_new = 0 if shown == old else seen_new + 1
                return seen_new == 20  # of whichever worker

            await until_shown(served, client, is_new)
            assert (await kept.ask("POST", WRITE, LOG)).status == 200
        workers_before = workers_of(served.process.pid)
        served.process.send_signal(signal.SIGTERM)
        assert await served.ended() == 0
        assert gone(workers_before)


async def test_a_broken_certificate(tmp_path: Path, authority: Authority) -> None:
    """Files that do not fit leave the old certificate in use; the good ones after them are taken."""
    files, client = authority.issue("own"), authority.trusted()
    async with running(tmp_path, **serving(files)) as served:
        old = await shown_now(served, client)
        shutil.copyfile(authority.issue("other").key, files.key)
        assert await shown_now(served, client) == old
        authority.issue("own")
        await until_shown(served, client, lambda shown: shown != old)


async def test_a_worker_that_dies_while_the_files_are_broken(tmp_path: Path, authority: Authority) -> None:
    """The other worker serves on with what it has; with good files there is a second one again."""
    files, client = authority.issue("own"), authority.trusted()
    async with running(tmp_path, 2, **serving(files)) as served:
        await until(lambda: len(workers_of(served.process.pid)) == 2)
        first, second = workers_of(served.process.pid)
        os.kill(first, signal.SIGSTOP)
        old = await shown_now(served, client)  # by the second one, which has begun then
        replace(files.key, b"broken")
        os.kill(first, signal.SIGKILL)
        replacements = set()

        def failed_twice() -> bool:
            replacements.update({*workers_of(served.process.pid)} - {first, second})
            return len(replacements) > 1

        await until(failed_twice)
        assert await shown_now(served, client) == old
        authority.issue("own")
        os.kill(second, signal.SIGKILL)
        await until_shown(served, client, lambda shown: shown != old)
        served.process.send_signal(signal.SIGTERM)
        assert await served.ended() == 0


async def test_the_drain_answers_what_is_under_way(tmp_path: Path, authority: Authority) -> None:
    """On a stop a write under way is answered and its connection ends properly, as do idle ones."""
    client = authority.trusted()
    patient = {"request_timeout_s": LONG_S, "attempt_timeout_s": LONG_S, "retry_budget_s": LONG_S}
    async with FieldPeer() as peer:
        settings = {"sink": f"grpc://{peer.address}", "drain_s": LONG_S, **patient}
        async with running(tmp_path, **settings, **serving(authority.issue("own"))) as served:
            async with connected(served.port, client) as busy, connected(served.port, client) as idle:
                assert (await idle.ask("GET", "/livez")).status == 200
                peer.gate.clear()
                busy.send("POST", WRITE, LOG)
                await until(lambda: bool(peer.calls))
                served.process.send_signal(signal.SIGTERM)
                assert await idle.ended()
                peer.gate.set()
                answer = await busy.read()
                assert (answer.status, answer.last, await busy.ended()) == (200, True, True)
            assert await served.ended() == 0


def secured(served: Served, client: ssl.SSLContext) -> ssl.SSLSocket:
    """A client that does nothing by itself: what it does not read stays unread."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect(("127.0.0.1", served.port))
    return client.wrap_socket(plain, server_hostname="localhost")


async def test_a_client_without_a_goodbye(tmp_path: Path, authority: Authority) -> None:
    """Neither an idle client that does not read, nor one that never began to speak, holds up a stop."""
    async with running(tmp_path, drain_s=LONG_S, **serving(authority.issue("own"))) as served:
        with (
            socket.create_connection(("127.0.0.1", served.port)),
            await asyncio.to_thread(secured, served, authority.trusted()) as idle,
        ):
            idle.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await asyncio.to_thread(idle.recv, 12) == b"HTTP/1.1 200"
            served.process.send_signal(signal.SIGTERM)
            assert await served.ended() == 0


async def test_a_stop_waits_for_a_slow_reader(tmp_path: Path, authority: Authority) -> None:
    """A large answer arrives as a whole, also when the client reads it after others were hung up on."""
    client = authority.trusted()
    async with running(tmp_path, drain_s=LONG_S, **serving(authority.issue("own"))) as served:
        async with connected(served.port, client) as writing:
            large = {"log_entries": [{"message": "x" * 200_000}] * 100}
            assert (await writing.ask("POST", f"{API}/batch", large)).body["success_count"] == 100
        slow = await asyncio.to_thread(secured, served, client)
        idle = await asyncio.to_thread(secured, served, client)
        with slow, socket.socket(fileno=idle.detach()) as idle_beneath:
            slow.sendall(f"GET {API}/query HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await asyncio.to_thread(slow.recv, 1000)
            served.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(_rest_of, idle_beneath)
            answer = head + await asyncio.to_thread(_rest_of, slow)
        assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["logs"]) == LARGE_PAGE
        assert await served.ended() == 0


def _rest_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize(
    ("command", "variables", "line"),
    [
        ("serve", {"TLS_CERT": "own.crt", "TLS_KEY": "other.key"}, "TLS_KEY=other.key: is not the key of"),
        ("serve --workers 2", {"TLS_CERT": "none", "TLS_KEY": "own.key"}, "TLS_CERT=none: there is no such"),
        ("serve", {"SINK": "grpcs://localhost:1", "SINK_CA": "none"}, "SINK_CA=none: there is no such file"),
        ("serve", {"TLS_CERT": "own.crt"}, "TLS_CERT=own.crt: needs LOGBRIDGE_TLS_KEY beside it"),
        (
            "service",
            {"SERVICE_TLS_CERT": "own.crt", "SERVICE_TLS_KEY": "own.crt"},
            "SERVICE_TLS_KEY=own.crt: holds no private key",
        ),
        ("query", {"URL": "https://localhost:1", "URL_CA": "none"}, "URL_CA=none: there is no such file"),
    ],
)
def test_wrong_files_stop_the_start(
    tmp_path: Path, authority: Authority, command: str, variables: dict[str, str], line: str
) -> None:
    """The exit code is 2, and one line says which variable, which file and what is wrong."""
    authority.issue("own")
    authority.issue("other")
    named = {f"LOGBRIDGE_{name}": value for name, value in variables.items()}
    process = start(tmp_path, *command.split(), PORT="0", GRPC_SERVER_PORT="0", **named)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith(f"logbridge: LOGBRIDGE_{line}")
    assert end(process)[0] == 2
