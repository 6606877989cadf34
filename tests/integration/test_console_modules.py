"""The console's modules by themselves, in a browser, with what nobody should have sent."""

import re
import unicodedata
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from playwright.async_api import Page

from tests.integration.console import module, show, visits
from tests.integration.processes import Bridge, bridge
from tests.integration.served import API

pytestmark = pytest.mark.browser

# What has been written as a filter by somebody, or could be.
HOSTILE = [
    "a=b&c#d?e",
    "%00%",
    "+ +",
    " ",
    "é😀",
    "\n\r\0",
    "\u202e",
    "metadata.",
    "__proto__",
    "constructor",
    "'\"><",
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge that serves the modules."""
    with bridge(tmp_path_factory.mktemp("modules"), "memory://", LOGBRIDGE_OPEN="read") as running:
        yield running


@pytest.fixture
async def page(running: Bridge) -> AsyncIterator[Page]:
    """A page with the search."""
    async with visits() as visit:
        await show(visit.page, running.client.base_url.port, "search")
        yield visit.page


async def test_nothing_invisible_stays_invisible(page: Page) -> None:
    """Of all characters there are, each that is a control, a format or half of a pair is written out."""
    script = """(text) => {
      const written = [];
      for (let code = 0; code <= 0x10ffff; code += 1) {
        const character = String.fromCodePoint(code);
        if (text.plain(`a${character}b`) !== `a${character}b`) written.push(code);
      }
      return written;
    }"""
    written = set(await module(page, "./text.js", script))
    hidden = {
        code for code in range(0x110000) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    }
    assert hidden - written == set()
    assert not {code for code in written if chr(code).isalnum()} - {
        0x115F,
        0x1160,
        0x3164,
        0xFFA0,
        0x17B4,
        0x17B5,
    }
    joined = "👨‍👩‍👧 ❤️ 1️⃣"
    assert await module(page, "./text.js", "(text, value) => text.plain(value)", joined) == joined
    split = "a\u200db\ufe0f"
    assert await module(page, "./text.js", "(text, value) => text.plain(value)", split) == "aU+200DbU+FE0F"


async def test_json_to_copy_is_exact(page: Page) -> None:
    """It reads back as the same log, and nothing in it is invisible."""
    for text in [*HOSTILE, "\u2066\u200b\x1b", "👨‍👩‍👧\u202e", "\ud800"]:
        log = {"message": text, "metadata": {text: text}}
        script = """(text, log) => {
          const made = text.json(log);
          const line = made.replaceAll("\\n", "");
          return [JSON.stringify(JSON.parse(made)) === JSON.stringify(log), text.plain(line) === line];
        }"""
        assert await module(page, "./text.js", script, log) == [True, True], ascii(text)


async def test_the_hash_keeps_every_question(page: Page) -> None:
    """A question written to the hash and read back is the same one, whatever is in it."""
    script = """(query, asked) => {
      const parameters = (text) => Object.fromEntries(new URLSearchParams(text.split("?")[1] || ""));
      const metadata = Object.fromEntries(asked.metadata.map(([key, value]) => [`metadata.${key}`, value]));
      const first = query.read({ ...asked, ...metadata });
      return [first, query.read(parameters(query.hash(first)))];
    }"""
    for text in HOSTILE:
        fields = dict.fromkeys(("q", "service_name", "level", "trace_id", "start_time", "end_time"), text)
        asked = {
            **fields,
            "metadata": [[text, text], ["empty", ""]],
            "limit": "50",
            "offset": "150",
            "as_of": text,
        }
        first, again = await module(page, "./query.js", script, asked)
        assert first == again, ascii(text)
        assert (first["q"], first["metadata"], first["limit"]) == (text, asked["metadata"], 50), ascii(text)
    for wrong in ("-1", "1e3", "99999999999", "x", "１"):
        read = await module(
            page,
            "./query.js",
            "(query, wrong) => query.read({ limit: wrong, offset: wrong, last: wrong })",
            wrong,
        )
        assert (read["limit"], read["offset"], read["last"]) == (100, 0, ""), wrong


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/St_Johns", "Asia/Kathmandu"])
async def test_times_keep_their_microseconds(page: Page, zone: str) -> None:
    """A time read and written in the browser's zone is the same instant; what is none is shown as it is."""
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setTimezoneOverride", {"timezoneId": zone})
    script = """({ micros, rfc3339, stamp }, text) =>
      [micros(text), micros(rfc3339(micros(text))), stamp(text)]"""
    for text in (
        "2024-08-30T10:30:45.123456Z",
        "1969-12-31T23:59:59.999999Z",
        "2024-03-10T02:30:00-02:30",
        "2024-12-31t23:59:59.1z",
    ):
        first, again, stamp = await module(page, "./times.js", script, text)
        assert first == again is not None
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", stamp)
    _, _, stamp = await module(page, "./times.js", "(times, text) => [0, 0, times.stamp(text)]", "yesterday")
    assert stamp == "yesterday"


async def test_axes_have_a_few_round_marks(page: Page) -> None:
    """Marks of counts reach over the highest bar; those of times lie within, whatever the width."""
    for most in (0, 1, 2, 3, 7, 99, 100, 101, 12_345, 10**9):
        ticks: list[Any] = await module(page, "./scale.js", "(scale, most) => scale.countTicks(most)", most)
        assert ticks[0] == 0
        assert ticks[-1] >= most
        assert len(ticks) <= 5, most
    start = 1_725_013_845_123
    for width in (1, 50, 999, 60_000, 3_600_000, 86_400_000 * 45, 86_400_000 * 365 * 90):
        script = """(scale, from, to) => {
          const { ticks, step } = scale.timeTicks(from, to, 8);
          return [ticks, ticks.map((tick) => scale.tickLabel(tick, step))];
        }"""
        ticks, labels = await module(page, "./scale.js", script, start, start + width)
        assert all(start <= tick <= start + width for tick in ticks)
        assert len(ticks) <= 9
        assert len(set(labels)) == len(labels), labels


async def test_frames_are_the_same_wherever_they_are_cut(page: Page) -> None:
    """However the stream comes in pieces, the same logs and the same last id are read; comments are none."""
    text = (
        'id: 7\n: following\n\n: keep-alive\n\nid: 8\ndata: {"level":"WARN","message":"data: id: 3"}\n\n'
        'data: {"message":"no id"}\n\nid: 10\ndata: {"message":"\\n\\n😀"}\n\nid: 11\ndata: {"unfin'
    )
    script = """(stream, text) => {
      const seen = new Set();
      for (let cut = 0; cut <= text.length; cut += 1) {
        const place = { id: "" };
        const data = [];
        let rest = stream.frames(text.slice(0, cut), place, (found) => data.push(found));
        rest = stream.frames(rest + text.slice(cut), place, (found) => data.push(found));
        seen.add(JSON.stringify([data, place.id, rest]));
      }
      return [...seen].map((one) => JSON.parse(one));
    }"""
    [(data, last, rest)] = await module(page, "./stream.js", script, text)
    assert data == [
        '{"level":"WARN","message":"data: id: 3"}',
        '{"message":"no id"}',
        '{"message":"\\n\\n😀"}',
    ]
    assert (last, rest) == ("10", 'id: 11\ndata: {"unfin')


async def test_sampling_counts_every_log(page: Page) -> None:
    """What came is shown, waits, or is counted as left out; 200 a second at most, at last the newest."""
    script = """(sampling) => {
      const sampler = new sampling.Sampler(0);
      const shown = [];
      const whole = [];
      for (let ms = 0; ms < 5000; ms += 16) {
        const now = ms < 3000 ? 160 : 0;
        for (let number = 0; number < now; number += 1) sampler.arrive(String(sampler.came));
        shown.push(...sampler.take(ms).map(Number));
        whole.push(sampler.came === sampler.shown + sampler.skipped + sampler.waiting.length);
      }
      const { oneOf } = sampler.rates(3000);
      sampler.arrive("x".repeat(9e6));
      sampler.arrive("y");
      const kept = sampler.waiting.map((text) => text[0]);
      return { shown, whole: whole.every(Boolean), came: sampler.came - 2, oneOf, kept };
    }"""
    seen = await module(page, "./sampling.js", script)
    assert seen["whole"]
    assert 900 < len(seen["shown"]) <= 5 * 200 + 200
    assert seen["shown"] == sorted(seen["shown"])
    assert seen["shown"][-1] == seen["came"] - 1
    assert seen["oneOf"] > 10
    assert seen["kept"] == ["y"]


async def test_the_level_is_read_without_parsing(page: Page, running: Bridge) -> None:
    """Text that looks like a level, in a service's name, a message or metadata, is not taken for it."""
    fake = '","level":"FATAL'
    assert (
        running.write(fake, level="WARN", service_name=fake, metadata={"level": "FATAL"}).status_code == 200
    )
    script = """async (sampling, path) => {
      const page = await (await fetch(path)).json();
      return sampling.levelOf(JSON.stringify(page.logs[0]));
    }"""
    assert await module(page, "./sampling.js", script, f"{API}/query?level=WARN&limit=1") == "WARN"
