"""How the console's search is used: histogram, keyboard, languages, sizes of screens, slow answers."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from playwright.async_api import Page, Route, expect

from tests.integration.browser import Visit
from tests.integration.console import assert_accessible_in_colours, assert_at_home, assert_fits, show
from tests.integration.logs_console import BULK, TRACE, bridge_with_store, stored_logs, write_all
from tests.integration.processes import Bridge
from tests.integration.test_console_search import expect_total, rows

pytestmark = pytest.mark.browser

PLACED = "search?q=placed"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge whose log service has logs."""
    with bridge_with_store(tmp_path_factory.mktemp("use")) as running:
        write_all(running, stored_logs())
        yield running


async def told(page: Page) -> int:
    """How many logs the histogram says to be in what is chosen."""
    status = page.locator(".histogram-told [role=status]")
    await expect(status).to_have_text(re.compile(r"(DEBUG|INFO|WARN|ERROR|FATAL) \d"))
    counts = re.findall(r"[A-Z]{4,5} ([\d,]+)", await status.inner_text())
    return sum(int(count.replace(",", "")) for count in counts)


async def _top(page: Page, selector: str) -> float:
    box = await page.locator(selector).first.bounding_box()
    assert box
    return box["y"]


@pytest.mark.parametrize("wide", [1280, 390])
@pytest.mark.parametrize("language", ["English", "中文"])
@pytest.mark.parametrize("place", [PLACED, "search?q=nowhere"])
async def test_nothing_moves_when_the_histogram_comes(
    visit: Visit, running: Bridge, place: str, language: str, wide: int
) -> None:
    """What one is about to click stays where it is, however late the bars are, or if there are none."""
    page = visit.page
    due = asyncio.Event()

    async def late(route: Route) -> None:
        await due.wait()
        await route.continue_()

    await page.set_viewport_size({"width": wide, "height": 800})
    await page.route("**/histogram?*", late)
    await show(page, running.client.base_url.port, place)
    if language != "English":
        await page.get_by_role("button", name=language).click()
    below = ".results .pager" if place == PLACED else ".results .nothing"
    await page.locator(below).wait_for()
    before = await _top(page, ".results"), await _top(page, below)
    due.set()
    await page.locator(".histogram-body:not([aria-busy])").wait_for()
    assert (await _top(page, ".results"), await _top(page, below)) == before


async def test_no_place_is_kept_for_a_histogram_that_there_is_not(visit: Visit, running: Bridge) -> None:
    """A bridge without one says so in one line; the place of one that failed is kept."""
    page = visit.page
    await page.route("**/histogram?*", lambda route: route.fulfill(status=503, json={"detail": "try later"}))
    await show(page, running.client.base_url.port, PLACED)
    await expect(page.locator(".histogram-blank")).to_have_text(re.compile("try later"))
    kept = await _top(page, ".results")
    await page.unroute("**/histogram?*")
    await page.route("**/histogram?*", lambda route: route.fulfill(status=501, json={"detail": "not here"}))
    await page.get_by_label("Text in the message").press("Enter")
    await expect(page.locator(".histogram")).to_contain_text("This bridge has no histogram")
    assert (short := await _top(page, ".results")) < kept
    # Nor is there the next time, before it has said so again.
    await page.route("**/histogram?*", lambda _: None)
    await show(page, running.client.base_url.port, f"{PLACED}&level=INFO")
    await expect(page.locator(".condition")).to_have_count(2)
    assert await _top(page, ".results") == short


async def test_nothing_moves_when_the_results_come(visit: Visit, running: Bridge) -> None:
    """The filters above the list stay where they are, though there are more buttons beside the title then."""
    page = visit.page
    due = asyncio.Event()

    async def late(route: Route) -> None:
        await due.wait()
        await route.continue_()

    await page.route("**/query?*", late)
    await show(page, running.client.base_url.port, PLACED)
    await page.locator(".condition").wait_for()
    before = await _top(page, ".condition")
    due.set()
    await page.get_by_role("link", name="CSV").wait_for()
    assert await _top(page, ".condition") == before


async def test_the_histogram_narrows_by_mouse(visit: Visit, running: Bridge) -> None:
    """Dragging, and click and shift-click, show just the logs of these bars; zooming out goes back."""
    page = visit.page
    await show(page, running.client.base_url.port, PLACED)
    await expect_total(page, BULK)
    bars = page.locator(".histogram-bars")
    box = await bars.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    await page.mouse.move(box["x"] + box["width"] * 0.4, middle)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=5)
    expected = await told(page)
    assert 0 < expected < BULK
    await page.mouse.up()
    await expect_total(page, expected)
    await page.locator(".histogram-body:not([aria-busy])").wait_for()
    await bars.click(position={"x": box["width"] * 0.3, "y": 60})
    await bars.click(position={"x": box["width"] * 0.5, "y": 60}, modifiers=["Shift"])
    await expect(page.locator(".result-count")).not_to_contain_text(f"of {expected:,}")
    await page.get_by_role("button", name="Zoom out").click()
    await page.get_by_role("button", name="All time").click()
    await expect_total(page, BULK)
    await expect(page.get_by_role("button", name="Zoom out")).to_be_disabled()
    assert_at_home(visit)


async def test_the_histogram_narrows_by_keyboard(page: Page, running: Bridge) -> None:
    """Arrows choose a bar, with Shift several, their counts are told; Enter narrows, Escape lets go."""
    await show(page, running.client.base_url.port, PLACED)
    await page.locator(".histogram-bars").focus()
    await page.keyboard.press("End")
    one = await told(page)
    await page.keyboard.press("Shift+ArrowLeft")
    await page.keyboard.press("Shift+ArrowLeft")
    await expect(page.locator(".histogram-told button")).to_be_visible()
    three = await told(page)
    assert three > one
    await page.keyboard.press("Escape")
    await expect(page.locator(".histogram-told button")).to_be_hidden()
    await page.keyboard.press("Home")
    expected = await told(page)
    await page.keyboard.press("Enter")
    await expect_total(page, expected)


async def test_the_histogram_is_a_table_too(page: Page, running: Bridge) -> None:
    """The table holds the same counts, and each of its rows narrows the time."""
    await show(page, running.client.base_url.port, PLACED)
    await page.get_by_text("As a table").click()
    table = page.locator(".histogram-table table")
    totals = [int(text.replace(",", "")) for text in await table.locator("td:nth-child(7)").all_inner_texts()]
    assert sum(totals) == BULK
    await expect(page.locator(".histogram-table p")).to_contain_text("2,400 logs from 2024-08-30")
    await table.get_by_role("button").first.click()
    await expect_total(page, totals[0])


@pytest.mark.parametrize("status", [404, 501])
async def test_a_bridge_without_a_histogram(page: Page, running: Bridge, status: int) -> None:
    """A small line says so, and the search works."""
    problem = {"type": "about:blank", "status": status, "detail": "no"}
    await page.route("**/histogram?*", lambda route: route.fulfill(status=status, json=problem))
    await show(page, running.client.base_url.port, PLACED)
    await expect_total(page, BULK)
    await expect(page.get_by_text("the search works without it")).to_be_visible()


async def test_a_log_service_that_only_takes_logs(page: Page, running: Bridge) -> None:
    """501 is explained with the bridge's own words."""
    problem = {"type": "about:blank", "status": 501, "detail": "this sink only writes"}
    for name in ("query", "histogram"):
        await page.route(f"**/{name}?*", lambda route: route.fulfill(status=501, json=problem))
    await show(page, running.client.base_url.port, "search")
    await expect(page.locator(".results [role=alert]")).to_contain_text("this sink only writes")


async def test_stale_answers_are_never_shown(page: Page, running: Bridge) -> None:
    """While an answer is waited for it says so; the next search cancels it, and it does not come back."""
    late = asyncio.Event()
    held: list[Route] = []

    async def hold(route: Route) -> None:
        held.append(route)
        await late.wait()
        await route.fulfill(json={"success": True, "logs": [], "total_count": 0, "error_message": ""})

    await page.route("**/query?q=late*", hold)
    await show(page, running.client.base_url.port, "search?q=late")
    await expect(page.locator(".result-list")).to_have_attribute("aria-busy", "true")
    await expect(page.locator(".result-count")).to_have_text("Searching…")
    async with page.expect_event("requestfailed", lambda request: "q=late" in request.url):
        await page.get_by_label("Text in the message").fill("order 7 placed")
        await page.keyboard.press("Enter")
    await expect_total(page, 1)
    assert held
    late.set()
    await page.unroute_all(behavior="ignoreErrors")
    await expect(rows(page)).to_have_count(1)
    await expect(page.locator(".result-list")).not_to_have_attribute("aria-busy", "true")


async def test_all_of_it_by_keyboard(page: Page, running: Bridge) -> None:
    """/ goes to the text, Enter searches, Tab reaches the logs, arrows walk through them, Enter opens one."""
    await show(page, running.client.base_url.port, "search")
    await expect(rows(page)).to_have_count(100)
    await page.keyboard.press("/")
    await page.keyboard.type("order 12")
    await page.keyboard.press("Enter")
    await expect(rows(page).first.locator("mark")).to_have_text("order 12")
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.classList.contains('log-toggle')"):
            break
    await expect(rows(page).first.locator(".log-toggle")).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowUp")
    await expect(rows(page).nth(1).locator(".log-toggle")).to_be_focused()
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.keyboard.press("Enter")
    await expect(rows(page).nth(1).locator(".log-details")).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name=re.compile("Only logs with level"))).to_be_focused()
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator(".log-details")).to_have_count(0)


async def test_the_search_in_chinese_on_a_phone(visit: Visit, running: Bridge) -> None:
    """On 360 pixels, in Chinese, nothing is wider than the page, in results, an open log, and a trace."""
    page = visit.page
    await page.set_viewport_size({"width": 360, "height": 740})
    await show(page, running.client.base_url.port, "search?service_name=hostile")
    await page.get_by_role("button", name="中文").click()
    await expect(page.get_by_role("heading", name="结果")).to_be_visible()
    await expect(page.locator(".result-count")).to_have_text("第 1–3 条，共 3 条")
    await rows(page).nth(1).locator(".log-toggle").click()
    await rows(page).nth(1).get_by_text("展开").click()
    await page.locator(".more-filters summary").click()
    await page.get_by_role("button", name="添加元数据条件").click()
    await assert_fits(page)
    await show(page, running.client.base_url.port, f"search?trace_id={TRACE}&sort=time")
    await expect(page.get_by_role("heading", name="链路")).to_be_visible()
    await assert_fits(page)
    assert_at_home(visit)


@pytest.mark.parametrize(
    "place", ["search?q=order&limit=50", "search?service_name=hostile", f"search?trace_id={TRACE}&sort=time"]
)
async def test_the_search_is_accessible(page: Page, running: Bridge, place: str) -> None:
    """axe finds nothing serious, light and dark, with a log and the table open."""
    await show(page, running.client.base_url.port, place)
    await rows(page).first.locator(".log-toggle").click()
    if "sort" not in place:
        await page.get_by_text("As a table").click()
    await page.mouse.move(0, 0)
    await assert_accessible_in_colours(page)
