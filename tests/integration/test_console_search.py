"""The console's search as a person meets it: a real browser, a real bridge and a real log service."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Locator, Page, expect

from tests.integration.browser import Visit
from tests.integration.console import assert_at_home, show
from tests.integration.logs_console import (
    BULK,
    HARMLESS,
    LONG,
    TRACE,
    bridge_with_store,
    stored_logs,
    write_all,
)
from tests.integration.processes import Bridge

pytestmark = pytest.mark.browser

IN_ALL = len(stored_logs())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge whose log service has logs; no test here adds to them for good."""
    with bridge_with_store(tmp_path_factory.mktemp("search")) as running:
        write_all(running, stored_logs())
        yield running


def rows(page: Page) -> Locator:
    return page.locator(".logs > .log")


async def expect_total(page: Page, total: int) -> None:
    """Wait for an answer of so many logs."""
    pattern = r"^0$" if total == 0 else rf"of {total:,}( ·|$)"
    await expect(page.locator(".result-count")).to_have_text(re.compile(pattern))


@pytest.mark.parametrize(
    ("place", "total"),
    [
        ("", IN_ALL),
        ("?level=ERROR", BULK // 5 + 1),
        ("?service_name=pay", BULK // 3 + 2),
        (f"?trace_id={TRACE}", 6),
        ("?q=ORDER+17", 111),
        ("?metadata.region=cn", BULK // 2),
        ("?metadata.region=cn&metadata.lane=3", BULK // 4),
        ("?metadata.%3Cb%3Ekey%3C%2Fb%3E=%E2%81%A6isolated%E2%81%A9", 3),
        ("?start_time=2024-08-30T11%3A59%3A00%2B02%3A00&end_time=2024-08-30T10%3A00%3A00Z", 61),
        ("?level=info&service_name=shop&metadata.region=eu", 80),
        ("?service_name=nobody", 0),
    ],
)
async def test_every_filter_of_the_hash_is_asked(
    visit: Visit, running: Bridge, place: str, total: int
) -> None:
    """A link with filters shows the logs that match all of them, and how many there are."""
    await show(visit.page, running.client.base_url.port, f"search{place}")
    await expect_total(visit.page, total)
    assert_at_home(visit)


async def test_the_form_asks_and_the_hash_keeps(page: Page, running: Bridge) -> None:
    """Enter searches; back, forward and a new load show the same question, in the form too."""
    await show(page, running.client.base_url.port, "search")
    await expect_total(page, IN_ALL)
    await page.get_by_label("Service", exact=True).fill("shop")
    await page.get_by_label("Level", exact=True).select_option("WARN")
    await page.locator(".more-filters summary").click()
    await page.get_by_role("button", name="Add a metadata filter").click()
    await page.get_by_label("Metadata key").fill("region")
    await page.get_by_label("Value").fill("eu")
    await page.keyboard.press("Enter")
    await expect_total(page, 80)
    assert urlsplit(page.url).fragment == "search?service_name=shop&level=WARN&metadata.region=eu"
    await page.get_by_label("Text in the message").fill("order 2")
    await page.keyboard.press("Enter")
    await expect(rows(page).first.locator("mark")).to_have_text("order 2")
    await page.go_back()
    await expect_total(page, 80)
    await expect(page.get_by_label("Text in the message")).to_have_value("")
    await page.go_forward()
    await expect(page.get_by_label("Text in the message")).to_have_value("order 2")
    await page.reload()
    await expect(page.get_by_label("Value")).to_have_value("eu")
    await page.get_by_role("button", name="Remove the filter “order 2”").click()
    await expect_total(page, 80)


async def test_times_of_the_form_are_of_the_browsers_zone(page: Page, running: Bridge) -> None:
    """What is typed as a time is asked for with the offset of the browser's zone."""
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})
    await show(page, running.client.base_url.port, "search")
    await page.locator(".more-filters summary").click()
    await page.get_by_label("From", exact=True).fill("2024-08-30T15:29:50")
    await page.get_by_label("To", exact=True).fill("2024-08-30T15:30:00")
    await page.keyboard.press("Enter")
    await expect_total(page, 11)
    assert "start_time=2024-08-30T15%3A29%3A50%2B05%3A30" in page.url
    await expect(rows(page).first.locator("time")).to_have_text("2024-08-30 15:30:00.000")
    await expect(rows(page).first.locator("time")).to_have_attribute(
        "title", re.compile("^2024-08-30T10:00:00")
    )
    await page.get_by_label("From", exact=True).fill("2024-08-31T00:00")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("From is later than To.")).to_be_visible()
    await expect(page.get_by_label("From", exact=True)).to_have_attribute("aria-invalid", "true")


async def test_quick_ranges(page: Page, running: Bridge, tmp_path: Path) -> None:
    """15 minutes, an hour, a day, a week and all time hold what is as old as that."""
    now = datetime.now(UTC)
    ages = {"15 min": 5, "1 h": 40, "24 h": 20 * 60, "7 days": 5 * 24 * 60, "All": 30 * 24 * 60}
    logs = [
        {"message": name, "timestamp": (now - timedelta(minutes=age)).isoformat()}
        for name, age in ages.items()
    ]
    with bridge_with_store(tmp_path) as young:
        write_all(young, logs)
        await show(page, young.client.base_url.port, "search")
        for count, name in enumerate(ages, start=1):
            button = page.get_by_role("group", name="Time range").get_by_role("button", name=name, exact=True)
            await button.click()
            await expect(rows(page)).to_have_count(count)
            await expect(button).to_have_attribute("aria-pressed", "true")
        await page.go_back()
        await expect(rows(page)).to_have_count(4)


async def test_pages_follow_each_other(page: Page, running: Bridge, tmp_path: Path) -> None:
    """Each log is on one page, also when new ones come meanwhile; the size of pages can be chosen."""
    with bridge_with_store(tmp_path) as own:
        write_all(own, [log for log in stored_logs() if log["service_name"] == "shop"])
        await show(page, own.client.base_url.port, "search?limit=50&q=order")
        seen: list[str] = []
        for turned in range(3):
            await expect(page.locator(".result-count")).to_contain_text(
                f"{turned * 50 + 1}–{turned * 50 + 50} of 800"
            )
            await expect(page.locator(".result-count")).to_contain_text(f"page {turned + 1} of 16")
            seen += await rows(page).locator(".log-message").all_inner_texts()
            assert own.write(f"order that comes meanwhile {turned}").status_code == 200
            await page.get_by_role("link", name="Next").click()
        assert seen == [f"order {number} placed" for number in range(0, 450, 3)]
        await expect(page.locator(".result-count")).to_contain_text("151–200")
        await page.get_by_role("link", name="Previous").click()
        await expect(rows(page).first.locator(".log-message")).to_have_text("order 300 placed")
        await page.get_by_label("Logs per page").select_option("200")
        await expect(page.locator(".result-count")).to_contain_text("1–200")
        await expect(rows(page)).to_have_count(200)


async def test_pages_that_end_early(page: Page, running: Bridge, tmp_path: Path) -> None:
    """A page of long logs is shorter, says so, and the next one begins where it ended."""
    with bridge_with_store(tmp_path) as own:
        for number in range(20):
            assert own.write(f"{number} {'x' * 200_000}").status_code == 200
        await show(page, own.client.base_url.port, "search")
        await expect(page.get_by_text("This page is shorter than asked for")).to_be_visible()
        there = await rows(page).count()
        assert 0 < there < 20
        await page.get_by_role("link", name="Next").click()
        await expect(page.locator(".result-count")).to_contain_text(f"{there + 1}–20 of 20")
        await page.get_by_role("link", name="Previous").click()
        await expect(page.locator(".result-count")).to_contain_text(f"1–{there} of 20")


async def test_one_click_shows_a_whole_trace(visit: Visit, running: Bridge) -> None:
    """From a log to its trace: oldest first, with offsets, spans under each other, and back again."""
    page = visit.page
    await show(page, running.client.base_url.port, "search?q=card+charged")
    await rows(page).first.locator(".log-trace").click()
    await expect(rows(page)).to_have_count(6)
    times = await rows(page).locator("time").all_inner_texts()
    assert times == ["+0 ms", "+2.5 ms", "+4 ms", "+1.2 s", "+1.3 s", "+1:01 min"]
    indents = [await row.get_attribute("class") for row in await rows(page).all()]
    depths = [re.search(r"depth-(\d)", text or "") for text in indents]
    assert [match and match[1] for match in depths] == ["0", "1", "2", "2", "1", "0"]
    await expect(page.locator(".trace-summary")).to_contain_text("6 logs of 3 services in 1:01 min")
    await expect(page.locator(".spans li")).to_have_count(3)
    await page.go_back()
    await expect_total(page, 1)
    assert_at_home(visit)


async def test_details_and_filters_by_one_click(page: Page, running: Bridge) -> None:
    """An open log shows all its fields; its level, service and metadata become filters by a click."""
    await show(page, running.client.base_url.port, "search?q=order+7+placed")
    await rows(page).locator(".log-toggle").click()
    details = page.locator(".log-details")
    stored = running.client.get("/api/v1/logs/query", params={"q": "order 7 placed"}).json()["logs"][0]
    for text in (stored["id"], stored["timestamp"], "order 7 placed"):
        await expect(details).to_contain_text(text)
    await expect(details.locator(".log-metadata tbody tr")).to_have_count(2)
    await page.evaluate("navigator.clipboard ?? (document.execCommand = (name) => { window.copied = "
                        "document.activeElement.value; return name === 'copy' })")  # fmt: skip
    await details.get_by_role("button", name="Copy as JSON").click()
    await expect(page.get_by_text("Copied.")).to_be_visible()
    assert json.loads(await page.evaluate("window.copied")) == stored
    await details.get_by_role("button", name="Only logs with region cn").click()
    await page.get_by_role("button", name="Remove the filter “order 7 placed”").click()
    await expect_total(page, BULK // 2)
    await rows(page).first.locator(".log-service").click()
    await expect_total(page, BULK // 6)
    await rows(page).first.locator(".log-level").click()
    await expect_total(page, BULK // 30)
    assert "level=INFO" in page.url


async def test_hostile_text_is_text(visit: Visit, running: Bridge) -> None:
    """Control characters and what turns text round are shown as escapes; markup and line breaks are text."""
    page = visit.page
    await show(page, running.client.base_url.port, "search?service_name=hostile")
    await expect(rows(page)).to_have_count(3)
    messages = rows(page).locator(".log-message")
    assert await messages.nth(2).text_content() == HARMLESS
    assert await messages.nth(0).text_content() == "订单已支付 🎉 👨‍👩‍👧"
    await expect(page.locator("main img")).to_have_count(0)
    assert "the end" not in await messages.nth(1).inner_text()
    await messages.nth(1).get_by_text("show all").click()
    await expect(messages.nth(1)).to_contain_text("the end")
    assert (await messages.nth(1).inner_text()).count("↵") == LONG.count("\n")
    await rows(page).nth(2).locator(".log-toggle").click()
    await expect(page.locator(".log-metadata tbody")).to_contain_text("<b>key</b>")
    await expect(page.locator(".log-metadata tbody")).to_contain_text("U+2066isolatedU+2069")
    assert_at_home(visit)


async def test_matches_are_marked(page: Page, running: Bridge) -> None:
    """What the full text found is marked, letter case ignored, also where it looks like an expression."""
    await show(page, running.client.base_url.port, "search?q=ORDER+7+PL")
    await expect(rows(page).locator("mark")).to_have_text(["order 7 pl"])
    await page.get_by_label("Text in the message").fill("(line 1)\n"[:-1])
    await page.keyboard.press("Enter")
    await rows(page).get_by_text("show all").click()
    await expect(rows(page).locator("mark").first).to_have_text("(line 1)")


async def test_refusals_are_told_at_their_field(page: Page, running: Bridge) -> None:
    """The bridge's own words stand there, and the field that they name is marked."""
    await show(page, running.client.base_url.port, "search?level=LOUD")
    await expect(page.locator(".results [role=alert]")).to_contain_text("LOUD")
    await expect(page.get_by_label("Level", exact=True)).to_have_attribute("aria-invalid", "true")
    await show(page, running.client.base_url.port, "search?start_time=yesterday")
    await expect(page.locator(".results [role=alert]")).to_contain_text("start_time")
    await expect(page.get_by_label("From", exact=True)).to_have_attribute("aria-invalid", "true")


async def test_empty_answers_say_what_to_do(page: Page, running: Bridge, tmp_path: Path) -> None:
    """Nothing found: search a longer time. Nothing stored: write one. Behind the end: to the first page."""
    await show(page, running.client.base_url.port, "search?q=order+7+placed&last=15m")
    await page.get_by_role("button", name="Search all time").click()
    await expect_total(page, 1)
    await show(page, running.client.base_url.port, "search?offset=90000")
    await page.get_by_role("button", name="To the first page").click()
    await expect_total(page, IN_ALL)
    with bridge_with_store(tmp_path) as bare:
        await show(page, bare.client.base_url.port, "search")
        await expect(page.get_by_role("link", name="Write a log")).to_be_visible()


async def test_exports_hold_what_is_asked(page: Page, running: Bridge, tmp_path: Path) -> None:
    """The links save the logs of the filters, in both formats."""
    await show(page, running.client.base_url.port, "search?service_name=hostile")
    for name, lines in (("NDJSON", 3), ("CSV", 4)):
        async with page.expect_download() as coming:
            await page.get_by_role("link", name=name).click()
        await (await coming.value).save_as(tmp_path / name)
        saved = (tmp_path / name).read_text(encoding="utf-8")
        if name == "NDJSON":
            assert [json.loads(line)["service_name"] for line in saved.splitlines()] == ["hostile"] * lines
        else:
            assert saved.startswith("id,timestamp,level,service_name,message")
