"""An entry as a message: it comes back as it was, and is known by all that makes it the same log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.adapters.jetstream.message import (
    FORMAT,
    REASON,
    Unreadable,
    dead_headers,
    decode_entry,
    encode_entry,
    entry_headers,
    message_id,
    read_headers,
)
from logbridge.domain.outcome import Cause, Refused
from tests.factories import make_entry


@given(
    text=st.text(min_size=1),
    metadata=st.dictionaries(st.text(), st.text(), max_size=5),
    assigned=st.booleans(),
)
def test_an_entry_comes_back_as_it_was(text: str, metadata: dict[str, str], assigned: bool) -> None:
    """Whatever text it holds."""
    entry = make_entry(id=text, message=text, metadata=metadata, timestamp_assigned=assigned)
    assert decode_entry(encode_entry(entry), entry_headers(message_id(entry))) == entry


@pytest.mark.parametrize(
    ("data", "version"),
    [(b"hello", None), (b"hello", "1"), (b"\x80", "1"), (encode_entry(make_entry()), "2")],
)
def test_what_is_no_entry_is_unreadable(data: bytes, version: str | None) -> None:
    """A foreign message, a damaged one and one of a newer logbridge are told from entries."""
    with pytest.raises(Unreadable):
        decode_entry(data, {FORMAT: version} if version else {})


@pytest.mark.parametrize(
    "change",
    [
        {"service_name": "other"},
        {"id": "other"},
        {"message": "other"},
        {"metadata": {}},
        {"trace_id": "other"},
        {"span_id": "other"},
        {"timestamp": "2024-08-30T10:30:46Z"},
    ],
)
def test_other_content_is_another_message(change: dict[str, object]) -> None:
    """Only the log service may refuse it, by name: the stream must not drop it."""
    assert message_id(make_entry(id="1")) != message_id(make_entry(**{"id": "1"} | change))


def test_a_time_that_the_bridge_assigned_does_not_count() -> None:
    """The same log sent again arrives later, and is the same."""
    times = ("2024-08-30T10:30:45Z", "2024-08-30T10:30:46Z")
    one, again = (make_entry(id="1", timestamp=time, timestamp_assigned=True) for time in times)
    assert message_id(one) == message_id(again)


def test_a_reason_fits_a_header() -> None:
    """One line, bounded, never empty; what the server gives back reads the same."""
    headers = dead_headers("logs 7", Refused("1", "nein,\r\n danke 不行 " + "x" * 5000))
    assert headers[REASON].startswith("nein, danke 不行 xxx")
    assert len(headers[REASON]) == 1000
    assert dead_headers("logs 7", Refused("1", "", Cause.CONFLICT))[REASON] == "conflict"
    raw = "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    assert read_headers(raw.encode()) == headers
