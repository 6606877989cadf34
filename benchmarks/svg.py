"""Charts as plain SVG, bars and lines: for light and dark screens, and for screen readers."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from msgspec import Struct

WIDTH = 760
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.quiet { fill: #59636e }
.axis { stroke: #d1d9e0; fill: none }
.other { fill: #b6bfc8 }
.s0 { fill: #0969da; stroke: #0969da } .s1 { fill: #bc4c00; stroke: #bc4c00 }
.s2 { fill: #1a7f37; stroke: #1a7f37 } .s3 { fill: #8250df; stroke: #8250df }
path.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .quiet { fill: #9198a1 } .axis { stroke: #3d444d } .other { fill: #656c76 }
  .s0 { fill: #4493f8; stroke: #4493f8 } .s1 { fill: #db6d28; stroke: #db6d28 }
  .s2 { fill: #3fb950; stroke: #3fb950 } .s3 { fill: #ab7df8; stroke: #ab7df8 }
}
"""
_LABEL_PX, _BAR_PX, _GAP_PX, _VALUE_PX = 220, 22, 10, 90
_LEFT, _TOP, _PLOT_PX = 70, 56, 260
_SERIES = 4


class Panel(Struct, frozen=True):
    """Bars with one unit. bars: a label and its value, in the order of drawing."""

    title: str
    bars: Sequence[tuple[str, float]]


class Series(Struct, frozen=True):
    """A line. points: x to y."""

    label: str
    points: Mapping[int, float]


def bars(title: str, description: str, panels: Sequence[Panel], ours: str = "") -> str:
    """A chart of panels, one below the other. ours: the label of the bars that stand out."""
    parts, y = [_text(0, 18, title, "title")], 48.0
    for panel in panels:
        most = max((value for _, value in panel.bars), default=1.0) or 1.0
        parts.append(_text(0, y, panel.title, "quiet"))
        y += _GAP_PX
        for label, value in panel.bars:
            wide = max(1.0, value / most * (WIDTH - _LABEL_PX - _VALUE_PX))
            parts.append(_text(_LABEL_PX - 8, y + 16, label, anchor="end"))
            place = f'x="{_LABEL_PX}" y="{y}" width="{wide:.1f}" height="{_BAR_PX}"'
            parts.append(f'<rect class="{"s0" if label == ours else "other"}" {place} rx="2"/>')
            parts.append(_text(_LABEL_PX + wide + 6, y + 16, _short(value)))
            y += _BAR_PX + 6
        y += 3 * _GAP_PX
    return _document(title, description, y, parts)


def lines(title: str, description: str, axis: str, series: Sequence[Series]) -> str:
    """A chart of lines; both axes are logarithmic. axis: what x is."""
    xs = sorted({x for each in series for x in each.points})
    values = [y for each in series for y in each.points.values()]
    if not values:
        return _document(title, description, _TOP, [_text(0, 18, title, "title")])
    ticks = _ticks(min(values), max(values))
    place_x = _scale(xs[0], xs[-1], _LEFT, WIDTH - 180)
    place_y = _scale(ticks[0], ticks[-1], _TOP + _PLOT_PX, _TOP)
    parts = [_text(0, 18, title, "title"), *_grid(xs, ticks, place_x, place_y)]
    parts.append(_text((_LEFT + WIDTH - 180) / 2, _TOP + _PLOT_PX + 42, axis, "quiet", "middle"))
    for index, each in enumerate(series):
        parts += _line(each, f"s{index % _SERIES}", place_x, place_y)
    ends = {each.label: place_y(each.points[max(each.points)]) for each in series if each.points}
    parts += [_text(WIDTH - 170, y + 4, label) for label, y in spread(ends).items()]
    return _document(title, description, _TOP + _PLOT_PX + 56, parts)


class _Scale(Struct, frozen=True):
    low: float
    high: float
    first_px: float
    last_px: float

    def __call__(self, value: float) -> float:
        part = math.log(value / self.low) / (math.log(self.high / self.low) or 1.0)
        return self.first_px + part * (self.last_px - self.first_px)


def _scale(low: float, high: float, first_px: float, last_px: float) -> _Scale:
    return _Scale(low, high, first_px, last_px)


def _ticks(least: float, most: float) -> list[float]:
    """1, 2 and 5 times each power of ten, from below the least to above the most."""
    ticks = [step * 10.0**power for power in range(-6, 12) for step in (1, 2, 5)]
    first = max(index for index, tick in enumerate(ticks) if tick <= least)
    last = min(index for index, tick in enumerate(ticks) if tick >= most)
    return ticks[first : max(last, first + 1) + 1]


def spread(places: Mapping[str, float], apart_px: float = 17.0) -> dict[str, float]:
    """Labels moved down until none covers another."""
    moved: dict[str, float] = {}
    last = -math.inf
    for label, y in sorted(places.items(), key=lambda item: item[1]):
        last = moved[label] = max(y, last + apart_px)
    return moved


def _grid(xs: Sequence[int], ys: Sequence[float], place_x: _Scale, place_y: _Scale) -> list[str]:
    parts = []
    for y in ys:
        px = place_y(y)
        parts.append(f'<path class="axis" d="M{_LEFT} {px:.1f}H{WIDTH - 180}"/>')
        parts.append(_text(_LEFT - 8, px + 4, _short(y), "quiet", "end"))
    parts += [_text(place_x(x), _TOP + _PLOT_PX + 20, f"{x:,}", "quiet", "middle") for x in xs]
    return parts


def _line(series: Series, style: str, place_x: _Scale, place_y: _Scale) -> list[str]:
    places = [(place_x(x), place_y(y)) for x, y in sorted(series.points.items())]
    if not places:
        return []
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = [f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
    return [f'<path class="{style} line" d="M{path}"/>', *dots]


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _document(title: str, description: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 {WIDTH + 16} {height + 16:.0f}" role="img" '
        f'aria-labelledby="title description">'
    )
    named = f'<title id="title">{escape(title)}</title><desc id="description">{escape(description)}</desc>'
    return "\n".join([head, named, f"<style>{_STYLE}</style>", *parts, "</svg>", ""])
