"""Any value as the text of metadata."""

import json
import logging
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from logbridge.entrypoints.handlers.attributes import (
    DEPTH_MAX,
    EXTRA_BYTES_MAX,
    EXTRA_NAMES_MAX,
    ITEMS_MAX,
    LEFT_OUT,
    NAME_BYTES_MAX,
    STACK_BYTES_MAX,
    cut,
    exception_attributes,
    level_of,
    stack_text,
    text_of,
    value_text,
    with_extras,
)
from tests.unit.entrypoints.handlers.recording import Shy

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (0, "DEBUG"),
        (logging.DEBUG, "DEBUG"),
        (15, "DEBUG"),
        (16, "INFO"),
        (logging.INFO, "INFO"),
        (25, "INFO"),
        (26, "WARN"),
        (logging.WARNING, "WARN"),
        (logging.ERROR, "ERROR"),
        (logging.CRITICAL, "FATAL"),
        (1000, "FATAL"),
        (-5, "DEBUG"),
        ("20", "INFO"),
        (None, "INFO"),
    ],
)
def test_a_level_is_the_nearest_one(number: object, level: str) -> None:
    """Custom numbers become the nearest level, and the lower one in the middle."""
    assert level_of(number) == level


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (True, "true"),
        (1.5, "1.5"),
        (10**30, "1" + "0" * 30),
        (Decimal("1.10"), "1.10"),
        (b"caf\xc3\xa9\xff", "café\\xff"),
        (datetime(2024, 8, 30, 10, 30, tzinfo=UTC), "2024-08-30T10:30:00.000000+00:00"),
        ({"a": [1, {"b": None}], 2: (3,)}, '{"a":[1,{"b":null}],"2":[3]}'),
        ({"when": datetime(2024, 8, 30, tzinfo=UTC)}, '{"when":"2024-08-30T00:00:00.000000+00:00"}'),
        (Shy(), "<Shy that cannot be shown: RuntimeError>"),
        ([Shy()], '["<Shy that cannot be shown: RuntimeError>"]'),
        ("\ud800", "\\ud800"),
    ],
)
def test_a_value_becomes_text(value: object, text: str) -> None:
    """Text stays, nested values become JSON, and what cannot be shown becomes a note."""
    assert value_text(value) == text


def test_none_is_left_out() -> None:
    """As null is over REST."""
    assert value_text(None) is None
    assert with_extras({}, [("nothing", None)]) == {}


@given(JSON)
def test_json_comes_back(value: Any) -> None:
    """A nested value of few levels is JSON that says the same."""
    assume(_depth(value) < DEPTH_MAX)
    text = value_text({"value": value})
    assert text is not None
    assert json.loads(text) == {"value": value}


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max((1 + _depth(each) for each in inner), default=0)


def test_a_circle_ends() -> None:
    """A value that holds itself is shown to a depth."""
    circle: list[Any] = []
    circle.append(circle)
    assert value_text(circle) == "[" * DEPTH_MAX + '"[[...]]"' + "]" * DEPTH_MAX


def test_a_large_value_is_cut() -> None:
    """Of one value so many items are shown, and the text says so."""
    text = value_text({"all": list(range(10 * ITEMS_MAX))})
    assert text is not None
    assert text.endswith(f"(cut after {ITEMS_MAX} items)")
    assert len(text) < 10 * ITEMS_MAX


def test_an_integer_without_end_is_a_note() -> None:
    """Python refuses to write such a one, which is no reason to lose the log."""
    assert value_text(10 ** (sys.get_int_max_str_digits() + 1)) == "<int that cannot be shown: ValueError>"


@given(st.text(), st.integers(40, 300), st.booleans())
def test_cut_text_fits(text: str, bytes_max: int, keep_end: bool) -> None:
    """Never more bytes than allowed; unchanged if it fits."""
    result = cut(text_of(text), bytes_max, keep_end=keep_end)
    assert len(result.encode()) <= bytes_max
    assert result == text_of(text) or "bytes cut)" in result


def test_a_stack_keeps_its_end() -> None:
    """Where the reason is."""
    stack = stack_text(
        "\n".join(f"frame {number}" for number in range(STACK_BYTES_MAX)) + "\nValueError: why\n"
    )
    assert stack.endswith("ValueError: why")
    assert len(stack.encode()) <= STACK_BYTES_MAX


def test_extras_never_replace_what_a_log_says_of_itself() -> None:
    """The caller's value stays, under a name of its own."""
    assert with_extras({"thread.name": "main"}, [("thread.name", "mine"), ("user", 1)]) == {
        "thread.name": "main",
        "extra.thread.name": "mine",
        "user": "1",
    }


def test_extras_are_bounded() -> None:
    """In number and in bytes; what is left out is counted."""
    many = with_extras({}, [(f"name-{number}", number) for number in range(EXTRA_NAMES_MAX + 7)])
    assert len(many) == EXTRA_NAMES_MAX + 1
    assert many[LEFT_OUT].startswith("7 values")
    large = with_extras({}, [("n" * 10_000, "v" * EXTRA_BYTES_MAX), ("second", "v"), ("third", "v")])
    assert sum(len(name) + len(text.encode()) for name, text in large.items()) < EXTRA_BYTES_MAX + 1000
    assert max(map(len, large)) <= NAME_BYTES_MAX
    assert large[LEFT_OUT].startswith("2 values")


def test_an_exception_has_the_names_of_the_conventions() -> None:
    """Type, message and stack, with its causes; and its own module where it has one."""
    error = raised()
    attributes = exception_attributes(error)
    assert exception_attributes((KeyError, error, error.__traceback__)) == attributes
    assert exception_attributes(error.__cause__)["exception.type"] == "json.decoder.JSONDecodeError"
    assert attributes["exception.type"] == "KeyError"
    assert attributes["exception.message"] == "'k'"
    assert attributes["exception.stacktrace"].startswith("Traceback")
    assert "JSONDecodeError" in attributes["exception.stacktrace"]
    assert attributes["exception.stacktrace"].endswith("KeyError: 'k'")


def raised() -> BaseException:
    try:
        try:
            raise json.JSONDecodeError("no", "x", 0)
        except ValueError as cause:
            raise KeyError("k") from cause
    except KeyError as error:
        return error


@pytest.mark.parametrize("nothing", [None, (None, None, None), True, (1, 2), "text"])
def test_no_exception_has_no_attributes(nothing: object) -> None:
    """logging puts None or three of them into a record."""
    assert exception_attributes(nothing) == {}


def test_an_exception_that_cannot_be_shown_is_a_note() -> None:
    """Its type and its stack are there all the same."""

    class Mute(Exception):
        __str__ = Shy.__str__

    attributes = exception_attributes(Mute())
    assert attributes["exception.message"] == "<Mute that cannot be shown: RuntimeError>"
    assert "Mute" in attributes["exception.stacktrace"]
