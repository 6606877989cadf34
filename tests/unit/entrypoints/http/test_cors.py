from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from logbridge.entrypoints.http.cors import HEADERS
from logbridge.entrypoints.settings import Settings
from tests.unit.entrypoints.http.serving import API, FAST, BrokenSink, serving

APP = "https://app.example"
LISTED = replace(FAST, cors_origins=frozenset((APP, "http://localhost:3000")))
REQUESTS: list[tuple[str, str, Any]] = [
    ("POST", f"{API}/write", {"message": "m"}),
    ("POST", f"{API}/write", {}),
    ("POST", f"{API}/batch", {"log_entries": [{"message": "m"}]}),
    ("POST", f"{API}/concurrent-test", {"count": 1}),
    ("GET", f"{API}/query", None),
    ("GET", "/livez", None),
    ("GET", "/nothing", None),
]


async def ask(settings: Settings, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    """The answer to a request with these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with serving(settings=settings) as client:
        return await client.request(method, path, json=body, headers=named)


async def preflight(settings: Settings, origin: str, path: str = f"{API}/write") -> httpx.Response:
    return await ask(
        settings, "OPTIONS", path, origin=origin, access_control_request_method="POST",
        access_control_request_headers="x-api-key",
    )  # fmt: skip


def cors_headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control")}


async def test_a_preflight_of_a_listed_origin_is_answered() -> None:
    """Its browser learns the methods and headers of the API, and that cookies do not speak for it."""
    answer = await preflight(LISTED, APP)
    assert (answer.status_code, answer.content) == (204, b"")
    assert cors_headers(answer) == {
        "access-control-allow-origin": APP,
        "access-control-allow-methods": "DELETE, GET, POST",
        "access-control-allow-headers": ", ".join(HEADERS),
        "access-control-max-age": "600",
    }
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    ["https://a.example", f"{APP}.a.example", f"{APP}:8443", "HTTPS://APP.EXAMPLE", "null", "*"],
)
async def test_other_origins_get_nothing(origin: str) -> None:
    """An origin that is not listed to the letter has no preflight, and no answer that its page may read."""
    answer = await preflight(LISTED, origin)
    assert answer.status_code == 405
    assert cors_headers(answer) == {}
    assert answer.headers["vary"] == "Origin"
    assert cors_headers(await ask(LISTED, "GET", "/livez", origin=origin)) == {}


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_every_answer_may_be_read_by_a_listed_origin(method: str, path: str, body: Any) -> None:
    """Every answer is marked for the origin that asked, also on the short way of writes; never for all."""
    for origin in LISTED.cors_origins:
        answer = await ask(LISTED, method, path, body, origin=origin)
        assert answer.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in answer.headers
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        assert answer.headers["vary"] == "Origin"
    alone = await ask(LISTED, method, path, body)
    assert (cors_headers(alone), alone.headers["vary"]) == ({}, "Origin")


async def test_a_fault_may_be_read_too() -> None:
    """An answer of 500 is marked like any other."""
    async with serving(BrokenSink(), LISTED) as client:
        answer = await client.post(f"{API}/write", json={"message": "m"}, headers={"origin": APP})
    assert answer.status_code == 500
    assert answer.headers["access-control-allow-origin"] == APP


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_off_by_default(method: str, path: str, body: Any) -> None:
    """With no origin listed nothing is added, and no preflight is answered."""
    answer = await ask(FAST, method, path, body, origin=APP)
    assert cors_headers(answer) == {}
    assert "vary" not in answer.headers
    assert (await preflight(FAST, APP, path)).status_code in (404, 405)
