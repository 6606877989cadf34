import copy
import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from logbridge.domain.entry import (
    BUSINESS_FIELDS,
    KNOWN_FIELDS,
    EntryMaker,
    LogEntry,
    LogLevel,
    classify,
    text_bytes,
)
from logbridge.domain.errors import EntryTooLarge, InvalidEntry
from tests.factories import make_entry

NOW = "2024-08-30T10:30:45.000000+00:00"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def maker(entry_bytes_max: int = 262_144, metadata_depth_max: int = 64) -> EntryMaker:
    ids = count(1)
    return EntryMaker(
        "logbridge", entry_bytes_max, metadata_depth_max, lambda: NOW, lambda: f"id-{next(ids)}"
    )


def make(raw: object, **limits: int) -> LogEntry:
    return replace(maker(), **limits).make(classify(raw))


def test_the_example_of_the_contract() -> None:
    """Log fields are log fields; business fields and the metadata object become metadata."""
    entry = make(
        {
            "message": "async test log",
            "service_name": "test-service",
            "level": "INFO",
            "trace_id": "trace-001",
            "span_id": "span-001",
            "adv_id": 1234567,
            "monitor_type": "impression",
            "metadata": {"user_id": "user123"},
        }
    )
    assert entry == LogEntry(
        "id-1",
        "test-service",
        LogLevel.INFO,
        "async test log",
        NOW,
        {"user_id": "user123", "adv_id": "1234567", "monitor_type": "impression"},
        "trace-001",
        "span-001",
        timestamp_assigned=True,
    )


@given(st.dictionaries(TEXT.filter(lambda name: name not in KNOWN_FIELDS), JSON, max_size=5))
def test_nothing_that_was_sent_is_dropped(unknown: dict[str, Any]) -> None:
    """Every unknown name becomes metadata: strings as they are, null left out, the rest as JSON text."""
    metadata = make({"message": "m", **unknown}).metadata
    assert set(metadata) == {name for name, value in unknown.items() if value is not None}
    for name, text in metadata.items():
        value = unknown[name]
        assert text == value if isinstance(value, str) else json.loads(text) == value


@given(st.dictionaries(st.sampled_from([*sorted(BUSINESS_FIELDS), "x", "level"]), TEXT))
def test_metadata_wins_but_never_changes_a_log_field(metadata: dict[str, str]) -> None:
    """A name in both places keeps the value in metadata, and a log field keeps its own."""
    entry = make(
        {
            "message": "m",
            "level": "ERROR",
            "adv_id": 1,
            "monitor_type": "view",
            "x": "top",
            "metadata": metadata,
        }
    )
    assert entry.level is LogLevel.ERROR
    assert entry.metadata == {"adv_id": "1", "monitor_type": "view", "x": "top"} | metadata


@given(JSON)
def test_the_caller_keeps_what_it_gave(value: Any) -> None:
    """Classifying changes nothing in the caller's mapping."""
    raw = {"message": "m", "thing": value, "metadata": {"a": value}}
    before = copy.deepcopy(raw)
    make(raw)
    assert raw == before


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (1.5, "1.5"),
        ({"a": 1}, '{"a":1}'),
        ([1, "ü"], '[1,"ü"]'),
        (123456789012345678901234567890, "123456789012345678901234567890"),
        (0, "0"),
    ],
)
def test_json_text(value: object, text: str) -> None:
    """Values are written as compact JSON, integers exactly."""
    assert make({"message": "m", "v": value}).metadata == {"v": text}
    assert make({"message": "m", "metadata": {"v": value}}).metadata == {"v": text}


def test_null_is_the_same_as_leaving_out() -> None:
    """null in every optional field gives the same entry as no field at all."""
    nothing = dict.fromkeys(KNOWN_FIELDS - {"message"})
    assert make({"message": "m", **nothing}) == make({"message": "m"})
    assert make({"message": "m", "user": "u", "metadata": {"user": None}}).metadata == {"user": "u"}


@pytest.mark.parametrize(("text", "level"), [("warning", "WARN"), ("Critical", "FATAL"), ("error", "ERROR")])
def test_levels(text: str, level: str) -> None:
    """Letter case is ignored, WARNING and CRITICAL have their names here."""
    assert make({"message": "m", "level": text}).level.name == level


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({}, "$"),
        ([], "$"),
        (None, "$"),
        ("text", "$"),
        (7, "$"),
        ({"message": ""}, "$.message"),
        ({"message": None}, "$.message"),
        ({"message": 5}, "$.message"),
        ({"message": "m", "level": "loud"}, "$.level"),
        ({"message": "m", "level": 1}, "$.level"),
        ({"message": "m", "level": ""}, "$.level"),
        ({"message": "m", "timestamp": ""}, "$.timestamp"),
        ({"message": "m", "adv_id": "x"}, "$.adv_id"),
        ({"message": "m", "adv_id": True}, "$.adv_id"),
        ({"message": "m", "timestamp": "today"}, "$.timestamp"),
        ({"message": "m", "timestamp": "9999-99-99T00:00:00Z"}, "$.timestamp"),
        ({"message": "m", "metadata": []}, "$.metadata"),
        ({"message": "m\ud800"}, "$.message"),
        ({"message": "m", "x": "\udc00"}, "$.metadata.x"),
        ({"message": "m", "log_id": "\udc00"}, "$.log_id"),
        ({"message": "m", "\udc00": "x"}, "$.metadata"),
        ({"message": "m", "x": {("a", "b"): 1}}, "$.x"),
    ],
)
def test_what_is_wrong_and_where(raw: object, path: str) -> None:
    """A bad entry is refused with the path of the field, and never with anything but InvalidEntry."""
    with pytest.raises(InvalidEntry) as caught:
        make(raw)
    assert caught.value.path == path
    assert str(caught.value).encode()


def test_nesting_has_a_bound() -> None:
    """Values nested deeper than the limit are refused; a ring is too, instead of a RecursionError."""
    assert make({"message": "m", "x": [[1]]}, metadata_depth_max=2).metadata == {"x": "[[1]]"}
    with pytest.raises(InvalidEntry, match="METADATA_DEPTH_MAX=2"):
        make({"message": "m", "x": [[[1]]]}, metadata_depth_max=2)
    ring: list[object] = []
    ring.append(ring)
    with pytest.raises(InvalidEntry, match="deeper"):
        make({"message": "m", "metadata": {"ring": ring}})


def test_size_counts_bytes() -> None:
    """The limit is in UTF-8 bytes of all text, and the error names both figures."""
    fits = make({"message": "日" * 100, "log_id": "i"}, entry_bytes_max=1024)
    assert text_bytes(fits) == 300 + len("i" + "logbridge" + NOW)
    with pytest.raises(EntryTooLarge, match=r"3042 bytes .*=1024"):
        make({"message": "日" * 1000, "log_id": "i"}, entry_bytes_max=1024)


def test_a_string_subclass_is_a_string() -> None:
    """A str subclass (an enum, say) becomes its text, without quotes."""

    class Word(str):
        __slots__ = ()

    assert make({"message": "m", "w": Word("plain")}).metadata == {"w": "plain"}


def test_same_content() -> None:
    """The same log sent again is the same, unless the caller gave another time or other content."""
    entry = make_entry(id="a")
    assert entry.same_content(make_entry(id="a"))
    assert not entry.same_content(make_entry(message="other"))
    assert not entry.same_content(make_entry(timestamp="2024-01-01T00:00:00Z"))
    arrived = make_entry(timestamp="2024-01-01T00:00:00Z", timestamp_assigned=True)
    assert arrived.same_content(make_entry(timestamp="2024-01-01T00:00:09Z", timestamp_assigned=True))
    assert not entry.same_content(arrived)


@pytest.mark.parametrize(
    ("raw", "path", "setting"),
    [
        ({"metadata": {f"name-{n}": "" for n in range(21)}}, "$.metadata", "KEYS_MAX=20"),
        ({f"name-{n}": n for n in range(21)}, "$.metadata", "KEYS_MAX=20"),
        ({"metadata": {f"name-{n}": "" for n in range(20)}, "adv_id": 1}, "$.metadata", "KEYS_MAX=20"),
        ({"metadata": {"a" * 31: ""}}, "$.metadata.a", "KEY_BYTES_MAX=30"),
        ({"\u4e2d" * 11: ""}, "$.metadata.\u4e2d", "KEY_BYTES_MAX=30"),
    ],
)
def test_names_in_metadata_are_bounded(raw: dict[str, Any], path: str, setting: str) -> None:
    """Too many of them, or one that is too long, is refused with its place and the setting."""
    with pytest.raises(InvalidEntry, match=setting) as caught:
        make({"message": "a"} | raw, metadata_keys_max=20, metadata_key_bytes_max=30)
    assert caught.value.path.startswith(path)


def test_names_in_metadata_may_be_as_many_as_allowed() -> None:
    """At the limit an entry is made, whatever its size."""
    metadata = {f"name-{n}".ljust(30, "a"): "x" * 1000 for n in range(18)} | {"\u4e2d" * 10: "", "": ""}
    entry = make({"message": "a", "metadata": metadata}, metadata_keys_max=20, metadata_key_bytes_max=30)
    assert entry.metadata == metadata
