"""The screen of `logbridge top`, from made-up statistics, for terminals of many sizes."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from logbridge.entrypoints.commands.figures import ASCII, BLOCKS, Glyphs
from logbridge.entrypoints.commands.top_feed import Watched
from logbridge.entrypoints.commands.top_screen import plain_lines, screen
from tests.unit.entrypoints.commands.looks import HOSTILE, NEWEST_S, SPOOL, failure, point, watched

URL = "http://127.0.0.1:8001"
SIZES = [(40, 12), (60, 20), (79, 24), (80, 24), (100, 30), (120, 40), (200, 60)]
BUSY = watched(spool=SPOOL, upstream__state="away")
EVIL = watched(
    name=HOSTILE, version=HOSTILE, time=HOSTILE, upstream__address=HOSTILE, upstream__state=HOSTILE,
    upstream__calls={HOSTILE: 1}, errors__by_cause={HOSTILE: 1}, errors__refusals={HOSTILE: 1},
    errors__requests_by_status={f"4{HOSTILE}": 1},
    errors__last=[failure(HOSTILE, HOSTILE, HOSTILE)],
)  # fmt: skip


def drawn(
    seen: Watched,
    width: int,
    height: int,
    glyphs: Glyphs = BLOCKS,
    state: tuple[str, str] = ("live", "green"),
) -> list[str]:
    """The lines of the screen, without colours."""
    console = Console(
        file=io.StringIO(), width=width, height=height, color_system=None, _environ={}, legacy_windows=False
    )
    console.print(screen(seen, URL, state, width, height, glyphs), end="")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().removesuffix("\n").split("\n")


@pytest.mark.parametrize("seen", [BUSY, EVIL, watched(performance__history=[], errors__last=[])])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_overflows(seen: Watched, width: int, height: int) -> None:
    """As many lines as the terminal has, none longer than it is wide."""
    lines = drawn(seen, width, height)
    assert len(lines) == height
    assert max(map(cell_len, lines)) <= width


@settings(max_examples=50)
@given(width=st.integers(1, 250), height=st.integers(1, 80), message=st.text(max_size=40))
def test_no_size_and_no_text_breaks_it(width: int, height: int, message: str) -> None:
    """Even where there is room for nothing, and whatever the texts are."""
    seen = watched(spool=SPOOL, errors__last=[failure(message, message)], upstream__address=message)
    lines = drawn(seen, width, height)
    assert len(lines) == height
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("glyphs", [BLOCKS, ASCII])
def test_hostile_text_cannot_steer_the_terminal(width: int, height: int, glyphs: Glyphs) -> None:
    """Escape codes, line ends and letters that turn the direction are shown as what they are; no markup."""
    text = "\n".join(drawn(EVIL, width, height, glyphs, state=(HOSTILE, "green")))
    assert all(char.isprintable() for char in text.replace("\n", ""))
    assert "\\x1b" in text
    plain = plain_lines(EVIL, URL, "once", glyphs)
    assert all(line.isprintable() for line in plain)
    assert any("[bold]markup[/bold]" in line for line in plain)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (200, 60)])
def test_a_common_terminal_shows_the_essentials(width: int, height: int) -> None:
    """80x24: who it is, rates, latency, charts, what is under way, log service, spool, answers, failures."""
    text = "\n".join(drawn(BUSY, width, height))
    for wanted in (
        "logbridge 0.1.0", "live", URL, "up 3 h 5 min, 2 workers", "2024-08-30 10:30:46 UTC",
        "logs/s", "1,234", "1,100", "980", "acknowledged/s", "not acknowledged", "p50 ms", "p99 ms", "98.7",
        "requests/s", "bytes/s", "123k", "at most", "█", "120 of 1,000", "Log service  away",
        "2 dead letters, 12,345", "4.8 MiB", "4xx 12", "5xx 3", "Last failures  16 logs",
        "10:30:44 refused invalid  12x  shop  reason 0", "q ends, p pauses",
    ):  # fmt: skip
        assert wanted in text


def test_a_small_terminal_shows_the_most_important() -> None:
    """40x12: the header is folded; rates, the log service, the spool and the last failure stay."""
    lines = drawn(BUSY, 40, 12)
    text = "\n".join(lines)
    assert [line.rstrip() for line in lines[:2]] == ["logbridge 0.1.0  live", URL]
    for wanted in ("logs/s", "not acknowledged", "Log service  away", "dead letters", "10:30:44 refused"):
        assert wanted in text


@pytest.mark.parametrize("state", ["available", "away", "not asked yet"])
def test_colours_say_nothing_that_words_do_not(state: str) -> None:
    """Without colours the state is still there to read."""
    assert f"Log service  {state}" in "\n".join(drawn(watched(upstream__state=state), 80, 24))


def test_one_of_several_log_services_that_is_away_is_told() -> None:
    """The others do its work, and the state stays what it is."""
    seen = watched(upstream__services=3, upstream__services_away=1)
    assert "Log service  available, 1 of 3 away" in "\n".join(drawn(seen, 80, 24))


def test_a_full_bridge_says_so_in_figures() -> None:
    """Bars stand beside what they show: how much of how much."""
    assert "62.0 MiB of 64.0 MiB" in "\n".join(drawn(BUSY, 120, 40))


def test_answers_are_told_one_by_one_where_there_is_room() -> None:
    """Which statuses, how often, and what was refused before it was read as a log."""
    text = "\n".join(drawn(BUSY, 100, 30))
    assert "400 2x, 422 10x, 503 3x" in text
    assert "refusals: 4 too many" in text


def test_without_a_spool_it_says_so() -> None:
    """No spool is no empty one."""
    assert "no spool" in "\n".join(drawn(watched(), 80, 24))


def test_a_spool_that_cannot_be_read_is_said_to_be_there() -> None:
    """Missing figures are no missing spool."""
    assert "cannot be read" in "\n".join(drawn(watched(spool_unreadable=True), 80, 24))


def test_a_lost_bridge_shows_in_the_header() -> None:
    """What is known stays, and the header says how old it is and why."""
    lost = ("LOST for 5 s, connecting again: connection refused", "bold red")
    lines = drawn(BUSY, 80, 24, state=lost)
    assert "LOST for 5 s, connecting again: connection refused" in "\n".join(lines[:3])
    assert "1,234" in "\n".join(lines)


def test_a_chart_shows_at_least_a_minute_and_each_peak() -> None:
    """On a narrow terminal a character stands for several seconds, and for the most of them."""
    peak = [point(NEWEST_S - 40, accepted=777, failed=3)]
    calm = [point(NEWEST_S - age, accepted=1) for age in range(300) if age != 40]
    for width, height in SIZES:
        text = "\n".join(drawn(watched(performance__history=peak + calm), width, height))
        assert ("777" in text) == (height > 12)


def test_plain_text_is_whole() -> None:
    """As text nothing is cut off: reasons are there to their ends, and no line has blanks at its end."""
    reason = "a long reason " * 40
    lines = plain_lines(watched(errors__last=[failure(reason)], spool=SPOOL), URL, "once")
    assert any(line.endswith(reason.rstrip()) for line in lines)
    assert [line for line in lines if line != line.rstrip()] == []
    assert {"logs/s", "Spool", "Log", "HTTP"} <= {line.split(" ")[0] for line in lines}


def test_nothing_known_yet_is_no_zero() -> None:
    """Seconds before the bridge began are blank, seconds without logs are not."""
    idle = watched(performance__history=[point(NEWEST_S)])
    charts = [line for line in plain_lines(idle, URL, "once") if set(line.strip()) == {"·"}]
    assert charts
    assert all(line.strip() == "·" for line in charts)
