"""What `logbridge top` shows, section by section: lines of text, the most important ones first."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from rich.text import Text

from logbridge.entrypoints.commands.figures import BLOCKS, Glyphs, bar, chart, number, size, span
from logbridge.entrypoints.commands.terminal import printable
from logbridge.entrypoints.commands.top_feed import Watched
from logbridge.entrypoints.http.stats import FailureShown, InFlight, Latency, Point, Stats, Window

SECONDS_SHOWN_MIN = 60
_CHART_ROWS_MAX = 8
_LABEL = 17
_HEADING = "bold cyan"
_GOOD, _WARNING, _BAD = "green", "yellow", "bold red"
_STATES = {"available": _GOOD, "away": _BAD, "not asked yet": _WARNING}
_OUTCOMES = {"refused": _WARNING, "failed": _BAD, "unknown": _BAD}

Lines = list[Text]


class Section(NamedTuple):
    """A part of the screen. lines: for a width and a height. need, most: the least and most rows of use."""

    lines: Callable[[int, int], Lines]
    need: int
    most: int


def sections(watched: Watched, glyphs: Glyphs = BLOCKS) -> dict[str, Section]:
    """All parts of the screen but its header, by name."""
    look = watched.look
    last = len(look.errors.last)
    return {
        "rates": Section(lambda width, _: _rates(look.performance.windows, width), 4, 9),
        "charts": Section(partial(_charts, watched.points, glyphs), 3, 3 * (1 + _CHART_ROWS_MAX)),
        "in flight": Section(lambda width, _: _in_flight(look, width, glyphs), 2, 4),
        "upstream": Section(lambda *_: _upstream(look), 1, 4),
        "spool": Section(lambda width, _: _spool(look, width, glyphs), 1, 3),
        "answers": Section(lambda *_: _answers(look), 1, 3),
        "failures": Section(lambda *_: _failures(look), 2, 1 + max(1, last)),
    }


def _line(*parts: tuple[str, str] | str) -> Text:
    """One line of parts, each with its style. What it says is data, and cannot steer the terminal."""
    line = Text(no_wrap=True, overflow="ellipsis")
    for part in parts:
        text, style = (part, "") if isinstance(part, str) else part
        line.append(printable(text), style)
    return line


def _rates(windows: Sequence[Window], width: int) -> Lines:
    column = max(4, min(10, (width - _LABEL) // 3))
    rows: list[tuple[str, Callable[[Window], float], str]] = [
        ("logs/s", lambda window: window.logs_per_second, ""),
        ("acknowledged/s", lambda window: window.acknowledged_per_second, ""),
        ("not acknowledged", lambda window: window.not_acknowledged_per_second, _BAD),
        ("p99 ms", lambda window: window.write_latency_ms.p99, ""),
        ("p90 ms", lambda window: window.write_latency_ms.p90, ""),
        ("p50 ms", lambda window: window.write_latency_ms.p50, ""),
        ("requests/s", lambda window: window.requests_per_second, ""),
        ("bytes/s", lambda window: window.bytes_per_second, ""),
    ]
    titles = "".join(f"{_length(window.seconds):>{column}}" for window in windows)
    lines = [_line((f"{'Writes over':<{_LABEL}}{titles}", _HEADING))]
    for name, of, style in rows:
        values = [of(window) for window in windows]
        cells = [(f"{number(value):>{column}}", style if value else "") for value in values]
        lines.append(_line(f"{name:<{_LABEL}}", *cells))
    return lines


def _length(seconds: int) -> str:
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min"


def _charts(points: Mapping[int, Point], glyphs: Glyphs, width: int, height: int) -> Lines:
    """Three charts: of a line each where it is tight, else with titles and as many rows as there is room."""
    rows = min(_CHART_ROWS_MAX, height // 3 - 1)
    lines: Lines = []
    for name, of, style in (
        ("acknowledged/s", lambda point: point.accepted + point.spooled, _GOOD),
        ("not acknowledged", lambda point: point.refused + point.failed + point.unknown, _BAD),
        ("p99 ms", lambda point: point.write_latency_ms.p99, "magenta"),
    ):
        across = max(1, width if rows > 0 else width - _LABEL - 7)
        values, seconds = _blocks(points, of, across)
        most = number(max((value for value in values if value), default=0))
        if rows > 0:
            lines.append(_line((name, _HEADING), f"  at most {most} in {span(seconds)}"))
            lines += [_line((row, style)) for row in chart(values, rows, glyphs)]
        else:
            lines.append(_line(f"{name:<{_LABEL}}", (chart(values, 1, glyphs)[0], style), f" {most:>6}"))
    return lines


def _blocks(
    points: Mapping[int, Point], of: Callable[[Point], float], width: int
) -> tuple[list[float | None], int]:
    """The most in each block of seconds, oldest first, and the seconds of all blocks.

    The seconds of a block are those of the clock: blocks move along and do not change while they do.
    """
    length = -(-SECONDS_SHOWN_MIN // width)
    newest = max(points, default=0)
    values: list[float | None] = []
    for block in range(newest // length - width + 1, newest // length + 1):
        seconds = range(block * length, (block + 1) * length)
        known = [of(points[second]) for second in seconds if second in points]
        values.append(max(known) if known else None)
    return values, width * length


def _in_flight(look: Stats, width: int, glyphs: Glyphs) -> Lines:
    flight, performance = look.performance.in_flight, look.performance
    return [
        _gauge("In flight", flight.entries, flight.entries_max, _logs_of(flight), width, glyphs),
        _gauge("their bytes", flight.bytes, flight.bytes_max, _bytes_of(flight), width, glyphs),
        _line(f"connections {number(performance.connections)}, tails {number(performance.tails)}"),
        _line(f"logs per batch {number(performance.logs_per_batch)}"),
    ]


def _logs_of(flight: InFlight) -> str:
    return f"{number(flight.entries)} of {number(flight.entries_max)} logs"


def _bytes_of(flight: InFlight) -> str:
    return f"{size(flight.bytes)} of {size(flight.bytes_max)}"


def _gauge(name: str, value: float, most: float, text: str, width: int, glyphs: Glyphs) -> Text:
    """A bar against a limit, and the figures beside it: colour says nothing that these do not."""
    share = value / most if most else 0.0
    style = _GOOD if share < 0.8 else _WARNING if share < 0.95 else _BAD
    across = max(4, min(40, width - 13 - len(text) - 1))
    return _line(
        (f"{name:<13}", _HEADING if name[0].isupper() else ""),
        (bar(share, across, glyphs), style),
        f" {text}",
    )


def _upstream(look: Stats) -> Lines:
    upstream = look.upstream
    state = (upstream.state, _STATES.get(upstream.state, _WARNING))
    away = upstream.services_away if upstream.state != "away" else 0
    some_away = (f", {away} of {upstream.services} away" if away else "", _WARNING)
    return [
        _line(("Log service  ", _HEADING), state, some_away, f"  {upstream.address}"),
        _line(f"calls {_counted(upstream.calls)}"),
        _line(f"a call takes, ms: {_latency(upstream.call_latency_ms)}"),
        _line(
            f"logs per call {number(upstream.logs_per_call)}, sent again {number(upstream.logs_sent_again)}"
        ),
    ]


def _latency(latency: Latency) -> str:
    return f"p50 {number(latency.p50)}, p90 {number(latency.p90)}, p99 {number(latency.p99)}"


def _spool(look: Stats, width: int, glyphs: Glyphs) -> Lines:
    spool = look.spool
    if spool is None:
        said = ("cannot be read", _BAD) if look.spool_unreadable else "no spool"
        return [_line(("Spool  ", _HEADING), said)]
    dead = (f"{number(spool.dead_letters)} dead letters", _BAD if spool.dead_letters else "")
    oldest = f", the oldest {span(spool.oldest_age_seconds)}" if spool.entries else ""
    text = f"{size(spool.bytes)} of {size(spool.bytes_max)}"
    return [
        _line(("Spool  ", _HEADING), dead, f", {number(spool.entries)} waiting{oldest}"),
        _gauge("on disk", spool.bytes, spool.bytes_max, text, width, glyphs),
        _line(f"delivered {number(spool.delivered)}, sent again {number(spool.resent)}"),
    ]


def _answers(look: Stats) -> Lines:
    statuses, refusals = look.errors.requests_by_status, look.errors.refusals
    totals: list[tuple[str, str]] = []
    for first, style in (("4", _WARNING), ("5", _BAD)):
        total = sum(count for status, count in statuses.items() if status.startswith(first))
        totals.append((f"  {first}xx {number(total)}", style if total else ""))
    return [
        _line(("HTTP", _HEADING), *totals),
        _line(
            ", ".join(f"{status} {number(count)}x" for status, count in sorted(statuses.items())) or "none"
        ),
        _line(f"refusals: {_counted(refusals)}"),
    ]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number(count)} {name}" for name, count in sorted(counts.items()) if count) or "none"


def _failures(look: Stats) -> Lines:
    errors = look.errors
    title = f"  {number(errors.count)} logs not acknowledged since the start: {_counted(errors.by_cause)}"
    lines = [_line(("Last failures", _HEADING), title)]
    return lines + ([_failure(failure) for failure in errors.last] or [_line("none")])


def _failure(failure: FailureShown) -> Text:
    return _line(
        f"{failure.time[11:19]} ",
        (f"{failure.outcome:<8}", _OUTCOMES.get(failure.outcome, "")),
        f"{failure.cause}  {number(failure.count)}x  ",
        (failure.service_name or "no service", "bold"),
        f"  {failure.reason}",
    )


def header(watched: Watched, url: str, state: tuple[str, str]) -> list[Text]:
    """What the header says, piece by piece. state: words and their style."""
    look = watched.look
    workers = f"{look.workers} worker{'' if look.workers == 1 else 's'}"
    return [
        _line((look.name, "bold"), f" {look.version}"),
        _line(state),
        _line(url),
        _line(f"up {span(look.uptime_seconds)}, {workers}"),
        _line(f"{look.time[:10]} {look.time[11:19]} UTC"),
    ]
