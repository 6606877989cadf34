"""The console's search and live tail in a browser: what their tests share."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.integration.browser import HOST, Visit, open_chromium
from tests.integration.processes import Bridge, bridge, free_port, log_service
from tests.integration.served import API

WAIT_MS = 30_000
BATCH = 1000
LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")
SERVICES = ("shop", "pay", "api")
BULK = 2400
# The newest of the bulk; each one after it is a second older.
BASE = datetime(2024, 8, 30, 10, 0, tzinfo=UTC)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOSTILE = "user \x1b[31mroot\x1b[0m \u202egnp.exe <img src=x onerror=alert(1)>\u200b\x00 done"
# What it looks like.
HARMLESS = "user ␛[31mroot␛[0m U+202Egnp.exe <img src=x onerror=alert(1)>U+200B␀ done"
LONG = "payment failed\n" + "  at shop.pay (line 1)\n" * 40 + "the end"


def stored_logs() -> list[dict[str, Any]]:
    """As many logs as make several pages, a trace, and some that are hard to show."""
    bulk = [
        {
            "message": f"order {number} placed",
            "level": LEVELS[number % 5],
            "service_name": SERVICES[number % 3],
            "timestamp": (BASE - timedelta(seconds=number)).isoformat(),
            "metadata": {"region": ("eu", "cn")[number % 2], "lane": str(number % 4)},
        }
        for number in range(BULK)
    ]
    return bulk + _trace() + _hard_to_show()


def _trace() -> list[dict[str, Any]]:
    steps = [
        (0, "gateway", "span-a", "request received"),
        (2_500, "shop", "span-b", "cart loaded"),
        (4_000, "pay", "span-c", "card charged"),
        (1_200_000, "pay", "span-c", "receipt printed"),
        (1_300_000, "shop", "span-b", "cart closed"),
        (61_000_000, "gateway", "span-a", "request answered"),
    ]
    return [
        {
            "message": message,
            "service_name": service,
            "span_id": span,
            "trace_id": TRACE,
            "timestamp": (datetime(2024, 8, 1, tzinfo=UTC) + timedelta(microseconds=offset_us)).isoformat(),
        }
        for offset_us, service, span, message in steps
    ]


def _hard_to_show() -> list[dict[str, Any]]:
    rows = [(HOSTILE, "WARN"), (LONG, "ERROR"), ("订单已支付 🎉 👨‍👩‍👧", "INFO")]
    return [
        {
            "message": message,
            "level": level,
            "service_name": "hostile",
            "timestamp": (datetime(2024, 7, 1, tzinfo=UTC) + timedelta(seconds=second)).isoformat(),
            "metadata": {"<b>key</b>": "\u2066isolated\u2069"},
        }
        for second, (message, level) in enumerate(rows)
    ]


def write_all(running: Bridge, logs: list[dict[str, Any]]) -> None:
    """Store logs, in batches."""
    for start in range(0, len(logs), BATCH):
        answer = running.client.post(f"{API}/batch", json={"log_entries": logs[start : start + BATCH]})
        assert answer.json()["success_count"] == len(logs[start : start + BATCH]), answer.text


@contextlib.contextmanager
def bridge_with_store(folder: Path, **variables: str) -> Iterator[Bridge]:
    """A bridge that lets everybody read, and its log service."""
    port = free_port()
    settings = {"LOGBRIDGE_OPEN": "read", **variables}
    with log_service(folder, port), bridge(folder, f"grpc://127.0.0.1:{port}", **settings) as running:
        yield running


@contextlib.asynccontextmanager
async def visits() -> AsyncIterator[Visit]:
    """A page that waits long enough on a busy machine."""
    async with open_chromium() as visit:
        expect.set_options(timeout=WAIT_MS)
        visit.page.set_default_timeout(WAIT_MS)
        yield visit


async def show(page: Page, running: Bridge, place: str) -> None:
    """Open the console at a hash such as ``search?level=ERROR``."""
    await page.goto(f"http://{HOST}:{running.client.base_url.port}/console#{place}")
    await page.locator(f"main[data-view={place.partition('?')[0]}]").wait_for()


async def module(page: Page, name: str, script: str, *arguments: Any) -> Any:
    """What a script makes of a module of the console. script: (module, ...arguments) => value."""
    return await page.evaluate(
        "async ([name, values]) => {"
        "const app = document.querySelector('script[type=module]').src;"
        f"return ({script})(await import(new URL(name, app).href), ...values) }}",
        [name, list(arguments)],
    )


def assert_at_home(visit: Visit) -> None:
    """No request left the host, and nothing broke the policy of the page."""
    strangers = [url for url in visit.requests if urlsplit(url).hostname != HOST]
    assert [url for url in strangers if not url.startswith("data:")] == []
    # Browsers tell of every answer of 4xx and 5xx.
    told = [text for text in visit.complaints if not text.startswith("Failed to load resource")]
    assert told == []


async def assert_accessible(page: Page) -> None:
    """No serious finding of axe, light and dark, with nothing left of an animation."""
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        report = (await Axe().run(page)).response
        grave = [
            (finding["id"], [node["html"][:160] for node in finding["nodes"][:3]])
            for finding in report["violations"]
            if finding["impact"] in ("serious", "critical")
        ]
        assert grave == [], scheme


async def assert_fits(page: Page) -> None:
    """Nothing has to be scrolled sideways."""
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
