"""A page of the system's headless Chromium that records what it asks for and what it complains about."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from playwright.async_api import ConsoleMessage, Page, ViewportSize, async_playwright

# A name that is not localhost: pages treat that one differently (Swagger UI hides its validator badge).
HOST = "logbridge.test"
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    f"--host-resolver-rules=MAP {HOST} 127.0.0.1",
]


@dataclass
class Visit:
    """A page. requests: every URL asked for. complaints: console errors and warnings, uncaught errors."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Record from now on."""
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")


def chromium_path() -> str:
    """Where Chromium is; without it the test is skipped, and under CI=true it fails."""
    path = shutil.which("chromium")
    if path is None:
        reason = "no chromium on this machine: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return path


@asynccontextmanager
async def open_chromium(*, any_certificate: bool = False) -> AsyncIterator[Visit]:
    """A new empty page of a new browser; every request to HOST goes to this machine.

    any_certificate: also over TLS of an authority that nobody knows.
    """
    path = chromium_path()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            size: ViewportSize = {"width": 1280, "height": 900}
            visit = Visit(await browser.new_page(viewport=size, ignore_https_errors=any_certificate))
            visit.watch()
            yield visit
        finally:
            await browser.close()
