import json
import logging
import re
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.adapters.keys.ring import new_key
from logbridge.domain.trace import TRACES, Trace
from logbridge.entrypoints.own_log import (
    FIELDS,
    HIDDEN,
    MORE,
    SHORTENED,
    OneLine,
    begin_logging,
    escaped,
    redacted,
)
from logbridge.entrypoints.request_id import REQUEST_ID

Form = Literal["json", "text"]
FORMS: tuple[Form, ...] = ("json", "text")
FORGED = "2024-01-01T00:00:00.000000+00:00 INFO     all is well a"
# What structlog and logging treat apart.
NAMES = st.sampled_from(
    ("event", "exception", "stack", "error", "traceback", "timestamp", "positional_args", "n")
)
TEXTS = st.text(st.characters() | st.sampled_from("\n\r\x1b\x85\u2028\u2029\u202e\0%{}\"'="), max_size=60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


class Unshowable:
    def __str__(self) -> str:
        raise ZeroDivisionError


def record_of(
    message: object, *args: Any, name: str = "a", level: str = "INFO", error: Any = None, **fields: Any
) -> logging.LogRecord:
    record = logging.LogRecord(name, logging.INFO, "file", 1, message, args, error)
    record.levelname = level
    record.__dict__ |= fields
    return record


def lines_of(message: object, *args: Any, form: Form = "text", traces: bool = True, **more: Any) -> list[str]:
    """The lines of one record, as any terminal or program may split them."""
    return OneLine(form, traces=traces).format(record_of(message, *args, **more)).splitlines()


def fields_of(message: object, *args: Any, traces: bool = True, **more: Any) -> dict[str, Any]:
    """What a program reads of one record."""
    (line,) = lines_of(message, *args, form="json", traces=traces, **more)
    fields: dict[str, Any] = json.loads(line)
    return fields


def caught(error: Exception) -> Any:
    try:
        raise error
    except Exception:
        return sys.exc_info()


@pytest.mark.parametrize("form", FORMS)
@given(message=TEXTS, argument=TEXTS, name=TEXTS, level=TEXTS, field=NAMES, value=VALUES)
def test_anything_makes_one_line(
    form: Form, message: str, argument: str, name: str, level: str, field: str, value: Any
) -> None:
    """Whatever is logged, as message, argument, name, level or field: a line of characters that only show."""
    record = record_of(message, name=name, level=level)
    record.__dict__[field] = value
    for made in (record, record_of("got %s" + message, argument)):
        line = OneLine(form, traces=True).format(made)
        assert len(line.splitlines()) == 1
        assert line.isprintable()


@given(TEXTS, TEXTS, VALUES)
def test_json_says_what_was_logged(message: str, name: str, value: Any) -> None:
    """The fields of a JSON line are those of the record, and no value changes another one."""
    fields = fields_of("%s", message, name=name, n=value, level="ERROR", logger="forged", timestamp="forged")
    assert (fields["level"], fields["logger"]) == ("ERROR", redacted(name))
    assert fields["message"] == redacted(message)
    assert fields["timestamp"].endswith("+00:00")
    assert set(fields) == {"timestamp", "level", "logger", "message", "pid", "n"}


@given(st.text(), TEXTS)
def test_no_line_of_a_traceback_looks_like_a_record(message: str, told: str) -> None:
    """In text, the lines after the first are marked for what they are, also those of the error's text."""
    first, *others = lines_of(message, error=caught(ValueError(f"{told}\n{FORGED}")))
    assert first.startswith("2")
    assert others
    assert all(line.startswith(MORE) and line.isprintable() for line in others)
    assert others[0] == f"{MORE}Traceback (most recent call last):"


@given(TEXTS)
def test_without_traces_an_error_is_one_line(told: str) -> None:
    """The error is named with its place, in the record's own line, and nothing follows."""
    (line,) = lines_of("m", error=caught(ValueError(told)), traces=False)
    assert line.isprintable()
    assert re.search(r" INFO +m: ValueError.* at test_own_log\.py:\d+ \(DEBUG=true logs", line)


@pytest.mark.parametrize("traces", [True, False])
def test_an_error_in_json(traces: bool) -> None:
    """It has fields of its own: type with message, place, and with DEBUG the whole traceback."""
    fields = fields_of("m", error=caught(ValueError("why\nmore")), traces=traces)
    assert fields["message"] == "m"
    assert fields["error"] == "ValueError: why\nmore"
    assert re.fullmatch(r"test_own_log\.py:\d+", fields["error_at"])
    assert ("traceback" in fields) == traces
    if traces:
        assert fields["traceback"].startswith("Traceback (most recent call last):\n")
        assert fields["traceback"].endswith("ValueError: why\nmore")


def test_a_stack_is_marked_too() -> None:
    """A record with a stack has its lines behind the mark, and in JSON as the traceback."""
    record = logging.LogRecord("a", logging.INFO, "file", 1, "m", (), None, sinfo="Stack\n  x\x1b[2J")
    assert OneLine("text", traces=True).format(record).split("\n")[1:] == [
        f"{MORE}Stack",
        f"{MORE}  x\\x1b[2J",
    ]
    assert json.loads(OneLine("json", traces=True).format(record))["traceback"] == "Stack\n  x\x1b[2J"


@pytest.mark.parametrize("form", FORMS)
def test_what_another_handler_wrote_is_not_used(form: Form) -> None:
    """A traceback that another formatter left in the record is made again, and the record stays as it was."""
    record = record_of("m %s", "x", error=caught(ValueError("x")))
    record.exc_text = "forged\nlines"
    assert "forged" not in OneLine(form, traces=True).format(record)
    assert (record.msg, record.args, record.exc_text) == ("m %s", ("x",), "forged\nlines")


def test_ordinary_text_stays() -> None:
    """Text of any language is not changed."""
    assert escaped("café 你好 🎉 a\\b 'c'") == "café 你好 🎉 a\\b 'c'"
    assert re.search(r" INFO +1 of 2 +a$", lines_of("%d of %s", 1, "2")[0])
    (line,) = lines_of("café 你好 🎉", form="json")
    assert '"message": "café 你好 🎉"' in line


@pytest.mark.parametrize("form", FORMS)
def test_a_message_that_cannot_be_made_is_told_in_one_line(form: Form) -> None:
    """Arguments that do not fit the message are shown as they are, escaped and without their secrets."""
    (line,) = lines_of("%d\n", new_key()[0], form=form)
    assert HIDDEN in line
    assert "%d\\n" in line
    (line,) = lines_of("%s", Unshowable(), form=form, n=Unshowable())
    assert "Unshowable that cannot be shown" in line


def test_values_keep_their_kind() -> None:
    """Numbers, truth and nesting are JSON in JSON; what JSON cannot hold is its text."""
    value = {"a": [1, 2.5, True, None], "b": float("nan"), "c": 2**80, "d": b"\xff", 3: Path("/x")}
    assert fields_of("m", n=value)["n"] == {
        "a": [1, 2.5, True, None],
        "b": "nan",
        "c": str(2**80),
        "d": "\\xff",
        "3": "/x",
    }
    assert fields_of("m", n=[[[[[[[[[[1]]]]]]]]]])["n"] == [[[[[[[["[[1]]"]]]]]]]]


def test_text_shows_fields_as_words() -> None:
    """A field is name=value; a value that could be taken for several is in quotes."""
    (line,) = lines_of("m", n=1, one="word", two="a b=c", none="")
    assert line.endswith(' a n=1 one=word two="a b=c" none=""')


def test_colours_are_ours_only() -> None:
    """On a terminal levels have colours; escape codes that came with a message are shown."""
    formatter = OneLine("text", traces=False, colours=True)
    line = formatter.format(record_of("\x1b[2J", level="ERROR"))
    assert "\\x1b[2J" in line
    assert re.sub(r"\x1b\[\d*m", "", line).isprintable()
    assert line != formatter.format(record_of("\x1b[2J", level="INFO"))


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
    for form in FORMS:
        written = lines_of("%s", text, form=form) + lines_of("m", error=caught(ValueError(text)), form=form)
        written += lines_of("m", form=form, n={"a": [text], text: 1}, traces=False)
        assert secret not in "\n".join(written)


@pytest.mark.parametrize(
    "value",
    [
        {"Authorization": "Bearer abc.def"},
        {"headers": [(b"authorization", b"Bearer abc.def"), (b"x", b"y")]},
        [["Cookie", "abc.def"]],
        {"sink_password": "abc.def"},
        (("x-api-key", b"abc.def"),),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_secrets_in_values_are_hidden(form: Form, value: Any) -> None:
    """Headers and names that say what they hold are hidden in structured values, too."""
    (line,) = lines_of("m", form=form, n=value)
    assert "abc.def" not in line
    assert HIDDEN in line


def test_the_id_of_a_key_stays() -> None:
    """An operator still sees which key it was, and what stands around it."""
    assert redacted(f"a {KEY} b") == f"a lbk_{KEY_ID}_{HIDDEN} b"
    told = "Authorization is not Bearer, and a cookie is not needed"
    assert redacted(told) == told


def test_a_record_knows_its_request() -> None:
    """While a request runs, its id and its trace are fields; of several traces none is."""
    before = REQUEST_ID.set(b"r-1"), TRACES.set((Trace("a" * 32, "b" * 16),))
    try:
        fields = fields_of("m", request_id="forged")
        TRACES.set((Trace("a" * 32, "b" * 16), Trace("c" * 32, "d" * 16)))
        of_several = fields_of("m")
    finally:
        REQUEST_ID.reset(before[0])
        TRACES.reset(before[1])
    assert (fields["request_id"], fields["trace_id"], fields["span_id"]) == ("r-1", "a" * 32, "b" * 16)
    assert of_several.keys() & {"request_id", "trace_id"} == {"request_id"}
    assert fields_of("m").keys() & {"request_id", "trace_id"} == set()


def test_fields_are_in_the_order_of_the_table() -> None:
    """All fields of FIELDS occur, in its order."""
    before = REQUEST_ID.set(b"r-1"), TRACES.set((Trace("a" * 32, "b" * 16),))
    try:
        fields = fields_of("m", error=caught(ValueError("x")))
    finally:
        REQUEST_ID.reset(before[0])
        TRACES.reset(before[1])
    assert list(fields) == list(FIELDS)


@pytest.mark.parametrize(
    ("form", "terminal", "text"),
    [("auto", True, True), ("auto", False, False), ("text", False, True), ("json", True, False)],
)
def test_auto_looks_for_a_terminal(
    monkeypatch: pytest.MonkeyPatch, form: Any, terminal: bool, text: bool
) -> None:
    """auto is text on a terminal and JSON elsewhere; only a terminal gets colours."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    made: list[logging.Handler] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **given: made.extend(given["handlers"]))
    monkeypatch.setattr(logging, "captureWarnings", lambda _: None)
    begin_logging("INFO", form, traces=False)
    (handler,) = made
    line = handler.format(record_of("m"))
    assert line.startswith("{") != text
    assert ("\x1b" in line) == (text and terminal)


def test_shortened_is_said_once() -> None:
    """In text an error without its traceback says how to get it."""
    (line,) = lines_of("m", error=caught(ValueError("x")), traces=False)
    assert line.count(SHORTENED) == 1
