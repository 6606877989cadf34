"""The console before several log services of which one is away: it says so, and shows what there is."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.cluster.services import SERVICES, Services
from tests.integration.browser import Visit
from tests.integration.console import assert_at_home, show
from tests.integration.logs_console import TRACE, stored_logs, write_all
from tests.integration.processes import bridge, until
from tests.integration.served import API

pytestmark = pytest.mark.browser

# What it says of one that is away in the results, and in the overview.
WORDS = {
    "en": ("Logs are missing here. Not asked: {service}", "1 of 3 log services count as away"),
    "zh": ("此处缺少部分日志。未能查询：{service}", "3 个日志服务中有 1 个不可达"),
}


async def test_one_of_several_is_away(visit: Visit, tmp_path: Path) -> None:
    """Results and traces name who is missing, the overview counts it; when it is back, nothing is said."""
    with Services(tmp_path) as services, bridge(tmp_path, services.url, LOGBRIDGE_OPEN="read") as running:
        write_all(running, stored_logs())

        def is_away() -> bool:
            running.write("is anybody missing?")
            return running.client.get(f"{API}/stats").json()["upstream"]["services_away"] == 1

        port = running.client.base_url.port
        services.kill(SERVICES - 1)
        until(is_away)
        for language, (missing, away) in WORDS.items():
            await _speak(visit.page, port, language)
            service = f"127.0.0.1:{services.ports[SERVICES - 1]}"
            notice = visit.page.locator(".notice", has_text=missing.format(service=service))
            for view in ("search", f"search?trace_id={TRACE}&sort=time"):
                await show(visit.page, port, view)
                await expect(notice).to_be_visible()
            await expect(visit.page.locator(".logs > .log").first).to_be_visible()
            await show(visit.page, port, "overview")
            await expect(visit.page.get_by_text(re.compile(away))).to_be_visible()
        services.come(SERVICES - 1)
        until(lambda: not is_away())
        await show(visit.page, port, "search")
        await expect(visit.page.locator(".logs > .log").first).to_be_visible()
        await expect(visit.page.locator(".results .notice")).to_have_count(0)
    assert_at_home(visit)


async def _speak(page: Page, port: int | None, language: str) -> None:
    await show(page, port, "overview")
    await page.evaluate("language => { localStorage['logbridge-language'] = language }", language)
    await page.reload()
