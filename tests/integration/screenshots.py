"""Pictures of the web console for the documentation, of a real bridge and log service:

.venv/bin/python -m tests.integration.screenshots docs/images
.venv/bin/python -m tests.integration.screenshots /tmp/pictures --all

With --all: every view in both languages and schemes, as wide as a desk and as a phone.
"""

import asyncio
import hashlib
import itertools
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.async_api import Page

from tests.integration.browser import open_chromium
from tests.integration.processes import Bridge, bridge, free_port, log_service
from tests.integration.served import API

_DESK, _PHONE = (1280, 1080), (360, 740)
_SERVICES = ("checkout", "ads-delivery", "video-feed", "billing")
# The picture's name, the view, the language, the scheme, the size.
_PICTURES = (
    ("console-overview", "overview", "en", "light", _DESK),
    ("console-overview-zh", "overview", "zh", "dark", _DESK),
    ("console-search", "search", "en", "light", _DESK),
    ("console-tail", "tail", "en", "dark", _DESK),
    ("console-phone", "overview", "en", "light", _PHONE),
    ("console-phone-zh", "search", "zh", "dark", _PHONE),
    # The last one: it would tower over everything else.
    ("console-test", "test", "en", "light", _DESK),
)
_LEVELS = (*["INFO"] * 11, "DEBUG", "WARN", "DEBUG", "ERROR")
_TRAFFIC_S = 45


def main(folder: Path, *, everything: bool) -> None:
    """Write the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, _busy_bridge(Path(place)) as running:
        asyncio.run(_pictures(folder, str(running.client.base_url), everything=everything))


@contextmanager
def _busy_bridge(folder: Path) -> Iterator[Bridge]:
    port = free_port()
    spool = {"LOGBRIDGE_SPOOL": "sqlite:///./spool", "LOGBRIDGE_SERVICE_NAME": "demo"}
    with log_service(folder, port), bridge(folder, f"grpc://127.0.0.1:{port}", **spool) as running:
        stop = threading.Event()
        busy = threading.Thread(target=_keep_busy, args=(str(running.client.base_url), stop))
        busy.start()
        try:
            stop.wait(_TRAFFIC_S)
            yield running
        finally:
            stop.set()
            busy.join()


def _keep_busy(url: str, stop: threading.Event) -> None:
    with httpx.Client(base_url=url, timeout=30) as client:
        for number in itertools.count():
            entries = [
                {
                    "message": f"order {number}-{n} handled",
                    "service_name": _SERVICES[n % len(_SERVICES)],
                    "level": _LEVELS[(number + n) % len(_LEVELS)],
                    "trace_id": hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest(),
                    "metadata": {"region": "eu-1"},
                }
                for n in range(1 + number % 7)
            ]
            client.post(f"{API}/batch", json={"log_entries": entries})
            headers = {"Prefer": "respond-async"} if number % 5 == 0 else {}
            client.post(f"{API}/write", json={"message": "view counted"}, headers=headers)
            if number % 40 == 0:
                client.post(f"{API}/write", json={"message": "m", "adv_id": "x"})
                client.post(f"{API}/write", json={"message": "", "service_name": "checkout"})
            if stop.wait(0.02):
                return


async def _pictures(folder: Path, url: str, *, everything: bool) -> None:
    async with open_chromium() as visit:
        if everything:
            views, sizes = tuple(_SHOWN), {"desk": _DESK, "phone": _PHONE}
            for view, language, scheme, size in itertools.product(
                views, ("en", "zh"), ("light", "dark"), sizes
            ):
                path = folder / f"{view}-{language}-{scheme}-{size}.png"
                await _picture(visit.page, url, path, view, language, scheme, sizes[size], full=True)
        else:
            for name, view, language, scheme, size in _PICTURES:
                await _picture(visit.page, url, folder / f"{name}.png", view, language, scheme, size)
        print(*visit.complaints, sep="\n")


async def _picture(
    page: Page,
    url: str,
    path: Path,
    view: str,
    language: str,
    scheme: str,
    size: tuple[int, int],
    *,
    full: bool = False,
) -> None:
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    await page.goto(f"{url}/console")
    await page.evaluate(
        "([language, scheme]) => { localStorage['logbridge-language'] = language;"
        "localStorage['logbridge-theme'] = scheme }",
        [language, scheme],
    )
    await page.goto(f"{url}/console#{view}")
    await page.reload()
    await _SHOWN[view](page)
    await page.screenshot(path=path, full_page=full)


async def _overview(page: Page) -> None:
    await page.locator(".overview:not([hidden]) .picture canvas").nth(1).wait_for()
    await page.wait_for_function("document.querySelector('.legend b').textContent !== '–'")


async def _write(page: Page) -> None:
    await page.locator("textarea[name=message]").fill("It's done: 订单已支付")
    await page.locator("input[name=adv_id]").fill("12x")
    await page.locator("form button.primary").click()
    await page.locator(".answer dl").wait_for()


async def _test(page: Page) -> None:
    await page.locator("input[name=count]").fill("3000")
    await page.locator("form button.primary").click()
    await page.locator(".result").wait_for()
    await page.wait_for_function(
        "[...document.querySelectorAll('.picture')].every((picture) => picture.querySelector('canvas'))"
    )


async def _search(page: Page) -> None:
    await page.locator("[name=q]").fill("handled")
    await page.keyboard.press("Enter")
    await page.locator(".logs > .log mark").first.wait_for()
    await page.locator(".histogram-bars").wait_for()
    await page.locator(".logs > .log .log-toggle").nth(1).click()
    await page.locator(".log-details").wait_for()
    await page.evaluate("window.scrollTo(0, 0)")


async def _tail(page: Page) -> None:
    await page.locator(".tail-list > .log").nth(200).wait_for()


_SHOWN = {"overview": _overview, "search": _search, "tail": _tail, "write": _write, "test": _test}


if __name__ == "__main__":
    main(Path(sys.argv[1]), everything="--all" in sys.argv)
