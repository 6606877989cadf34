"""The web console in a browser, before a bridge: what its tests share."""

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Mount, Route

from logbridge.adapters.memory import MemorySink
from logbridge.entrypoints.container import Container, close
from logbridge.entrypoints.http.app import create_app
from logbridge.entrypoints.settings import Settings
from tests.integration.browser import HOST, Visit, open_chromium
from tests.integration.processes import Bridge, bridge, free_port, log_service
from tests.integration.served import API
from tests.integration.test_docs_pages import serving

# The silence after which the console takes a bridge for lost is ten seconds.
WAIT_MS = 30_000
SEND = "form.form button.primary"


class Console:
    """The console in a browser, before a bridge. folder, port: of the log service; upstream: its process."""

    def __init__(self, visit: Visit, running: Bridge, folder: Path, port: int) -> None:
        self.visit = visit
        self.page = visit.page
        self.bridge = running
        self.folder = folder
        self.port = port
        self.upstream: subprocess.Popen[str]

    async def show(self, view: str) -> None:
        """Open a view."""
        await show(self.page, self.bridge.client.base_url.port, view)

    def stored(self) -> list[dict[str, Any]]:
        """All logs, newest first."""
        logs: list[dict[str, Any]] = self.bridge.client.get(f"{API}/query").json()["logs"]
        return logs


async def show(page: Page, port: int | None, place: str) -> None:
    """Open the console at a hash, such as ``search?level=ERROR``."""
    await page.goto(f"http://{HOST}:{port}/console#{place}")
    await page.locator(f"main[data-view={place.partition('?')[0]}]").wait_for()


@contextlib.asynccontextmanager
async def visits() -> AsyncIterator[Visit]:
    """A page that waits long enough on a busy machine."""
    async with open_chromium() as visit:
        expect.set_options(timeout=WAIT_MS)
        visit.page.set_default_timeout(WAIT_MS)
        yield visit


@contextlib.asynccontextmanager
async def consoles(folder: Path, **variables: str) -> AsyncIterator[Console]:
    port = free_port()
    patient = {"LOGBRIDGE_REQUEST_TIMEOUT_S": "60", "LOGBRIDGE_ATTEMPT_TIMEOUT_S": "60"}
    settings = {"LOGBRIDGE_OPEN": "read,test", **patient, **variables}
    with (
        log_service(folder, port) as upstream,
        bridge(folder, f"grpc://127.0.0.1:{port}", **settings) as running,
    ):
        async with visits() as visit:
            console = Console(visit, running, folder, port)
            console.upstream = upstream
            yield console


def assert_at_home(visit: Visit) -> None:
    """No request left the host, and nothing broke the policy of the page."""
    strangers = [url for url in visit.requests if urlsplit(url).hostname != HOST]
    assert [url for url in strangers if not url.startswith("data:")] == []
    # Browsers tell of every answer of 4xx and 5xx, and of every one that does not come.
    told = [
        complaint for complaint in visit.complaints if not complaint.startswith("Failed to load resource")
    ]
    assert told == []


async def module(page: Page, name: str, script: str, *arguments: Any) -> Any:
    """What a script makes of a module of the console. script: (module, ...arguments) => value."""
    return await page.evaluate(
        "async ([name, values]) => {"
        "const app = document.querySelector('script[type=module]').src;"
        f"return ({script})(await import(new URL(name, app).href), ...values) }}",
        [name, list(arguments)],
    )


async def assert_accessible(page: Page) -> None:
    """No serious finding of axe."""
    violations = (await Axe().run(page)).response["violations"]
    grave = [finding for finding in violations if finding["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"][:160] for node in each["nodes"][:3]]) for each in grave] == []


async def assert_accessible_in_colours(page: Page) -> None:
    """Light and dark, with nothing left of an animation."""
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        await assert_accessible(page)


async def assert_fits(page: Page) -> None:
    """Nothing has to be scrolled sideways."""
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def fact(page: Page, name: str) -> Locator:
    """The value beside a name."""
    return page.locator(f"dt:text-is('{name}') + dd").first


_PROGRESS = {"done": 40, "total": 100, "success_count": 40, "failed_count": 0}
_RESULT = {
    "success": True, "total_count": 100, "success_count": 99, "failed_count": 1, "duration_seconds": 1.5,
    "logs_per_second": 66.7, "max_workers": 5, "sample_results": [],
    "error_summary": {"total_errors": 1, "sample_errors": ["<b>refused</b>"]},
    "latency_ms": {"p50": 1.5, "p90": 2.5, "p99": 9.0, "max": 12.25},
    "latency_histogram": [
        {"le_ms": 1.0, "count": 0}, {"le_ms": 2.0, "count": 60}, {"le_ms": None, "count": 40},
    ],
    "throughput": [{"second": 0, "count": 80}, {"second": 1, "count": 20}],
}  # fmt: skip


class Scripted:
    """A concurrent test as events, at the pace of the test. left: the client has hung up."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()

    async def answer(self, _: Request) -> StreamingResponse:
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        told = {**_PROGRESS, "duration_seconds": 0.5, "logs_per_second": 80.0}
        try:
            yield f"event: progress\ndata: {json.dumps(told)}\n\n"
            await self.go_on.wait()
            yield f"event: result\ndata: {json.dumps(_RESULT)}\n\n"
        finally:
            self.left.set()


@contextlib.asynccontextmanager
async def scripted_bridge() -> AsyncIterator[tuple[Visit, Scripted, int]]:
    """A browser, and a bridge whose concurrent test is scripted, with its port."""
    script = Scripted()
    container = Container(Settings(open=frozenset({"read", "test"})), MemorySink())
    test = Route(f"{API}/concurrent-test", script.answer, methods=["POST"])
    async with serving(Starlette(routes=[test, Mount("/", create_app(container))])) as port:
        # It is closed first: its stream of statistics would hold up the server's end.
        async with visits() as visit:
            yield visit, script, port
        script.go_on.set()
    await close(container)
