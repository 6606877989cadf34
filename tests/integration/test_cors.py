"""Pages of other origins in a real browser: what they may do is decided by LOGBRIDGE_CORS_ORIGINS alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from tests.integration.browser import HOST, Visit, open_chromium
from tests.integration.served import API, connected, running
from tests.integration.test_docs_pages import serving

_WRITE = """
async ([url, key]) => {
  try {
    const answer = await fetch(url, {
      method: "POST",
      headers: {"content-type": "application/json", "x-api-key": key},
      body: JSON.stringify({message: "from a page", log_id: "1"}),
    });
    return [answer.status, (await answer.json()).log_id];
  } catch (error) { return error.name; }
}
"""
# What needs no preflight is sent by any page: only the answer is kept from it.
_SIMPLE = """
async ([url]) => {
  try { return (await fetch(url, {method: "POST", body: "{}"})).status; } catch (error) { return error.name; }
}
"""


@asynccontextmanager
async def visiting() -> AsyncIterator[tuple[Visit, str]]:
    """A browser on a page of another origin, and that origin."""
    page = Starlette(routes=[Route("/", lambda _: HTMLResponse("<title>another origin</title>"))])
    async with serving(page) as port, open_chromium() as visit:
        origin = f"http://{HOST}:{port}"
        await visit.page.goto(origin)
        yield visit, origin


async def test_what_the_connection_refuses_is_readable_too(tmp_path: Path) -> None:
    """A page of a listed origin sees why a request with a head came to nothing."""
    origin = "https://app.example"
    head = f"GET /livez HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n"
    async with running(tmp_path, cors_origins=[origin], head_bytes_max=8192) as bridge:
        for more, status in (("X: " + "a" * 9000 + "\r\n", 431), ("Host: b\r\n", 400)):
            async with connected(bridge.port) as connection:
                connection.write(f"{head}{more}\r\n".encode())
                answer = await connection.read()
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, origin)


@pytest.mark.browser
async def test_only_pages_of_listed_origins_get_answers(tmp_path: Path) -> None:
    """A page of a listed origin writes and reads the answer; one of another can do neither."""
    async with visiting() as (visit, origin):
        async with running(tmp_path, cors_origins=[origin]) as bridge:
            assert await visit.page.evaluate(_WRITE, [f"{bridge.url}{API}/write", "any"]) == [200, "1"]
        async with running(tmp_path, cors_origins=["https://other.example"]) as bridge:
            for script in (_WRITE, _SIMPLE):
                assert await visit.page.evaluate(script, [f"{bridge.url}{API}/write", "any"]) == "TypeError"
        async with running(tmp_path) as bridge:
            assert await visit.page.evaluate(_WRITE, [f"{bridge.url}{API}/write", "any"]) == "TypeError"
