"""Numbers in few characters, bars and charts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.entrypoints.commands.figures import ASCII, BLOCKS, Glyphs, bar, chart, number, size, span

BOTH = pytest.mark.parametrize("glyphs", [BLOCKS, ASCII])
amounts = st.one_of(st.none(), st.integers(0, 10**6), st.floats(0, 10**6))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (0.0, "0"), (7, "7"), (0.004, "0.00"), (1.25, "1.25"), (9.999, "10.0"), (12.34, "12.3"),
        (99.97, "100"), (1234.5, "1,234"), (9876, "9,876"), (98_765, "98,765"), (123_456, "123k"),
        (1_234_567, "1.2M"), (99_960_000, "100M"), (5 * 10**12, "5.0T"),
    ],
)  # fmt: skip
def test_numbers(value: float, shown: str) -> None:
    """As exact as there is room for."""
    assert number(value) == shown


@given(st.floats(0, 10**17) | st.integers(0, 10**17))
def test_numbers_are_short(value: float) -> None:
    """Whatever a bridge can count fits into six characters."""
    assert len(number(value)) <= 6


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (67_108_864, "64.0 MiB"), (2**30 - 1, "1,024 MiB")],
)
def test_sizes(count: int, shown: str) -> None:
    """Bytes by powers of 1024."""
    assert size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0 s"), (0.9, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (11_100, "3 h 5 min"), (90_061, "1 d 1 h")],
)
def test_spans(seconds: float, shown: str) -> None:
    """By the two largest units."""
    assert span(seconds) == shown


@BOTH
@given(share=st.floats(-1, 2), width=st.integers(0, 50))
def test_bars(glyphs: Glyphs, share: float, width: int) -> None:
    """A bar has its width; it is full only of what is full, and shows the least bit."""
    drawn = bar(share, width, glyphs)
    assert len(drawn) == width
    if width > 1:
        assert (drawn == glyphs.full * width) == (share >= 1)
        assert (glyphs.full in drawn) == (share > 0)


@BOTH
@given(values=st.lists(amounts, max_size=80), rows=st.integers(1, 8))
def test_charts(glyphs: Glyphs, values: list[float | None], rows: int) -> None:
    """A character for each value and row: the most is full, zero is neither little nor unknown."""
    lines = chart(values, rows, glyphs)
    assert [len(line) for line in lines] == [len(values)] * rows
    most = max((value for value in values if value), default=0)
    for value, column in zip(values, zip(*lines, strict=True), strict=True):
        if value is None:
            assert set(column) == {" "}
        elif value == 0:
            assert column[-1] == glyphs.zero
        else:
            assert column[-1] in glyphs.steps[1:]
            assert value < most or set(column) == {glyphs.steps[-1]}
