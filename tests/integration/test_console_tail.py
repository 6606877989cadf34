"""The console's live tail as a person meets it: a real browser, a real bridge and a real log service."""

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.integration.browser import Visit
from tests.integration.console import assert_accessible_in_colours, assert_at_home, assert_fits, show
from tests.integration.logs_console import HARMLESS, HOSTILE, TRACE, bridge_with_store, stored_logs, write_all
from tests.integration.processes import Bridge, bridge, end, free_port, log_service

pytestmark = pytest.mark.browser

# Until the next one is drawn.
PICTURE = "new Promise(requestAnimationFrame)"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge with its log service; each page follows what is new to it."""
    with bridge_with_store(tmp_path_factory.mktemp("tail")) as running:
        yield running


def rows(page: Page) -> Locator:
    return page.locator(".tail-list > .log")


def state(page: Page, name: str) -> Locator:
    return page.locator(f".tail-state[data-state={name}]")


async def follow(page: Page, running: Bridge, place: str = "tail") -> None:
    """Open the tail and wait until it follows."""
    await show(page, running.client.base_url.port, place)
    await state(page, "following").wait_for()


async def wait_until_sent_to(page: Page, running: Bridge, message: str = "mark") -> None:
    """Write a log and wait until the page shows it: what came before it has come, too."""
    assert running.write(message).status_code == 200
    await expect(page.locator(".log-message").get_by_text(message, exact=True)).to_be_visible()


async def test_new_logs_show(visit: Visit, running: Bridge) -> None:
    """A log is shown as it is stored, hostile text as text; it opens, and leads to its trace."""
    page = visit.page
    assert running.write("stored before").status_code == 200
    await follow(page, running)
    assert running.write("你好 🎉", trace_id=TRACE, span_id="s").status_code == 200
    assert running.write(HOSTILE, level="FATAL", user="<b>").status_code == 200
    await expect(rows(page)).to_have_count(2)
    assert await rows(page).nth(1).locator(".log-message").text_content() == HARMLESS
    await rows(page).nth(1).locator(".log-toggle").press("Enter")
    await expect(page.locator(".log-metadata tbody")).to_contain_text("<b>")
    await expect(page.locator(".to-newest")).to_be_visible()
    await rows(page).first.locator(".log-trace").click()
    await expect(page.get_by_role("heading", name="Trace")).to_be_visible()
    assert_at_home(visit)


async def test_filters_of_the_tail(page: Page, running: Bridge) -> None:
    """Levels, service, text and metadata hold together; they stand in the hash and survive a reload."""
    await follow(page, running)
    for level in ("DEBUG", "INFO"):
        await page.get_by_role("checkbox", name=level).uncheck()
    await page.get_by_label("Service", exact=True).fill("shop")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(r"#tail\?service_name=shop&level=WARN%2CERROR%2CFATAL$"))
    await page.reload()
    await state(page, "following").wait_for()
    for level in ("INFO", "WARN", "ERROR"):
        for service in ("shop", "pay"):
            assert running.write("m", level=level, service_name=service).status_code == 200
    await expect(rows(page)).to_have_count(2)
    await expect(rows(page).locator(".log-level")).to_have_text(["WARN", "ERROR"])
    await show(page, running.client.base_url.port, "tail?q=NEEDLE&level=error&metadata.user=7")
    await state(page, "following").wait_for()
    for text, user in (("a needle", "7"), ("a needle", "8"), ("hay", "7"), ("needles", "7")):
        assert running.write(text, level="ERROR", user=user).status_code == 200
    await expect(rows(page)).to_have_count(2)
    await expect(rows(page).locator("mark")).to_have_text(["needle", "needle"])
    await page.get_by_role("checkbox", name="ERROR").uncheck()
    await expect(page.get_by_text("Choose at least one level.")).to_be_visible()


async def test_pause_counts_and_resume_shows(page: Page, running: Bridge) -> None:
    """While paused, new logs are counted and not shown; resuming shows them in order; the list clears."""
    await follow(page, running)
    await wait_until_sent_to(page, running)
    await page.get_by_role("button", name="Pause").click()
    await state(page, "paused").wait_for()
    for number in range(128):
        assert running.write(f"m{number}").status_code == 200
    await expect(page.locator(".tail-rate")).to_have_text("128 new")
    await expect(rows(page)).to_have_count(1)
    await page.get_by_role("button", name="Resume").click()
    await expect(rows(page)).to_have_count(129)
    assert (await rows(page).locator(".log-message").all_inner_texts())[1:] == [
        f"m{number}" for number in range(128)
    ]
    await page.get_by_role("button", name="Clear the list").click()
    await expect(rows(page)).to_have_count(0)
    await wait_until_sent_to(page, running, "after")


async def test_a_thousand_rows_are_kept(page: Page, running: Bridge) -> None:
    """The list keeps the newest 1,000, and what is left out is told."""
    await follow(page, running)
    await page.get_by_role("button", name="Pause").click()
    write_all(running, [{"message": f"m{number}"} for number in range(3000)])
    await expect(page.locator(".tail-rate")).to_have_text("3,000 new")
    await page.get_by_role("button", name="Resume").click()
    await expect(rows(page).last.locator(".log-message")).to_have_text("m2999")
    await expect(rows(page)).to_have_count(1000)
    await expect(page.locator(".tail-count")).to_have_text("1,000 shown · 2,000 not shown")
    await wait_until_sent_to(page, running)
    await expect(rows(page)).to_have_count(1000)
    await expect(rows(page).first.locator(".log-message")).to_have_text("m2001")


FLOOD = [{"message": f"flood {number}", "user": "u" * 40} for number in range(500)]


async def pour(page: Page, running: Bridge, times: int = 1) -> None:
    """More logs than are shown, again each time that the page has drawn: never far ahead of a slow one."""
    for _ in range(times):
        await asyncio.gather(asyncio.to_thread(write_all, running, FLOOD), page.evaluate(PICTURE))


async def test_a_flood_is_sampled_and_the_page_answers(visit: Visit, running: Bridge) -> None:
    """With more logs than can be shown it says that it samples, goes on drawing, and pauses at once."""
    page = visit.page
    await follow(page, running)
    rate = page.locator(".tail-rate")
    while not re.fullmatch(r"Showing 1 of [\d,]+ logs, [\d,]+/s", await rate.inner_text()):
        await pour(page, running)
    await pour(page, running, 10)
    pause = page.get_by_role("button", name="Pause")
    await asyncio.gather(pour(page, running, 5), pause.click())
    await state(page, "paused").wait_for()
    await pour(page, running, 5)
    await expect(rate).to_have_text(re.compile(r"[1-9][\d,]* new"))
    resume = page.get_by_role("button", name="Resume")
    await asyncio.gather(pour(page, running, 5), resume.click())
    await state(page, "following").wait_for()
    assert await rows(page).count() <= 1000
    # Of the last ones, too, some are not shown.
    while not await page.locator(".log-message").get_by_text("after the flood", exact=True).count():
        assert running.write("after the flood").status_code == 200
        await page.evaluate(PICTURE)
    await expect(page.locator(".tail-count")).to_contain_text("not shown")
    assert_at_home(visit)


async def test_scrolling_up_stays_there(page: Page, running: Bridge) -> None:
    """Who reads further up is not pulled away; a button leads to the newest, and following goes on."""
    await follow(page, running)
    write_all(running, [{"message": f"m{number}"} for number in range(150)])
    await expect(rows(page)).to_have_count(150)
    box = page.locator(".tail-box")
    await box.evaluate("box => { box.scrollTop = 0 }")
    button = page.get_by_role("button", name="To the newest")
    await expect(button).to_be_visible()
    assert running.write("newer").status_code == 200
    await expect(rows(page)).to_have_count(151)
    assert await box.evaluate("box => box.scrollTop") == 0
    await button.click()
    await expect(rows(page).last).to_be_in_viewport()
    await wait_until_sent_to(page, running, "newest")
    await expect(rows(page).last).to_be_in_viewport()
    await expect(button).to_be_hidden()


async def test_a_lost_log_service_is_told_and_nothing_is_missed(page: Page, tmp_path: Path) -> None:
    """Reconnecting is a word; once it is back the tail goes on behind the last log it had."""
    port = free_port()
    with bridge(tmp_path, f"grpc://127.0.0.1:{port}", LOGBRIDGE_OPEN="read") as own:
        with log_service(tmp_path, port) as service:
            await follow(page, own)
            await wait_until_sent_to(page, own, "one")
            await asyncio.to_thread(end, service)
            await state(page, "reconnecting").wait_for()
        with log_service(tmp_path, port):
            await asyncio.to_thread(_until_written, own)
            await state(page, "following").wait_for()
            await expect(rows(page).locator(".log-message")).to_have_text(["one", "two"])


def _until_written(own: Bridge) -> None:
    # The same id each time: what was answered with an error may have been written.
    while own.write("two", log_id="two").status_code != 200:
        threading.Event().wait(0.05)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, "session has ended"),
        (403, "You may not read"),
        (501, "cannot be followed"),
        (422, "does not accept this filter"),
    ],
)
async def test_refusals_are_explained(page: Page, running: Bridge, status: int, text: str) -> None:
    """What makes no sense to ask again is not asked again by itself; the bridge's reason stands there."""
    asked: list[str] = []
    problem = {"type": "about:blank", "status": status, "detail": "q: the reason"}

    async def refuse(route: Any) -> None:
        asked.append(route.request.url)
        await route.fulfill(status=status, json=problem)

    await page.route("**/tail", refuse)
    await page.route("**/tail?*", refuse)
    await show(page, running.client.base_url.port, "tail")
    await expect(state(page, "lost")).to_contain_text(text)
    assert len(asked) == 1
    await page.unroute_all()
    await page.get_by_role("button", name="Try again").click()
    await state(page, "following").wait_for()


async def test_the_tail_by_keyboard(page: Page, running: Bridge) -> None:
    """/ filters, arrows walk, Enter opens, and pausing needs no mouse."""
    await follow(page, running)
    await page.keyboard.press("/")
    await page.keyboard.type("key")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("#tail\\?q=key$"))
    await state(page, "following").wait_for()
    for number in range(3):
        assert running.write(f"key {number}").status_code == 200
    await expect(rows(page)).to_have_count(3)
    await page.get_by_role("button", name="Pause").focus()
    await page.keyboard.press("Space")
    await state(page, "paused").wait_for()
    await rows(page).first.locator(".log-toggle").focus()
    await page.keyboard.press("End")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    await expect(rows(page).nth(1).locator(".log-details")).to_contain_text("key 1")


async def test_counts_move_no_button(page: Page, running: Bridge) -> None:
    """On a phone, too, where long counts take more lines, the buttons of the tail stay where they are."""
    await page.set_viewport_size({"width": 360, "height": 740})
    await show(page, running.client.base_url.port, "tail")
    before, after = await page.evaluate(
        "() => { const top = () => document.querySelector('.tail-pause').getBoundingClientRect().top;"
        "const before = top(); document.querySelector('.tail-count').textContent = 'many '.repeat(99);"
        "return [before, top()] }"
    )
    assert before == after


async def test_the_tail_in_chinese_on_a_phone(visit: Visit, running: Bridge) -> None:
    """In Chinese on 360 pixels nothing is wider than the page, and axe finds nothing serious."""
    page = visit.page
    await page.set_viewport_size({"width": 360, "height": 740})
    await follow(page, running)
    await page.get_by_role("button", name="中文").click()
    await expect(state(page, "following")).to_have_text("正在跟踪")
    write_all(running, [log for log in stored_logs() if log["service_name"] == "hostile"])
    await expect(rows(page)).to_have_count(3)
    await rows(page).nth(1).locator(".log-toggle").click()
    await expect(page.get_by_role("button", name="跳到最新")).to_be_visible()
    await assert_fits(page)
    await assert_accessible_in_colours(page)
    await page.locator(".tail-filters > summary").click()
    await assert_fits(page)
    assert_at_home(visit)


async def test_the_tail_is_accessible(page: Page, running: Bridge) -> None:
    """axe finds nothing serious, light and dark, with logs, a filter and pause."""
    await follow(page, running, "tail?metadata.region=cn")
    write_all(running, stored_logs()[:40])
    await expect(rows(page)).to_have_count(20)
    await rows(page).last.locator(".log-toggle").click()
    await page.get_by_role("button", name="Pause").click()
    await page.mouse.move(0, 0)
    await assert_accessible_in_colours(page)
