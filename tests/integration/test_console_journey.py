"""A day with the console: every view used one after another, before 100,000 stored logs."""

import asyncio
import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.integration.browser import HOST
from tests.integration.console import SEND, Console, assert_accessible, assert_at_home, consoles, fact
from tests.integration.logs_console import BATCH, HARMLESS, LEVELS, TRACE, stored_logs, write_all

pytestmark = pytest.mark.browser

STORED = 100_000
ROUNDS = STORED // BATCH
SPECIAL = stored_logs()[-9:]
NEEDLE = "order 77 77"


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    """The console of a bridge whose log service keeps 100,000 logs; nine of them are a trace and oddities."""
    async with consoles(tmp_path) as console:
        plain = STORED - len(SPECIAL)
        logs = [
            {
                "message": f"order {number % ROUNDS} {number // ROUNDS}",
                "level": LEVELS[number % 5],
                "service_name": "shop" if number % 4 else "pay",
                "timestamp": f"2024-08-{1 + number % 28:02d}T{number % 24:02d}:{number % 60:02d}:00Z",
                "metadata": {"region": ("eu", "cn")[number % 2]},
            }
            for number in range(plain)
        ]
        await asyncio.to_thread(write_all, console.bridge, logs + SPECIAL)
        yield console


async def test_a_day_with_the_console(console: Console, tmp_path: Path) -> None:
    """Look, search, narrow, turn pages, follow a trace, export, write, tail and test: all of it works, in one
    session, with 100,000 logs stored, in both languages."""
    page = console.page
    await _look(console)
    await _search(page)
    await _narrow(page)
    await _follow_the_trace(page)
    await _export(page, tmp_path)
    await _tail_what_is_written(console)
    await _test_the_load(console)
    await _in_the_other_language(page)
    assert_at_home(console.visit)
    await asyncio.to_thread(_look_from_a_terminal, console)


async def _view(page: Page, name: str) -> None:
    await page.locator(f"#tabs a[href='#{name}']").click()
    await page.locator(f"main[data-view={name}]").wait_for()


async def _look(console: Console) -> None:
    await console.show("overview")
    page = console.page
    await expect(fact(page, "Logs since the start")).to_have_text(f"{STORED:,}")
    await expect(page.get_by_text("available", exact=True)).to_be_visible()
    await expect(page.locator(".picture canvas")).to_have_count(2)
    assert console.bridge.write("", service_name="shop").status_code == 422
    await expect(page.locator("main")).to_contain_text("$.message")
    await assert_accessible(page)


async def _found(page: Page, total: int) -> None:
    await expect(page.locator(".result-count")).to_contain_text(re.compile(rf"of {total:,}( ·|$)"))


def _total(shown: str) -> int:
    found = re.search(r"of ([\d,]+)", shown)
    assert found, shown
    return int(found[1].replace(",", ""))


async def _search(page: Page) -> None:
    await _view(page, "search")
    await _found(page, STORED)
    await expect(page.locator(".logs > .log").first).to_be_visible()
    await page.get_by_label("Text in the message").fill(NEEDLE.upper())
    await page.keyboard.press("Enter")
    expected = len([n for n in range(STORED // ROUNDS) if str(n).startswith("77")])
    await _found(page, expected)
    await expect(page.locator(".logs mark").first).to_have_text(NEEDLE)
    await page.get_by_role("button", name=re.compile("Remove the filter")).click()
    await _found(page, STORED)


async def _narrow(page: Page) -> None:
    """By the form, by a bar of the histogram, and page by page to the end of it."""
    await page.get_by_label("Level", exact=True).select_option("ERROR")
    await page.get_by_label("Service", exact=True).fill("pay")
    await page.keyboard.press("Enter")
    count = page.locator(".result-count")
    await expect(count).to_contain_text(re.compile(r"of 4,99\d|of 5,000"))
    whole = (await count.inner_text()).partition("of ")[2].partition(" ")[0]
    await expect(page.locator(".histogram")).to_contain_text(f"{whole} logs from")
    bars = page.locator(".histogram-bars")
    box = await bars.bounding_box()
    assert box
    await page.mouse.move(box["x"] + box["width"] * 0.72, box["y"] + box["height"] / 2)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.88, box["y"] + box["height"] / 2, steps=5)
    await page.mouse.up()
    await expect(count).not_to_contain_text(f"of {whole}")
    await expect(count).to_contain_text("of ")
    assert 50 < _total(await count.inner_text()) < _total(f"of {whole}")
    await page.get_by_role("link", name="Next").click()
    await expect(count).to_contain_text("page 2")
    await expect(page.locator(".log-level").first).to_have_text("ERROR")
    await page.get_by_role("button", name="All time").click()


async def _follow_the_trace(page: Page) -> None:
    await page.goto(f"{page.url.partition('#')[0]}#search?q=card+charged")
    await _found(page, 1)
    await page.locator(".logs > .log .log-trace").click()
    await expect(page.locator(".trace-summary")).to_contain_text("6 logs of 3 services")
    assert TRACE in page.url
    await page.goto(f"{page.url.partition('#')[0]}#search?service_name=hostile&level=WARN")
    await _found(page, 1)
    assert await page.locator(".log-message").first.text_content() == HARMLESS


async def _export(page: Page, folder: Path) -> None:
    await page.goto(f"{page.url.partition('#')[0]}#search?level=FATAL&metadata.region=cn")
    expected = STORED // 10
    await expect(page.locator(".result-count")).to_contain_text(re.compile(r"of (10,000|9,99\d)"))
    for name in ("NDJSON", "CSV"):
        async with page.expect_download() as coming:
            await page.get_by_role("link", name=name).click()
        await (await coming.value).save_as(folder / name)
    lines = (folder / "NDJSON").read_text(encoding="utf-8").splitlines()
    assert expected - 10 < len(lines) <= expected
    assert {json.loads(line)["level"] for line in lines} == {"FATAL"}
    with (folder / "CSV").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(lines)


async def _tail_what_is_written(console: Console) -> None:
    """A log of the form, and the same again by the command beside it, come in the tail of another tab."""
    page = console.page
    async with page.expect_popup() as opening:
        await page.evaluate("window.open('#tail?service_name=form'), null")
    other = await opening.value
    await other.locator(".tail-state[data-state=following]").wait_for()
    await _view(page, "write")
    await page.locator("[name=message]").fill("订单 it's done")
    await page.locator("[name=service_name]").fill("form")
    await page.locator(SEND).click()
    await expect(page.locator(".answer b")).to_have_text(re.compile("^200"))
    command = (await page.locator("pre.command").inner_text()).replace(HOST, "127.0.0.1")
    assert shutil.which("curl")
    await asyncio.to_thread(subprocess.run, ["sh", "-c", command], capture_output=True, check=True)
    messages = other.locator(".tail-list .log-message")
    await expect(messages).to_have_text(["订单 it's done"] * 2)
    await other.get_by_role("button", name="Pause").click()
    assert console.bridge.write("while paused", service_name="form").status_code == 200
    await expect(other.locator(".tail-rate")).to_have_text("1 new")
    await expect(messages).to_have_count(2)
    await other.get_by_role("button", name="Resume").click()
    await expect(messages).to_have_count(3)
    await other.close()
    await page.get_by_role("link", name="Find it").click()
    await _found(page, 2)


async def _test_the_load(console: Console) -> None:
    """One test is cancelled while its bar moves, another one shows what it found."""
    page = console.page
    await _view(page, "test")
    await page.locator("[name=count]").fill("10000")
    await page.locator("[name=max_workers]").fill("1")
    await page.locator(SEND).click()
    await expect(page.locator(".progress-text")).to_contain_text("logs/s")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_text("Cancelled.")).to_be_visible()
    await page.locator("[name=count]").fill("1000")
    await page.locator("[name=max_workers]").fill("20")
    await page.locator(SEND).click()
    await expect(page.locator(".result")).to_contain_text("1,000")
    await expect(page.locator(".result .picture canvas, .picture canvas")).not_to_have_count(0)
    await assert_accessible(page)


async def _in_the_other_language(page: Page) -> None:
    await page.get_by_role("button", name="中文").click()
    await expect(page.locator("html")).to_have_attribute("lang", re.compile("^zh"))
    for view in ("overview", "search", "tail", "write", "test"):
        await _view(page, view)
        await expect(page.locator("main")).to_contain_text(re.compile("[一-鿿]{2}"))
        await assert_accessible(page)


def _look_from_a_terminal(console: Console) -> None:
    """`logbridge top` tells the same."""
    url = str(console.bridge.client.base_url)
    command = [sys.executable, "-m", "logbridge", "top", "--once", "--json", "--url", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=console.folder)
    assert json.loads(said.stdout)["performance"]["logs"]["accepted"] > STORED
