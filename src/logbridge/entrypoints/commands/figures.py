"""Figures for a terminal: numbers in few characters, bars, and charts of block characters."""

from collections.abc import Sequence
from typing import NamedTuple


class Glyphs(NamedTuple):
    """What bars and charts are drawn with. steps: from nothing to a full character."""

    steps: str
    zero: str
    full: str
    empty: str


BLOCKS = Glyphs(" ▁▂▃▄▅▆▇█", "·", "█", "─")
# For terminals that know no Unicode.
ASCII = Glyphs(" .:-=+*%#", "_", "#", ".")

_UNITS = ("", "k", "M", "G", "T", "P")
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_SPANS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def number(value: float) -> str:
    """In at most six characters, as far as numbers go that a bridge can count: 1.25, 98,765, 123k."""
    if abs(value) < 99_999.5:
        return _rounded(value) if value % 1 else f"{value:,.0f}"
    shown, unit = _scaled(value, 1000, len(_UNITS))
    return f"{shown:.{1 if abs(shown) < 99.95 else 0}f}{_UNITS[unit]}"


def _rounded(value: float) -> str:
    size = abs(value)
    return f"{value:,.{2 if size < 9.995 else 1 if size < 99.95 else 0}f}"


def size(count: float) -> str:
    """Bytes, as 1.2 MiB."""
    shown, unit = _scaled(count, 1024, len(_SIZES))
    return f"{shown:.0f} B" if unit == 0 else f"{shown:,.{1 if shown < 99.95 else 0}f} {_SIZES[unit]}"


def _scaled(value: float, by: int, units: int) -> tuple[float, int]:
    unit = 0
    while abs(value) >= by and unit < units - 1:
        value, unit = value / by, unit + 1
    return value, unit


def span(seconds: float) -> str:
    """A span of time by its two largest units: 3 h 5 min."""
    rest = max(0, int(seconds))
    parts: list[str] = []
    for length, unit in _SPANS:
        count, rest = divmod(rest, length)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def bar(share: float, width: int, glyphs: Glyphs = BLOCKS) -> str:
    """A bar of so many characters. share: 0 to 1; the least bit shows, and full is only what is full."""
    share = min(1.0, max(0.0, share))
    filled = int(share * width)
    if share > 0 and width:
        filled = max(1, filled)
    return glyphs.full * filled + glyphs.empty * (width - filled)


def chart(values: Sequence[float | None], rows: int, glyphs: Glyphs = BLOCKS) -> list[str]:
    """A chart of one character for each value, the uppermost of its rows first. None: nothing is known."""
    most = max((value for value in values if value), default=0.0)
    steps = len(glyphs.steps) - 1
    columns = [_column(value, most, rows, steps) for value in values]
    lines = []
    for row in range(rows - 1, -1, -1):
        lines.append("".join(_character(level, row, steps, glyphs) for level in columns))
    return lines


def _column(value: float | None, most: float, rows: int, steps: int) -> int:
    """How many steps high a value is: -1 if unknown, 0 for zero alone."""
    if value is None:
        return -1
    return max(1, round(value / most * rows * steps)) if value > 0 else 0


def _character(level: int, row: int, steps: int, glyphs: Glyphs) -> str:
    if level == 0 and row == 0:
        return glyphs.zero
    return glyphs.steps[min(steps, max(0, level - row * steps))]
