"""The console's forms: what is sent is what is shown, and every answer is told in words."""

import asyncio
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Route as Intercepted
from playwright.async_api import expect

from tests.integration.browser import HOST, Visit
from tests.integration.console import (
    SEND,
    Console,
    Scripted,
    assert_at_home,
    consoles,
    fact,
    module,
    scripted_bridge,
    show,
)
from tests.integration.processes import end
from tests.integration.test_keys import create

pytestmark = pytest.mark.browser


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    """The console of a bridge that answers everybody."""
    async with consoles(tmp_path) as console:
        yield console


@pytest.fixture
async def scripted() -> AsyncIterator[tuple[Visit, Scripted, int]]:
    """A browser, and a bridge whose concurrent test is scripted, with its port."""
    async with scripted_bridge() as scripted:
        yield scripted


HOSTILE = "it's \"q\" $HOME `id` !! \\ \\' %s\n\t-- 订单 🚀 \u0000 </script>"


async def test_a_write_and_its_command_do_the_same(console: Console) -> None:
    """What the form sends is what the command says: run by a shell, it stores the same log once more."""
    await console.show("write")
    page = console.page
    for name, value in (
        ("message", HOSTILE),
        ("service_name", "o'shop"),
        ("trace_id", "t-1"),
        ("adv_id", "9007199254740993"),
    ):
        await page.locator(f"[name={name}]").fill(value)
    await page.get_by_label("Name 1").fill("__proto__")
    await page.get_by_label("Value 1").fill("a'b")
    command = shlex.split(await page.locator("pre.command").inner_text())
    async with page.expect_request("**/write") as sent:
        await page.locator(SEND).click()
    assert command[-2:] == ["--data-raw", (await sent.value).post_data]
    await expect(page.locator(".answer")).to_contain_text("200")
    find = page.get_by_role("link", name="Find it")
    assert await find.get_attribute("href") == "#search?trace_id=t-1&service_name=o%27shop"
    (first,) = console.stored()
    shell = (await page.locator("pre.command").inner_text()).replace(HOST, "127.0.0.1")
    assert shutil.which("curl")
    answer = await asyncio.to_thread(subprocess.run, ["sh", "-c", shell], capture_output=True, check=True)
    assert json.loads(answer.stdout)["success"] is True
    for log in (first, *console.stored()[:1]):
        assert (log["message"], log["service_name"]) == (HOSTILE, "o'shop")
        assert log["metadata"] == {"adv_id": "9007199254740993", "__proto__": "a'b"}
    assert len(console.stored()) == 2
    assert_at_home(console.visit)


async def test_a_refused_write_marks_its_field(console: Console) -> None:
    """The field that the bridge names is marked, has the reason beside it, and the focus; then it is not."""
    await console.show("write")
    page, field = console.page, console.page.locator("[name=adv_id]")
    await page.locator("[name=message]").fill("m")
    await field.fill("12x")
    await page.locator(SEND).click()
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_be_focused()
    await expect(page.locator("#wrong")).to_have_text("$.adv_id: Expected `int | null`, got `str`")
    await expect(page.locator(".answer b")).to_have_text(re.compile("^422"))
    await field.fill("12")
    await field.press("Control+Enter")
    await expect(page.locator(".answer b")).to_have_text(re.compile("^200"))
    await expect(page.locator("[aria-invalid]")).to_have_count(0)


async def test_a_batch_and_what_was_typed_stays(console: Console) -> None:
    """A batch tells what became of each log; after a reload the form holds what was typed."""
    await console.show("write")
    page = console.page
    await page.get_by_label("A batch").check()
    entries = page.locator("[name=entries]")
    await entries.fill("[{")
    await page.locator(SEND).click()
    await expect(page.locator("#wrong")).to_contain_text("Not JSON")
    await entries.fill('[{"message": "one", "trace_id": "b"}, {"message": "", "trace_id": "b"}]')
    await page.locator(SEND).click()
    await expect(fact(page, "Written")).to_have_text("1 of 2")
    await expect(page.locator(".answer li")).to_contain_text(["Entry 1: $.message"])
    find = page.get_by_role("link", name="Find them")
    assert await find.get_attribute("href") == "#search?trace_id=b"
    await page.reload()
    await expect(entries).to_have_value(re.compile("one"))


async def test_durable_writes_and_metadata_as_json(tmp_path: Path) -> None:
    """With a spool a durable write is answered 202 and says so; metadata given as JSON goes as it is."""
    async with consoles(tmp_path, LOGBRIDGE_SPOOL="sqlite:///./spool") as console:
        await console.show("write")
        page = console.page
        await page.locator("[name=message]").fill("m")
        await page.get_by_label("As JSON").check()
        await page.locator("[name=metadata]").fill('{"n": 12345678901234567890}')
        await page.get_by_label("Durable").check()
        await expect(page.locator("pre.command")).to_contain_text("prefer: respond-async")
        async with page.expect_request("**/write") as sent:
            await page.locator(SEND).click()
        assert '"metadata": {"n": 12345678901234567890}' in str((await sent.value).post_data)
        await expect(page.locator(".answer b")).to_have_text(re.compile("^202"))
        await expect(page.get_by_text("will be delivered")).to_be_visible()


async def test_whoever_logs_in_writes_and_tests(tmp_path: Path) -> None:
    """With keys nothing shows before one is given; then its session is enough for all that it may do."""
    key = create(tmp_path, "all", "--scope", "admin")
    keys = {"LOGBRIDGE_KEYS_FILE": str(tmp_path / "keys.json"), "LOGBRIDGE_OPEN": ""}
    async with consoles(tmp_path, **keys) as console:
        page = console.page
        await page.goto(f"http://{HOST}:{console.bridge.client.base_url.port}/console#write")
        await page.locator("input[name=key]").fill("lbk_wrong")
        await page.locator(".login button").click()
        await expect(page.locator(".login [role=alert]")).to_be_visible()
        await expect(page.locator("[name=message]")).to_have_count(0)
        await page.locator("input[name=key]").fill(key)
        await page.locator(".login button").click()
        await page.locator("[name=message]").fill("m")
        async with page.expect_request("**/write") as sent:
            await page.locator(SEND).click()
        assert "x-api-key" not in (await sent.value).headers
        await expect(page.locator(".answer b")).to_have_text(re.compile("^200"))
        await console.show("test")
        await page.locator("[name=count]").fill("20")
        await page.locator(SEND).click()
        await expect(page.get_by_text("The test is over.")).to_be_visible()
        await console.show("search")
        await expect(page.locator(".logs > .log")).to_have_count(21)
        await page.get_by_role("button", name="Log out all").click()
        await expect(page.locator("input[name=key]")).to_be_visible()


async def test_a_key_is_asked_for_where_the_session_is_not_enough(tmp_path: Path) -> None:
    """After a 401 a key can be given; the same is sent again with it, and it is kept nowhere."""
    key = create(tmp_path, "all", "--scope", "admin")
    keys = {"LOGBRIDGE_KEYS_FILE": str(tmp_path / "keys.json"), "LOGBRIDGE_OPEN": ""}
    async with consoles(tmp_path, **keys) as console:
        page = console.page
        await page.goto(f"http://{HOST}:{console.bridge.client.base_url.port}/console#write")
        await page.locator("input[name=key]").fill(key)
        await page.locator(".login button").click()
        await page.locator("[name=message]").fill("m")
        await expect(page.locator("pre.command")).to_contain_text("x-api-key: YOUR-KEY")

        async def without_session(route: Intercepted) -> None:
            if "x-api-key" in route.request.headers:
                await route.continue_()
            else:
                await route.fulfill(status=401, json={"status": 401, "detail": "needs a key"})

        await page.route("**/write", without_session)
        await page.locator(SEND).click()
        await page.get_by_label("Key for this page").fill(key)
        await page.get_by_role("button", name="Send again with it").click()
        await expect(page.locator(".answer b")).to_have_text(re.compile("^200"))
        kept = await page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
        assert key not in kept


async def test_a_load_test_and_what_refuses_it(console: Console) -> None:
    """A test on a real bridge shows its totals; more than a limit is refused before it is sent."""
    await console.show("test")
    page = console.page
    await expect(page.get_by_text("1 to 10,000")).to_be_visible()
    await expect(page.get_by_text("1 to 50", exact=True)).to_be_visible()
    await page.locator("[name=count]").fill("10001")
    await page.locator(SEND).click()
    assert await page.locator("[name=count]").evaluate("input => input.validity.rangeOverflow")
    await page.locator("[name=count]").fill("300")
    await page.locator(SEND).click()
    await expect(page.locator(".result")).to_contain_text("300")
    await expect(page.get_by_text("The test is over.")).to_be_visible()
    assert len(console.stored()) == 100
    assert_at_home(console.visit)


async def test_a_load_test_that_fails_says_why(console: Console) -> None:
    """With the log service away the reasons are listed beside the totals."""
    end(console.upstream)
    await console.show("test")
    await console.page.locator("[name=count]").fill("20")
    await console.page.locator(SEND).click()
    await expect(console.page.locator(".notice.error")).to_contain_text("nothing was written")
    await expect(console.page.get_by_text("Failures: 20")).to_be_visible()
    await expect(console.page.locator(".samples li").first).to_be_visible()


async def test_a_load_test_as_events(scripted: tuple[Visit, Scripted, int]) -> None:
    """Progress has numbers, goes on in another view, and ends with latencies, charts and failures as text."""
    visit, script, port = scripted
    page = visit.page
    await show(page, port, "test")
    await page.locator(SEND).click()
    await expect(page.locator(".progress-text")).to_have_text("40 of 100 · 80 logs/s · 0 failed · 0.5 s")
    assert await page.locator("progress").evaluate("bar => bar.value") == 0.4
    await page.locator("#tabs a[href='#write']").click()
    await page.locator("main[data-view=write]").wait_for()
    script.go_on.set()
    await page.locator("#tabs a[href='#test']").click()
    await expect(page.locator(".result")).to_contain_text("12.3 ms")
    await expect(page.locator(".picture canvas")).to_have_count(2)
    await expect(page.locator(".samples li")).to_have_text(["<b>refused</b>"])
    await expect(page.locator(".legend b")).to_have_text(["100", "100"])
    label = "Latency of writes, logs. ≤ 2: 60; more: 40."
    await expect(page.get_by_role("img", name=label)).to_be_visible()
    await page.locator(".chart summary").first.click()
    await expect(page.locator(".chart tbody").first.locator("tr")).to_have_text(["≤ 260", "more40"])
    assert_at_home(visit)


async def test_a_load_test_is_cancelled(scripted: tuple[Visit, Scripted, int]) -> None:
    """Cancel hangs up, says what stays, and gives the focus back to Start."""
    visit, script, port = scripted
    await show(visit.page, port, "test")
    await visit.page.locator(SEND).click()
    await expect(visit.page.locator(".progress-text")).to_contain_text("40 of 100")
    await visit.page.get_by_role("button", name="Cancel").press("Enter")
    await expect(visit.page.get_by_text("Cancelled.")).to_be_visible()
    await expect(visit.page.locator(SEND)).to_be_focused()
    await asyncio.wait_for(script.left.wait(), 30)


async def test_quoting_holds_in_a_shell(scripted: tuple[Visit, Scripted, int]) -> None:
    """Whatever is in a text, a shell reads it back as one word; what is too long for a command is a file."""
    visit, _, port = scripted
    await show(visit.page, port, "write")
    texts = [
        "",
        "'",
        "''",
        "a'b'c",
        "'; touch /tmp/x; '",
        "$(id)`id`",
        "!!",
        "\\'",
        "a\nb\r\t",
        "--",
        "订单🚀",
        '"',
        "\u2019",
    ]
    for text in texts:
        quoted = await module(visit.page, "curl.js", "(it, text) => it.quoted(text)", text)
        said = await asyncio.to_thread(
            subprocess.run, ["sh", "-c", f"printf %s {quoted}"], capture_output=True
        )
        assert (said.returncode, said.stdout.decode()) == (0, text)
    long = await module(visit.page, "curl.js", "it => it.curl('http://a', {}, \"'\".repeat(50000))")
    assert long.endswith("--data-binary @body.json")


async def test_small_rules_of_the_modules(scripted: tuple[Visit, Scripted, int]) -> None:
    """Integers to the last digit, shares that never round up to all, seconds told twice, gaps, stacks."""
    visit, _, port = scripted
    page = visit.page
    await show(page, port, "overview")
    numbers = {
        "007": "7",
        "-12": "-12",
        "9007199254740993": "9007199254740993",
        "1e3": '"1e3"',
        "1.5": '"1.5"',
        "NaN": '"NaN"',
    }
    for typed, sent in numbers.items():
        assert await module(page, "curl.js", "(it, text) => it.integer(text)", typed) == sent
    shares = await module(page, "overview.js", "it => [0, 0.5, 0.99999, 1].map(it.percent)")
    assert shares == ["0%", "50%", "99.9%", "100%"]
    told = "(it, old, more) => it.joined(old, more).map(({ time, n }) => [time, n])"
    old, more = [{"time": 1, "n": 1}, {"time": 400, "n": 1}], [{"time": 400, "n": 2}, {"time": 401, "n": 3}]
    assert await module(page, "pulse.js", told, old, more) == [[400, 2], [401, 3]]
    line = (
        "it => { const [xs, [c]] = it.timeline([{time: 1000, n: 5}, {time: 1002, n: 7}], ['n'], (p) => p.n);"
    )
    line += "return [xs.length, xs[299], c.slice(-3)] }"
    assert await module(page, "overview.js", line) == [300, 1002, [5, None, 7]]
    stack = await module(page, "chart.js", "it => it.prepared([0, 1], [[1, null], [2, null]], true)")
    assert stack == [[0, 1], [3, None], [1, None]]
    bins = [{"le_ms": 1, "count": 0}, {"le_ms": 2, "count": 3}, {"le_ms": 3, "count": 0}]
    assert await module(page, "test-report.js", "(it, bins) => it.trimmed(bins)", bins) == bins[1:2]
    fields = "it => [[422, '$.adv_id: x'], [409, 'taken'], [400, 'not JSON'], [422, '$.metadata.a: x']]"
    assert await module(page, "request.js", fields + ".map((one) => it.fieldOf(...one))") == [
        "adv_id", "log_id", "", "metadata",
    ]  # fmt: skip
