"""The web console as a person meets it: a real browser, a real bridge and a real log service."""

import asyncio
import contextlib
import json
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, expect
from playwright.async_api import Route as Intercepted
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Mount, Route

from logbridge.adapters.memory import MemorySink
from logbridge.entrypoints.container import close, make_container
from logbridge.entrypoints.http.app import create_app
from logbridge.entrypoints.settings import Settings
from tests.integration.browser import HOST, Visit, open_chromium
from tests.integration.processes import Bridge, bridge, end, free_port, log_service, until
from tests.integration.served import API
from tests.integration.test_docs_pages import serving
from tests.integration.test_keys import create

pytestmark = pytest.mark.browser

VIEWS = ("overview", "write", "test")
# The silence after which the console takes a bridge for lost is ten seconds.
WAIT_MS = 30_000
SEND = "form.form button.primary"


class Console:
    """The console in a browser, before a bridge. folder, port: of the log service; upstream: its process."""

    def __init__(self, visit: Visit, running: Bridge, folder: Path, port: int) -> None:
        self.visit = visit
        self.page = visit.page
        self.bridge = running
        self.folder = folder
        self.port = port
        self.upstream: subprocess.Popen[str]

    async def show(self, view: str) -> None:
        """Open a view."""
        await show(self.page, self.bridge.client.base_url.port, view)

    def stored(self) -> list[dict[str, Any]]:
        """All logs, newest first."""
        logs: list[dict[str, Any]] = self.bridge.client.get(f"{API}/query").json()["logs"]
        return logs


async def show(page: Page, port: int | None, view: str) -> None:
    await page.goto(f"http://{HOST}:{port}/console#{view}")
    await page.locator(f"main[data-view={view}]").wait_for()


@contextlib.asynccontextmanager
async def consoles(folder: Path, **variables: str) -> AsyncIterator[Console]:
    port = free_port()
    settings = {"LOGBRIDGE_OPEN": "read,test", **variables}
    with (
        log_service(folder, port) as upstream,
        bridge(folder, f"grpc://127.0.0.1:{port}", **settings) as running,
    ):
        async with open_chromium() as visit:
            visit.page.set_default_timeout(WAIT_MS)
            console = Console(visit, running, folder, port)
            console.upstream = upstream
            yield console


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    """The console of a bridge that answers everybody."""
    expect.set_options(timeout=WAIT_MS)
    async with consoles(tmp_path) as console:
        yield console


def assert_at_home(visit: Visit) -> None:
    """No request left the host, and nothing broke the policy of the page."""
    strangers = [url for url in visit.requests if urlsplit(url).hostname != HOST]
    assert [url for url in strangers if not url.startswith("data:")] == []
    # Browsers tell of every answer of 4xx and 5xx, and of every one that does not come.
    told = [
        complaint for complaint in visit.complaints if not complaint.startswith("Failed to load resource")
    ]
    assert told == []


async def module(page: Page, name: str, script: str, *arguments: Any) -> Any:
    """What a script makes of a module of the console. script: (module, ...arguments) => value."""
    return await page.evaluate(
        "async ([name, values]) => {"
        "const app = document.querySelector('script[type=module]').src;"
        f"return ({script})(await import(new URL(name, app).href), ...values) }}",
        [name, list(arguments)],
    )


def fact(page: Page, name: str) -> Locator:
    """The value beside a name."""
    return page.locator(f"dt:text-is('{name}') + dd").first


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


async def test_a_log_service_that_is_away_and_back(console: Console) -> None:
    """Away is a word and a sentence, failures lead to their service's logs; back again is told, too."""
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
    await console.show("overview")
    page, pulse = console.page, console.page.locator("#pulse")
    await expect(pulse).to_contain_text("logs/s")
    console.bridge.process.send_signal(signal.SIGSTOP)
    try:
        await expect(pulse).to_contain_text("No answer from the bridge since")
        await expect(page.locator(".notice.error")).to_contain_text("These are the figures of then")
    finally:
        console.bridge.process.send_signal(signal.SIGCONT)
    await expect(page.get_by_text("The bridge answers again.")).to_be_visible()
    await expect(pulse).to_contain_text("logs/s")
    await expect(page.locator(".notice.error")).to_have_count(0)
    assert_at_home(console.visit)


async def test_one_subscription_serves_all_views(console: Console) -> None:
    """Going from view to view asks for no second stream of statistics."""
    await console.show("overview")
    await expect(console.page.locator(".overview")).to_be_visible()
    for view in ("write", "test", "overview"):
        await console.page.locator(f"#tabs a[href='#{view}']").click()
        await console.page.locator(f"main[data-view={view}]").wait_for()
    assert len([url for url in console.visit.requests if "/stats" in url]) == 1


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


async def test_a_key_is_asked_for_where_the_session_is_not_enough(tmp_path: Path) -> None:
    """After a 401 a key can be given; the same is sent again with it, and it is kept nowhere."""
    key = create(tmp_path, "all", "--scope", "admin")
    async with consoles(tmp_path, LOGBRIDGE_KEYS_FILE=str(tmp_path / "keys.json")) as console:
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


_PROGRESS = {"done": 40, "total": 100, "success_count": 40, "failed_count": 0}
_RESULT = {
    "success": True, "total_count": 100, "success_count": 99, "failed_count": 1, "duration_seconds": 1.5,
    "logs_per_second": 66.7, "max_workers": 5, "sample_results": [],
    "error_summary": {"total_errors": 1, "sample_errors": ["<b>refused</b>"]},
    "latency_ms": {"p50": 1.5, "p90": 2.5, "p99": 9.0, "max": 12.25},
    "latency_histogram": [{"le_ms": 1.0, "count": 0}, {"le_ms": 2.0, "count": 60}, {"le_ms": None, "count": 40}],
    "throughput": [{"second": 0, "count": 80}, {"second": 1, "count": 20}],
}  # fmt: skip


class Scripted:
    """A concurrent test as events, at the pace of the test. left: the client has hung up."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()

    async def answer(self, _: Request) -> StreamingResponse:
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        told = {**_PROGRESS, "duration_seconds": 0.5, "logs_per_second": 80.0}
        try:
            yield f"event: progress\ndata: {json.dumps(told)}\n\n"
            await self.go_on.wait()
            yield f"event: result\ndata: {json.dumps(_RESULT)}\n\n"
        finally:
            self.left.set()


@pytest.fixture
async def scripted() -> AsyncIterator[tuple[Scripted, int]]:
    """A bridge whose concurrent test is scripted, and its port."""
    expect.set_options(timeout=WAIT_MS)
    script = Scripted()
    container = make_container(Settings(open=frozenset({"read", "test"})), MemorySink())
    routes = [
        Route(f"{API}/concurrent-test", script.answer, methods=["POST"]),
        Mount("/", create_app(container)),
    ]
    async with serving(Starlette(routes=routes)) as port:
        yield script, port
        script.go_on.set()
    await close(container)


@pytest.fixture
async def visit() -> AsyncIterator[Visit]:
    """A page of a headless browser."""
    async with open_chromium() as visit:
        yield visit
        # Streams of statistics would hold up the server's end.
        await visit.page.close()


async def test_a_load_test_as_events(visit: Visit, scripted: tuple[Scripted, int]) -> None:
    """Progress has numbers, goes on in another view, and ends with latencies, charts and failures as text."""
    script, port = scripted
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
    await page.locator(".chart summary").first.click()
    await expect(page.locator(".chart tbody").first.locator("tr")).to_have_text(["≤ 260", "more40"])
    assert_at_home(visit)


async def test_a_load_test_is_cancelled(visit: Visit, scripted: tuple[Scripted, int]) -> None:
    """Cancel hangs up, says what stays, and gives the focus back to Start."""
    script, port = scripted
    await show(visit.page, port, "test")
    await visit.page.locator(SEND).click()
    await expect(visit.page.locator(".progress-text")).to_contain_text("40 of 100")
    await visit.page.get_by_role("button", name="Cancel").press("Enter")
    await expect(visit.page.get_by_text("Cancelled.")).to_be_visible()
    await expect(visit.page.locator(SEND)).to_be_focused()
    await asyncio.wait_for(script.left.wait(), 30)


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
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            found = (await Axe().run(page)).response["violations"]
            grave = [fault for fault in found if fault["impact"] in ("serious", "critical")]
            assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in grave] == []
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


async def test_quoting_holds_in_a_shell(visit: Visit, scripted: tuple[Scripted, int]) -> None:
    """Whatever is in a text, a shell reads it back as one word; what is too long for a command is a file."""
    await show(visit.page, scripted[1], "write")
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


async def test_small_rules_of_the_modules(visit: Visit, scripted: tuple[Scripted, int]) -> None:
    """Integers to the last digit, shares that never round up to all, seconds told twice, gaps, stacks."""
    page = visit.page
    await show(page, scripted[1], "overview")
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
