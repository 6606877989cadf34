"""Messages → entries: the quick way gives what the rules give."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.receive import _made, received
from logbridge.domain.entry import EntryMaker, LogEntry
from logbridge.domain.errors import InvalidEntry

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
TIMES = st.sampled_from(["", "2024-08-30T10:30:45.123Z", "2016-12-31 23:59:60+08:00", "2024-02-30T00:00:00Z"])
MESSAGES = st.builds(
    pb.LogEntry,
    id=TEXT,
    service_name=TEXT,
    level=st.integers(-1, 6),
    message=TEXT,
    timestamp=TIMES | TEXT,
    metadata=st.dictionaries(TEXT, TEXT, max_size=4),
    trace_id=TEXT,
    span_id=TEXT,
    timestamp_assigned=st.booleans(),
)
GOOD = pb.LogEntry(
    id="mine", service_name="shop", level="WARN", message="日志", timestamp="2024-08-30T10:30:45Z"
)


def maker(entry_bytes_max: int) -> EntryMaker:
    return EntryMaker("default", entry_bytes_max, 10, lambda: "2024-08-30T10:30:45Z", lambda: "new-id")


def result(make: Callable[[pb.LogEntry, EntryMaker], LogEntry], *given: object) -> object:
    try:
        return make(*given)  # type: ignore[arg-type]  # as the caller gives them
    except InvalidEntry as error:
        return type(error), str(error)


@given(message=MESSAGES, entry_bytes_max=st.integers(1, 200))
@example(message=GOOD, entry_bytes_max=200)
def test_the_quick_way_gives_what_the_rules_give(message: pb.LogEntry, entry_bytes_max: int) -> None:
    """The same entry, or the same refusal in the same words, for any message and any limit."""
    limit = maker(entry_bytes_max)
    assert result(received, message, limit) == result(partial(_made, services=frozenset()), message, limit)


@pytest.mark.parametrize("too_many", [0, 1])
def test_an_entry_may_have_just_as_many_bytes(too_many: int) -> None:
    """The limit counts bytes of text, not those of the message around it."""
    size_bytes = len("mine") + len("shop") + len("日志".encode()) + len("2024-08-30T10:30:45Z")
    found = result(received, GOOD, maker(size_bytes - too_many))
    assert isinstance(found, LogEntry) is not bool(too_many)
