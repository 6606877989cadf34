"""What goes out: addresses, headers, gzip; and the settings that make no sense."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from logbridge.domain.errors import InvalidSetting
from logbridge.http import AsyncClient, Client, Refused
from logbridge.http.base import CONNECTIONS_MAX
from tests.certificates import Authority
from tests.unit.http.scripted import API, URL, Scripted, content_of, problem, written

BOTH = pytest.mark.parametrize("kind", ["sync", "async"])


@pytest.mark.parametrize(
    ("given", "settings", "asked"),
    [
        ("http://b", {}, "http://b/api/v1/logs/write"),
        ("http://b:81/", {}, "http://b:81/api/v1/logs/write"),
        ("https://b/prefix/", {}, "https://b/prefix/api/v1/logs/write"),
        ("http://b/api/v1/logs", {}, "http://b/api/v1/logs/write"),
        ("http://b", {"api_path": "logs/v9/"}, "http://b/logs/v9/write"),
        ("http://[::1]:81", {}, "http://[::1]:81/api/v1/logs/write"),
    ],
)
def test_the_address(given: str, settings: dict[str, Any], asked: str) -> None:
    """The API is below the base, whose own path is kept, and is not named twice."""
    bridge = Scripted("sync", given, **settings)
    bridge.router.post(asked).mock(side_effect=written)
    assert bridge.call("write", "m").success


def test_the_headers() -> None:
    """The key, the time that is waited, the preference; and what a client tells of itself."""
    bridge = Scripted("sync", key="lbk_1_2", timeout_s=2.5, prefer_async=True)
    bridge.router.post(f"{API}/write").mock(side_effect=written)
    bridge.call("write", "m")
    request = bridge.router.calls[0].request
    names = ("authorization", "request-timeout", "prefer", "content-type")
    assert [request.headers[name] for name in names] == [
        "Bearer lbk_1_2",
        "2.500",
        "respond-async",
        "application/json",
    ]
    assert request.headers["user-agent"].startswith("logbridge-python/")
    # The bridge says 504 after its time; that answer is waited for.
    assert request.extensions["timeout"] == {"connect": 2.5, "read": 3.5, "write": 2.5, "pool": 2.5}


@BOTH
def test_large_bodies_are_compressed(kind: str) -> None:
    """From gzip_bytes_min on; the bridge reads the same."""
    bridge = Scripted(kind, gzip_bytes_min=2000)
    bridge.router.post(f"{API}/write").mock(side_effect=written)
    bridge.call("write", "small")
    bridge.call("write", "x" * 2000)
    small, large = (call.request for call in bridge.router.calls)
    assert "content-encoding" not in small.headers
    assert large.headers["content-encoding"] == "gzip"
    assert len(large.content) < 300
    assert bridge.bodies()[1]["message"] == "x" * 2000


@BOTH
def test_without_gzip(kind: str) -> None:
    """gzip_bytes_min=None never compresses."""
    bridge = Scripted(kind, gzip_bytes_min=None)
    bridge.router.post(f"{API}/write").mock(side_effect=written)
    bridge.call("write", "x" * 20_000)
    assert "content-encoding" not in bridge.router.calls[0].request.headers


@BOTH
def test_a_bridge_that_takes_no_gzip(kind: str) -> None:
    """415 for it: the same goes plain at once, and so does all that follows."""
    bridge = Scripted(kind)

    def answer(request: httpx.Request) -> httpx.Response:
        return problem(415) if "content-encoding" in request.headers else written(request)

    bridge.router.post(f"{API}/write").mock(side_effect=answer)
    bridge.call("write", "x" * 2000)
    bridge.call("write", "y" * 2000)
    requests = [call.request for call in bridge.router.calls]
    assert ["content-encoding" in request.headers for request in requests] == [True, False, False]
    assert content_of(requests[0]) == content_of(requests[1])
    assert bridge.pauses == []


@BOTH
def test_a_415_of_something_else(kind: str) -> None:
    """Plain bytes that are not supported are refused."""
    bridge = Scripted(kind)
    bridge.router.post(f"{API}/write").mock(return_value=problem(415))
    with pytest.raises(Refused):
        bridge.call("write", "x" * 2000)
    assert len(bridge.router.calls) == 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"base_url": "bridge:8001"}, "base_url=bridge:8001: expected http"),
        ({"base_url": "grpc://b"}, "expected http"),
        ({"base_url": "http://"}, "expected http"),
        ({"base_url": "http://b:99999"}, "expected http"),
        ({"base_url": "http://user:secret@b"}, r"base_url=\(hidden\): expected no user"),
        ({"base_url": "http://b?x=1"}, "expected no user, query"),
        ({"key": "a b"}, r"key=\(hidden\): expected a key"),
        ({"key": "a\nb"}, "key="),
        ({"key": ""}, "key="),
        ({"timeout_s": 0}, "timeout_s=0: 0.001 to 3600"),
        ({"timeout_s": 3601}, "timeout_s="),
        ({"timeout_s": float("nan")}, "timeout_s=nan"),
        ({"retry_s": -1}, "retry_s=-1: expected 0 or more"),
        ({"connections_max": 0}, "connections_max=0"),
        ({"batch_entries_max": 0}, "batch_entries_max=0"),
        ({"batch_bytes_max": 0}, "batch_bytes_max=0"),
        ({"queue_entries_max": 0}, "queue_entries_max=0: expected 1 or more"),
        ({"queue_bytes_max": 0}, "queue_bytes_max=0"),
        ({"linger_ms": -1}, "linger_ms=-1"),
        ({"exit_timeout_s": float("nan")}, "exit_timeout_s=nan"),
        ({"base_url": None}, "base_url=None: expected http://host:port"),
        ({"base_url": 8001}, "base_url=8001: expected http://host:port"),
        ({"retry_s": "5"}, "retry_s=5: expected 0 or more"),
        ({"ca_file": "/nowhere.pem"}, "ca_file=/nowhere.pem: cannot be used"),
        ({"cert": "/nowhere.pem"}, "cert=/nowhere.pem: cannot be used"),
        ({"verify": ssl.create_default_context(), "ca_file": "x"}, "verify=an SSLContext"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], told: str) -> None:
    """The error names the setting, its value unless that is a secret, and what is allowed."""
    with pytest.raises(InvalidSetting, match=told) as raised:
        Client(**{"base_url": URL, **settings})
    assert "secret" not in str(raised.value)


def test_certificates(tmp_path: Path) -> None:
    """A CA and a certificate with its key, in one file or in two, are taken."""
    authority = Authority(tmp_path)
    files = authority.issue("client")
    both = tmp_path / "both.pem"
    both.write_text(Path(files.chain).read_text() + Path(files.key).read_text())
    for cert in (str(both), (files.chain, files.key)):
        assert Client(URL, ca_file=authority.ca, cert=cert).close()


async def test_connections_are_bounded() -> None:
    """However many tasks write at once, the requests under way are few; the others wait."""
    under_way = most = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return written(request)

    client = AsyncClient(URL, transport=httpx.MockTransport(answer))
    await asyncio.gather(*(client.write("m") for _ in range(200)))
    assert most == CONNECTIONS_MAX == 20
    assert await client.aclose()
