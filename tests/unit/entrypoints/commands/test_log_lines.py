"""Lines of log files as entries."""

import io

import msgspec
import pytest

from logbridge.entrypoints.commands.import_logs import batches
from logbridge.entrypoints.commands.log_lines import Line, entry_of, line_id, read_lines, text_entry


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (b"2024-08-30 10:30:45 ERROR cannot pay", "ERROR"),
        (b"[warn] slow", "WARN"),
        (b"(Critical): disk", "FATAL"),
        (b"WARNING: deprecated", "WARN"),
        (b"an error of judgement", None),
        (b"NO-ERROR at all", None),
        (b"x" * 90 + b" ERROR", None),
    ],
)
def test_level_is_read_where_it_stands_plainly(line: bytes, level: str | None) -> None:
    """A level in capitals or in brackets near the start is the entry's level; prose is not searched."""
    assert text_entry(line).get("level") == level


def test_bytes_that_are_not_utf8_stay_readable() -> None:
    """A byte that is no UTF-8 is written as an escape, and nothing is dropped."""
    assert text_entry(b"a\xff\x00b") == {"message": "a\\xff\x00b"}


def test_json_line_is_the_entry_itself() -> None:
    """A JSON object with a message keeps every name and digit; null counts as left out."""
    raw = b'{"message":"m","n":123456789012345678901234567890,"log_id":"","service_name":"own"}'
    entry = entry_of(raw, service_name="given", log_id="id-1")
    assert b"123456789012345678901234567890" in entry
    decoded = msgspec.json.decode(entry, type=dict[str, msgspec.Raw])
    assert bytes(decoded["service_name"]) == b'"own"'
    assert bytes(decoded["log_id"]) == b'"id-1"'


@pytest.mark.parametrize(
    "raw",
    [b'{"message":""}', b'{"message":7}', b'{"n":1}', b"{broken", b'{"message":"m","x":"\xff"}', b"[1]"],
)
def test_any_other_line_is_text(raw: bytes) -> None:
    """A line that is no JSON object with a message becomes a message as it stands."""
    entry = msgspec.json.decode(entry_of(raw, service_name=None, log_id="i"))
    assert entry == {"log_id": "i", "message": raw.decode("utf-8", "backslashreplace")}


def test_line_ends_and_places() -> None:
    """Lines know their number and their bytes, with either line end, and whether they are finished."""
    assert list(read_lines(io.BytesIO(b"one\r\n\nlast"), 10, 3)) == [
        Line(4, 10, 15, b"one", True),
        Line(5, 15, 16, b"", True),
        Line(6, 16, 20, b"last", False),
    ]


def test_line_too_long_is_passed_over_in_pieces() -> None:
    """A line over the limit is reported, not held; the next one is read whole."""
    lines = list(read_lines(io.BytesIO(b"x" * 25 + b"\nok\n" + b"y" * 12), line_bytes_max=10))
    assert [(line.raw, line.end, line.terminated) for line in lines] == [
        (None, 26, True),
        (b"ok", 29, True),
        (None, 41, False),
    ]


def test_id_depends_on_source_place_and_line() -> None:
    """The same line at the same place has the same id, and any difference makes another."""
    ids = {line_id("a", 0, b"x"), line_id("a", 1, b"x"), line_id("b", 0, b"x"), line_id("a", 0, b"y")}
    assert len(ids) == 4
    assert line_id("a", 0, b"x") in ids


def test_batches_keep_to_lines_and_bytes() -> None:
    """A batch ends at so many lines or bytes; a line over the bytes goes alone."""
    lines = [Line(n, 0, 0, raw, True) for n, raw in enumerate([b"a", b"b", b"c", b"d" * 9, b"e", None])]
    assert [[line.number for line in batch] for batch in batches(lines, 2, 5)] == [[0, 1], [2], [3], [4, 5]]
