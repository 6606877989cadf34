import logging
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.adapters.keys.ring import new_key
from logbridge.entrypoints.own_log import HIDDEN, MORE, OneLine, escaped, redacted

TEXTS = st.text(st.characters() | st.sampled_from("\n\r\x1b\x85\u2028\u2029\u202e\0%{}"), max_size=60)


def lines_of(
    message: object, *args: Any, name: str = "a", level: str = "INFO", error: Any = None
) -> list[str]:
    """The lines of one record, as any terminal or program may split them."""
    record = logging.LogRecord(name, logging.INFO, "file", 1, message, args, error)
    record.levelname = level
    return OneLine(traces=True).format(record).splitlines()


def caught(error: Exception) -> Any:
    try:
        raise error
    except Exception:
        return sys.exc_info()


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_any_text_makes_one_line(message: str, argument: str, name: str, level: str) -> None:
    """Whatever is logged, as message, argument, name or level: one line, of characters that only show."""
    for lines in (lines_of(message, name=name, level=level), lines_of("got %s" + message, argument)):
        assert len(lines) == 1
        assert lines[0].isprintable()


@given(st.text(), TEXTS)
def test_no_line_of_a_traceback_looks_like_a_record(message: str, told: str) -> None:
    """The lines after the first are marked as what they are, also where the error's own text has lines."""
    forged = f"{told}\n2024-01-01 00:00:00,000 INFO a: all is well"
    first, *others = lines_of(message, error=caught(ValueError(forged)))
    assert first.startswith("2")
    assert others
    assert all(line.startswith(MORE) and line.isprintable() for line in others)
    assert others[0] == f"{MORE}Traceback (most recent call last):"


@given(TEXTS)
def test_without_traces_an_error_is_one_line(told: str) -> None:
    """The error is named with its place, in the record's own line, and nothing follows."""
    record = logging.LogRecord("a", logging.INFO, "file", 1, "m", (), caught(ValueError(told)))
    line = OneLine(traces=False).format(record)
    assert line.isprintable()
    assert re.search(r" INFO a: m: ValueError.* at test_own_log\.py:\d+ \(DEBUG=true logs", line)


def test_a_stack_is_marked_too() -> None:
    """A record with a stack has its lines behind the mark."""
    record = logging.LogRecord("a", logging.INFO, "file", 1, "m", (), None, sinfo="Stack\n  x\x1b[2J")
    assert OneLine(traces=True).format(record).split("\n")[1:] == [f"{MORE}Stack", f"{MORE}  x\\x1b[2J"]


def test_what_another_handler_wrote_is_not_used() -> None:
    """A traceback that another formatter left in the record is made again."""
    record = logging.LogRecord("a", logging.INFO, "file", 1, "m", (), caught(ValueError("x")))
    record.exc_text = "forged\nlines"
    assert "forged" not in OneLine(traces=True).format(record)


def test_ordinary_text_stays() -> None:
    """Text of any language is not changed."""
    assert escaped("café 你好 🎉 a\\b 'c'") == "café 你好 🎉 a\\b 'c'"
    assert lines_of("%d of %s", 1, "2")[0].endswith(" INFO a: 1 of 2")


def test_a_message_that_cannot_be_made_is_told_in_one_line() -> None:
    """Arguments that do not fit the message are shown as they are, escaped and without their secrets."""
    (line,) = lines_of("%d\n", new_key()[0])
    assert HIDDEN in line
    assert "%d\\n" in line


# Always the same: it is a part of the names of tests.
KEY_ID = "0123456789ab"
KEY = f"lbk_{KEY_ID}_{'Ab1_-' * 8}xyz"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIsecret\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"the key {KEY} is unknown", KEY),
        (f"GET /?key={KEY}&a=1", KEY),
        (f"GET /?key={KEY.replace('_', '%5F')}", KEY[-20:].replace("_", "%5F")),
        (KEY[:40], KEY[17:40]),
        ("Authorization: Bearer abc.def", "abc.def"),
        ("authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("headers {'Authorization': 'Bearer abc def'}", "abc"),
        ("headers [(b'authorization', b'Bearer abc def'), (b'x', b'y')]", "abc"),
        ("Proxy-Authorization: x y", "x y"),
        ("X-API-Key: some-key", "some-key"),
        ('{"cookie": "a=b; c=d"}', "a=b"),
        ("Set-Cookie: logbridge_session=1.2.3; Path=/", "1.2.3"),
        ("logbridge_session=1.2.3; other", "1.2.3"),
        (PEM, "MIIsecret"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIsecret", "MIIsecret"),
    ],
)
def test_secrets_are_hidden(text: str, secret: str) -> None:
    """Keys, headers that carry them, session cookies and private keys do not get into a line."""
    assert secret in text
    assert secret not in redacted(text)
    assert HIDDEN in redacted(text)
    written = lines_of("%s", text) + lines_of("m", error=caught(ValueError(text)))
    assert secret not in "\n".join(written)


def test_the_id_of_a_key_stays() -> None:
    """An operator still sees which key it was, and what stands around it."""
    assert redacted(f"a {KEY} b") == f"a lbk_{KEY_ID}_{HIDDEN} b"
    told = "Authorization is not Bearer, and a cookie is not needed"
    assert redacted(told) == told
