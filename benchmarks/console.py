"""The console in a real browser: when it is useful, and whether it stays responsive while logs pour in.

    python -m benchmarks.console            a table, and docs/benchmarks/console.json
    python -m benchmarks.console --json     the same as JSON

Useful is the moment at which the overview shows the numbers of the bridge. Beside it, in the same browser and
turn about, a page that holds as much text and loads nothing: what any page costs here. Responsive is measured
in the live tail while 10,000 logs a second are written: the time between frames, and from a key that is
pressed until the page hears of it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, Page, async_playwright

from benchmarks.processes import free_port

ROUNDS = 7
FLOOD_LOGS_PER_S = 10_000
FLOOD_S = 10
BATCH = 500
READY_S = 60.0
RESULT = Path("docs/benchmarks/console.json")
_API = "/api/v1/logs"

# As many words as the overview has, and nothing to load.
_REFERENCE = (
    "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>reference</title><h1>reference</h1>"
    + "".join(f"<p class=figure>{number} logs per second, {number} ms</p>" for number in range(60))
)
_USEFUL = """
() => [...document.querySelectorAll('.figure')].some((e) => /[0-9]/.test(e.textContent) && e.offsetParent)
"""
# Milliseconds since the navigation began, at the first frame after the page is useful.
_WHEN_USEFUL = f"""
() => new Promise((done) => {{
  const useful = {_USEFUL};
  const look = () => requestAnimationFrame(() => useful() ? done(performance.now()) : look());
  look();
}})
"""
_COUNT_FRAMES = """
() => {
  window.gaps = [];
  window.delays = [];
  const heard = (event) => window.delays.push(performance.now() - event.timeStamp);
  window.addEventListener("keydown", heard, true);
  let last = performance.now();
  const frame = (now) => {
    window.gaps.push(now - last);
    last = now;
    if (window.counting) requestAnimationFrame(frame);
  };
  window.counting = true;
  requestAnimationFrame(frame);
}
"""


@contextlib.contextmanager
def bridge(folder: Path) -> Iterator[str]:
    """A bridge and its log service in processes of their own: its address."""
    port = free_port()
    environment = os.environ | {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "GRPC_SERVER_PORT": str(free_port()),
        "LOGBRIDGE_STORE": f"sqlite:///{folder / 'logs.db'}",
    }
    command = [sys.executable, "-m", "logbridge", "dev"]
    with subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _await_ready(url)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(READY_S)


def _await_ready(url: str) -> None:
    until_s = time.monotonic() + READY_S
    while time.monotonic() < until_s:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}{_API}/health").status_code == 200:
                return
        time.sleep(0.1)
    raise SystemExit(f"no bridge answers at {url}")


async def useful_ms(browser: Browser, url: str) -> float:
    """How long a new page takes until it is useful, with an empty cache."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    await page.goto(url, wait_until="commit")
    took_ms: float = await page.evaluate(_WHEN_USEFUL)
    await context.close()
    return took_ms


@contextlib.contextmanager
def reference() -> Iterator[str]:
    """A server of the reference page: its address."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(_REFERENCE.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: this is no server of ours."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


async def flood(url: str, seconds: float) -> int:
    """Write so many logs a second for so long; gives how many were acknowledged."""
    entries = [
        {
            "message": f"order {number} was paid with a card that expires soon",
            "service_name": ("shop", "pay", "stock")[number % 3],
            "level": ("INFO", "INFO", "WARN", "ERROR")[number % 4],
            "trace_id": f"trace-{number % 50}",
        }
        for number in range(BATCH)
    ]
    body = json.dumps({"log_entries": entries})
    accepted, pause_s = 0, BATCH / FLOOD_LOGS_PER_S
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        began_s = time.monotonic()
        for turn in range(int(seconds / pause_s)):
            await asyncio.sleep(max(0.0, began_s + turn * pause_s - time.monotonic()))
            answer = await client.post(
                f"{_API}/batch", content=body, headers={"content-type": "application/json"}
            )
            accepted += int(answer.json()["success_count"])
    return accepted


async def watch_tail(page: Page, url: str, *, flooded: bool) -> dict[str, Any]:
    """The live tail for FLOOD_S seconds: times between frames, and until a key is heard."""
    await page.goto(f"{url}/console#tail")
    await page.wait_for_selector("main[data-view=tail]")
    await page.evaluate(_COUNT_FRAMES)
    writing = asyncio.ensure_future(flood(url, FLOOD_S) if flooded else asyncio.sleep(FLOOD_S, 0))
    while not writing.done():
        await page.keyboard.press("Shift")
        await asyncio.sleep(0.2)
    gaps, delays = await page.evaluate(
        "() => { window.counting = false; return [window.gaps, window.delays]; }"
    )
    return {
        "logs_per_second": writing.result() / FLOOD_S,
        "frame_ms": _tail_of(gaps[1:]),
        "key_ms": _tail_of(delays),
    }


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The system's browser, without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        await browser.close()


async def measure() -> dict[str, Any]:
    """All figures, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder, bridge(Path(folder)) as url, reference() as plain:
        async with chromium() as browser:
            pairs = [
                (await useful_ms(browser, plain), await useful_ms(browser, f"{url}/console"))
                for _ in range(ROUNDS + 1)
            ][1:]  # the first one warms the browser up
            page = await browser.new_page()
            idle = await watch_tail(page, url, flooded=False)
            flooded = await watch_tail(page, url, flooded=True)
    return {
        "console_useful_ms": _spread([useful for _, useful in pairs]),
        "reference_useful_ms": _spread([useful for useful, _ in pairs]),
        "tail_idle": idle,
        "tail_flooded": flooded,
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def _tail_of(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"count": len(ordered), "p99": ordered[int(len(ordered) * 0.99)], "max": ordered[-1]}


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description="Measure the console in the system's Chromium.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = asyncio.run(measure())
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2) if options.json else _table(found))


def _table(found: dict[str, Any]) -> str:
    flat = {
        f"{name} {part}": value if isinstance(value, dict) else {"": value}
        for name, parts in found.items()
        for part, value in (parts.items() if name.startswith("tail") else {"": parts}.items())
    }
    return "\n".join(
        f"{name:28} " + "  ".join(f"{key} {number:.1f}" for key, number in value.items())
        for name, value in flat.items()
    )


if __name__ == "__main__":
    main()
