"""The web console as a person meets it: a real browser, a real bridge and a real log service."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.integration.console import (
    SEND,
    Console,
    assert_accessible,
    assert_at_home,
    assert_fits,
    consoles,
    fact,
)
from tests.integration.processes import Bridge, end, log_service, until

pytestmark = pytest.mark.browser

VIEWS = ("overview", "write", "test")
# So long a silence makes the console ask for the statistics again (pulse.js), so long a toast stays (dom.js).
SILENCE_MS, TOAST_MS = 10_000, 6_000


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    """The console of a bridge that answers everybody."""
    async with consoles(tmp_path) as console:
        yield console


async def test_writes_show_in_cards_and_charts(console: Console) -> None:
    """What is written is counted in the cards, the charts, their tables and the head of the page."""
    for number in range(20):
        assert console.bridge.write(f"m{number}").status_code == 200
    console.bridge.write("m", adv_id="no number")
    await console.show("overview")
    page = console.page
    await expect(fact(page, "Logs since the start")).to_have_text("21")
    await expect(fact(page, "Calls")).to_have_text("accepted 20")
    await expect(page.locator("#pulse")).to_contain_text("Log service available")
    await expect(page.locator(".picture canvas")).to_have_count(2)
    summary = re.compile(r"Logs by outcome.*Highest: accepted [1-9]")
    await expect(page.locator(".picture").first).to_have_attribute("aria-label", summary)
    await page.locator(".chart summary").first.press("Enter")
    await expect(page.locator(".chart table").first.locator("tbody tr")).to_have_count(10)
    reason = "$.adv_id: Expected `int | null`, got `str`"
    await expect(page.locator(".stack tbody tr")).to_contain_text([reason])
    await expect(page.locator(".chip").first).to_have_text("422 1")
    await expect(page.get_by_role("heading", name="No spool")).to_have_count(0)
    await expect(page.get_by_text("No spool", exact=True)).to_be_visible()
    assert_at_home(console.visit)


async def without_timers(page: Page, *of_ms: int) -> None:
    """From now on the page's timers of just so long never ring: a busy machine may stand still for longer."""
    await page.add_init_script(
        f"{{ const later = window.setTimeout; window.setTimeout = (work, ms, ...more) =>"
        f" {list(of_ms)}.includes(ms) ? 0 : later(work, ms, ...more) }}"
    )


async def test_a_log_service_that_is_away_and_back(console: Console) -> None:
    """Away is a word and a sentence, failures lead to their service's logs; back again is told, too."""
    await without_timers(console.page, SILENCE_MS, TOAST_MS)
    await console.show("overview")
    page, state = console.page, console.page.locator(".figure strong")
    await expect(state).to_have_text("not asked yet")
    assert console.bridge.write("m").status_code == 200
    await expect(state).to_have_text("available")
    end(console.upstream)
    for _ in range(6):
        assert console.bridge.write("lost", service_name="shop & co").status_code == 503
    await expect(state).to_have_text("away")
    await expect(state).to_have_class("bad")
    await expect(page.get_by_text("one trial at a time")).to_be_visible()
    await expect(page.locator("#pulse")).to_contain_text("Log service away")
    link = page.locator(".stack a").first
    assert await link.get_attribute("href") == "#search?service_name=shop+%26+co"
    with log_service(console.folder, console.port):
        await asyncio.to_thread(_until_written, console.bridge)
        await expect(state).to_have_text("available")
        await expect(page.get_by_text("The log service answers again.")).to_be_visible()
    assert_at_home(console.visit)


def _until_written(running: Bridge) -> None:
    until(lambda: running.write("again").status_code == 200)


async def test_a_bridge_that_is_lost_and_back(console: Console) -> None:
    """A bridge that says nothing is told as lost on every view, its figures as old, and when it is back."""
    await without_timers(console.page, TOAST_MS)
    await console.show("overview")
    page, pulse = console.page, console.page.locator("#pulse")
    await expect(pulse).to_contain_text("logs/s")
    console.bridge.process.send_signal(signal.SIGSTOP)
    try:
        await expect(pulse).to_contain_text("No answer from the bridge since")
        await expect(page.locator(".notice.error")).to_contain_text("These are the figures of then")
    finally:
        console.bridge.process.send_signal(signal.SIGCONT)
    await expect(page.get_by_text("The bridge answers again.").first).to_be_visible()
    await expect(pulse).to_contain_text("logs/s")
    await expect(page.locator(".notice.error")).to_have_count(0)
    assert_at_home(console.visit)


async def test_one_subscription_serves_all_views(console: Console) -> None:
    """Going from view to view asks for no second stream of statistics."""
    await without_timers(console.page, SILENCE_MS)
    await console.show("overview")
    await expect(console.page.locator(".overview")).to_be_visible()
    for view in ("write", "test", "overview"):
        await console.page.locator(f"#tabs a[href='#{view}']").click()
        await console.page.locator(f"main[data-view={view}]").wait_for()
    assert len([url for url in console.visit.requests if "/stats" in url]) == 1


async def _tab_to(page: Page, selector: str) -> None:
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"no Tab leads to {selector}")


async def test_the_keyboard_is_enough(console: Console) -> None:
    """From the head of the page to a stored log and the link that finds it, without a mouse."""
    await console.show("overview")
    page = console.page
    await _tab_to(page, "#tabs a[href='#write']")
    await page.keyboard.press("Enter")
    await page.locator("main[data-view=write]").wait_for()
    await _tab_to(page, "[name=message]")
    await page.keyboard.type("by hand")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".answer b")).to_have_text(re.compile("^200"))
    await _tab_to(page, ".answer a")
    assert [log["message"] for log in console.stored()] == ["by hand"]


async def _choose(page: Page, language: str, scheme: str) -> None:
    await page.evaluate(
        "([language, scheme]) => { localStorage['logbridge-language'] = language;"
        "localStorage['logbridge-theme'] = scheme }",
        [language, scheme],
    )
    await page.reload()
    await page.locator("main[data-view]").wait_for()


@pytest.mark.parametrize("view", VIEWS)
async def test_every_view_is_for_everybody(console: Console, view: str) -> None:
    """In both languages and schemes, on a desk and a phone: nothing scrolls sideways, axe finds no fault."""
    for number in range(3):
        console.bridge.write("m" * 300, adv_id="x", service_name=f"s{number}")
    await console.show(view)
    page = console.page
    for language, scheme in (("en", "light"), ("zh", "dark"), ("zh", "light"), ("en", "dark")):
        await _choose(page, language, scheme)
        await _filled(page, view)
        for width in (360, 1280):
            await page.set_viewport_size({"width": width, "height": 800})
            await assert_fits(page)
            await assert_accessible(page)
        texts = await page.locator("body").inner_text()
        assert re.findall(r"\b(?:ov|wr|lt|of|chart|pulse)-\w+", texts) == []
        assert bool(re.search("[\u4e00-\u9fff]{2}", await page.locator("main").inner_text())) == (
            language == "zh"
        )
    assert_at_home(console.visit)


async def _filled(page: Page, view: str) -> None:
    """Something to see in it."""
    if view == "overview":
        await page.locator(".stack tbody tr").first.wait_for()
        await page.locator(".picture canvas").nth(1).wait_for()
    elif view == "write":
        await page.locator("[name=message]").fill("m" * 200)
        await page.locator("[name=adv_id]").fill("x")
        await page.locator(SEND).click()
        await page.locator("#wrong").wait_for()
    else:
        await page.locator("[name=count]").fill("20")
        await page.locator(SEND).click()
        await page.locator(".result").wait_for()


async def test_colours_change_what_is_drawn(console: Console) -> None:
    """A chart is drawn anew in the colours that are chosen, and in the width that it has."""
    await console.show("overview")
    page = console.page
    canvas = page.locator(".picture canvas").first
    await canvas.wait_for()
    box = await page.locator(".picture").first.bounding_box()
    await canvas.evaluate("canvas => { canvas.dataset.before = '1' }")
    await page.get_by_label("Colours").select_option("dark")
    await expect(page.locator(".picture canvas[data-before]")).to_have_count(0)
    await page.set_viewport_size({"width": 360, "height": 800})
    await expect(page.locator(".picture").first.locator("canvas")).to_have_attribute(
        "width", re.compile(r"^2\d\d|^3[0-3]\d")
    )
    after = await page.locator(".picture").first.bounding_box()
    assert box is not None
    assert after is not None
    assert after["height"] == box["height"]
