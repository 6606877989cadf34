"""Swagger UI and ReDoc as a person meets them: in a browser, over a real server, with no outside network."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from logbridge.adapters.memory import MemorySink
from logbridge.entrypoints.container import Container, close
from logbridge.entrypoints.http.app import create_app
from logbridge.entrypoints.http.docs_pages import docs_routes, vendored_packages
from logbridge.entrypoints.settings import Settings, load
from tests.integration.browser import HOST, Visit, open_chromium

MESSAGE = "written from Swagger UI"


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """The app behind a real server; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
    served = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await served
        listener.close()


@pytest.fixture
def sink() -> MemorySink:
    """Where the bridge of these tests writes to."""
    return MemorySink()


@pytest.fixture
async def port(sink: MemorySink) -> AsyncIterator[int]:
    """A running bridge."""
    container = Container(load({}, {}, None), sink)
    async with serving(create_app(container)) as port:
        yield port


@pytest.fixture
async def visit() -> AsyncIterator[Visit]:
    """A page of a headless browser."""
    async with open_chromium() as visit:
        yield visit


def assert_stays_on_host(visit: Visit) -> None:
    strangers = [url for url in visit.requests if not is_local(url)]
    assert visit.requests
    assert strangers == []
    assert visit.complaints == []


def is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob") or parts.hostname == HOST


@pytest.mark.browser
async def test_swagger_ui_sends_a_write(visit: Visit, port: int, sink: MemorySink) -> None:
    """Swagger UI shows the API, a write sent from it is stored, and no request leaves the host."""
    await visit.page.goto(f"http://{HOST}:{port}/docs")
    write = visit.page.locator(".opblock", has=visit.page.locator('[data-path="/api/v1/logs/write"]'))
    await write.locator(".opblock-summary").click()
    await write.get_by_role("button", name="Try it out").click()
    await write.locator("textarea.body-param__text").fill(f'{{"message": "{MESSAGE}"}}')
    await write.get_by_role("button", name="Execute").click()
    live = write.locator(".live-responses-table tbody")
    await live.wait_for()
    assert await live.locator("td.response-col_status").inner_text() == "200"
    assert '"success": true' in await live.locator(".response-col_description").inner_text()
    assert [entry.message for entry in sink.entries] == [MESSAGE]
    assert_stays_on_host(visit)


@pytest.mark.browser
async def test_redoc_shows_the_api(visit: Visit, port: int) -> None:
    """ReDoc shows every part of the API, its search works, and not even its vendor's logo is asked for."""
    page = visit.page
    await page.goto(f"http://{HOST}:{port}/redoc")
    await page.locator(".api-content").get_by_text("/api/v1/logs/write").first.wait_for(state="attached")
    await page.get_by_placeholder("Search...").fill("batch")
    await page.locator('[data-role="search:results"] li').first.wait_for()
    await page.wait_for_load_state("networkidle")
    assert await page.locator('img[alt="redocly logo"]').count() == 0
    assert_stays_on_host(visit)


@pytest.mark.browser
async def test_pages_work_behind_a_path_prefix(visit: Visit) -> None:
    """Under a prefix that a proxy adds, and with paths of its own choice, a page finds all that it needs."""
    settings = Settings(docs_path="/help/api", redoc_path="/read/it/here", openapi_path="/spec/openapi.json")
    container = Container(settings, MemorySink())
    app = Starlette(routes=[Mount("/behind/a/proxy", create_app(container))])
    async with serving(app) as port:
        for path in (settings.docs_path, settings.redoc_path):
            await visit.page.goto(f"http://{HOST}:{port}/behind/a/proxy{path}")
            await visit.page.get_by_text("/api/v1/logs/batch").first.wait_for(state="attached")
    await close(container)
    assert_stays_on_host(visit)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Asks the routes alone, without a server."""
    transport = httpx.ASGITransport(Starlette(routes=docs_routes(Settings(app_name="<logs> & more"))))
    async with httpx.AsyncClient(transport=transport, base_url="http://bridge") as client:
        yield client


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_page_forbids_other_hosts_and_inline_scripts(client: httpx.AsyncClient, path: str) -> None:
    """A page allows scripts of this host only, cannot be framed, is not told of, and quotes its title."""
    response = await client.get(path)
    policy = response.headers["content-security-policy"].split("; ")
    assert {"default-src 'self'", "object-src 'none'", "form-action 'none'"} <= set(policy)
    assert {"base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert not any(rule.startswith("script-src") for rule in policy)
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bon\w+=|javascript:", response.text)
    assert "<title>&lt;logs&gt; &amp; more</title>" in response.text
    assert "://" not in response.text


async def test_every_vendored_file_is_served_forever(client: httpx.AsyncClient) -> None:
    """Each vendored file, licences too, is there under its version, with its type, to be kept for good."""
    types = {"js": "text/javascript", "css": "text/css", "png": "image/png"}
    for package in vendored_packages():
        for file in package.sha256:
            response = await client.get(f"/docs/assets/{package.name}-{package.version}/{file}")
            expected = types.get(file.rpartition(".")[2], "text/plain")
            assert response.status_code == 200, file
            assert response.headers["content-type"].partition(";")[0] == expected, file
            assert "immutable" in response.headers["cache-control"]


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "redoc-0.0.0/redoc.standalone.js",
        "%2e%2e/docs_pages.py",
        "..%2f..%2fdocs_pages.py",
        "%2fetc%2fpasswd",
        "redoc-2.5.4/..%2fvendored.json",
    ],
)
async def test_only_listed_files_are_served(client: httpx.AsyncClient, name: str) -> None:
    """What is not listed is not found, whichever way a path is written, and that answer is not kept."""
    response = await client.get(f"/docs/assets/{name}")
    assert response.status_code == 404
    assert "cache-control" not in response.headers
