"""The line splitter: whatever comes, however it is cut, gives the same lines and keeps little."""

from hypothesis import given
from hypothesis import strategies as st

from logbridge.entrypoints.http.lines import Line, LineSplitter

MAX = 8
MARK = b"\xef\xbb\xbf"
PIECES = st.sampled_from([b"\n", b"\r\n", b"\r", b" ", b"\t", b"a", b"bcd", MARK, b"x" * 20, b"\0"])
BODIES = st.lists(PIECES, max_size=30).map(b"".join)


def lines_of(parts: list[bytes]) -> tuple[list[Line], int]:
    """The lines of a body that came in these parts, and how many there were with the blank ones."""
    splitter = LineSplitter(MAX)
    lines = [line for part in parts for line in splitter.feed(part)]
    lines += splitter.end()
    return lines, splitter.count


@given(body=BODIES, cuts=st.lists(st.integers(0, 200), max_size=20))
def test_cuts_change_nothing(body: bytes, cuts: list[int]) -> None:
    """Any body, cut anywhere, gives the lines that it gives as a whole."""
    cuts = sorted(cuts)
    parts = [body[begin:end] for begin, end in zip([0, *cuts], [*cuts, None], strict=True)]
    assert lines_of(parts) == lines_of([body])


def expected(body: bytes) -> list[Line]:
    """What the lines are, by the rule."""
    found = []
    for number, line in enumerate(body.split(b"\n"), 1):
        bare = (line.removeprefix(MARK) if number == 1 else line).strip(b" \t\r")
        if len(line) > MAX + 4 or len(bare) > MAX:
            found.append(Line(number, None))
        elif bare:
            found.append(Line(number, bare))
    return found


@given(body=BODIES)
def test_what_a_line_is(body: bytes) -> None:
    """Numbers count from 1, blank lines too; a mark at the start, blanks around and the end are left out."""
    found, count = lines_of([body])
    assert found == expected(body)
    assert count == len(body.split(b"\n")) - (body.endswith(b"\n") or not body)


def test_a_line_that_is_too_long() -> None:
    """It stands for itself without its content, and the lines after it are what they are."""
    body = b"12345678\n123456789\r\n" + b"x" * 1000 + b"\n\nend"
    assert lines_of([body])[0] == [Line(1, b"12345678"), Line(2, None), Line(3, None), Line(5, b"end")]
    assert lines_of([b"x" * 1000])[0] == [Line(1, None)]


def test_nothing_is_kept_of_it() -> None:
    """However long it goes on, what is held of it does not grow."""
    splitter = LineSplitter(MAX)
    for _ in range(1000):
        assert list(splitter.feed(b"x" * 1000)) == []
    assert splitter._begun is None
    assert list(splitter.feed(b"\na\n")) == [Line(1, None), Line(2, b"a")]
