"""The screen of `logbridge top`: sections placed on a terminal of any size, or as lines of text."""

from collections.abc import Sequence

from rich.console import Group
from rich.layout import Layout
from rich.text import Text

from logbridge.entrypoints.commands.figures import BLOCKS, Glyphs
from logbridge.entrypoints.commands.top_feed import Watched
from logbridge.entrypoints.commands.top_sections import Lines, Section, header, sections

KEYS = "q ends, p pauses"
_TWO_COLUMNS_FROM = 80
_LEFT_MAX = 44
_GAP = 2
_PLAIN_WIDTH = 78
_LEFT = ("rates", "in flight", "answers")
_RIGHT = ("charts", "upstream", "spool")
# From top to bottom, and what stays where there is no room for all.
_ONE_COLUMN = ("rates", "charts", "in flight", "upstream", "spool", "answers", "failures")
_FIRST = ("rates", "upstream", "failures", "spool", "charts", "in flight", "answers")


def plain_lines(watched: Watched, url: str, state: str, glyphs: Glyphs = BLOCKS) -> list[str]:
    """All sections as lines of plain text, whole; only charts and bars have a width."""
    blocks = [_folded(header(watched, url, (state, "")), _PLAIN_WIDTH)]
    blocks += [each.lines(_PLAIN_WIDTH, 2 * each.need) for each in sections(watched, glyphs).values()]
    return [line.plain.rstrip() for block in blocks for line in [*block, Text()]][:-1]


def screen(
    watched: Watched,
    url: str,
    state: tuple[str, str],
    width: int,
    height: int,
    glyphs: Glyphs = BLOCKS,
) -> Layout:
    """The screen for a terminal of so many characters. state: of the connection, in words and their style."""
    top = _folded(header(watched, url, state), width)[: max(1, height // 4)]
    below = [Text(KEYS, style="dim")] if height > len(top) else []
    room = height - len(top) - len(below)
    parts = [_placed(top)]
    if room > 0 and width >= _TWO_COLUMNS_FROM:
        parts += _two_columns(sections(watched, glyphs), width, room)
    elif room > 0:
        parts.append(_placed(_stacked(sections(watched, glyphs), _ONE_COLUMN, width, room), room))
    if below:
        parts.append(_placed(below))
    layout = Layout()
    layout.split_column(*parts)
    return layout


def _two_columns(parts: dict[str, Section], width: int, room: int) -> list[Layout]:
    """Two columns, and the last failures below them over the whole width."""
    failures = parts["failures"]
    below = min(failures.most, max(failures.need, room // 3)) if room > failures.need else 0
    above = room - below
    left = min(_LEFT_MAX, (width - _GAP) // 2)
    right = width - _GAP - left
    columns = Layout(size=above)
    columns.split_row(
        _placed_across(_stacked(parts, _LEFT, left, above), left + _GAP, left),
        _placed_across(_stacked(parts, _RIGHT, right, above), right, right),
    )
    return [columns, _placed(failures.lines(width, below), below)] if below else [columns]


def _stacked(parts: dict[str, Section], names: Sequence[str], width: int, height: int) -> Lines:
    heights = _shared({name: parts[name] for name in _FIRST if name in names}, height)
    return [
        line
        for name in names
        if heights.get(name)
        for line in parts[name].lines(width, heights[name])[: heights[name]]
    ]


def _shared(parts: dict[str, Section], height: int) -> dict[str, int]:
    """How many rows each section gets: first all what they need, in this order, then what is left."""
    heights: dict[str, int] = {}
    for name, part in parts.items():
        if part.need <= height:
            heights[name] = part.need
            height -= part.need
    for name in heights:
        more = min(height, parts[name].most - parts[name].need)
        heights[name] += more
        height -= more
    return heights


def _placed(lines: Sequence[Text], rows: int = 0) -> Layout:
    return Layout(Group(*lines), size=rows or len(lines))


def _placed_across(lines: Lines, columns: int, width: int) -> Layout:
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Layout(Group(*lines), size=columns)


def _folded(pieces: Sequence[Text], width: int) -> Lines:
    """The pieces on as few lines as they fit."""
    lines: Lines = []
    for piece in pieces:
        if lines and lines[-1].cell_len + 2 + piece.cell_len <= width:
            lines[-1].append("  ").append_text(piece)
        else:
            lines.append(piece)
    return lines
