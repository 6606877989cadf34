"""From what a program gives to the JSON of an entry; and the body of a stream."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge import LogLevel
from logbridge.domain.errors import InvalidEntry
from logbridge.domain.timestamp import epoch_us
from logbridge.http import ConnectionFailed, OutcomeUnknown, Refused, Unavailable
from logbridge.http.entries import STREAM_PIECE_BYTES, Lines, drafted
from logbridge.http.requests import STREAM_PAUSE_S_MAX
from tests.unit.http.scripted import API, Scripted, problem

BOTH = pytest.mark.parametrize("kind", ["sync", "async"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read(fields: object) -> Any:
    """The entry as the bridge reads it: nothing but standard JSON."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    return json.loads(drafted(fields).content, parse_constant=refuse)


def test_an_entry_gets_an_id_and_a_time() -> None:
    """A UUIDv7 and the time of now, unless they were given; None and empty ids are none."""
    entry = read({"message": "m", "log_id": None, "timestamp": None})
    assert UUID(entry["log_id"]).version == 7
    assert epoch_us(entry["timestamp"]) > 0
    assert read({"message": "m", "log_id": ""})["log_id"]
    given = {"message": "m", "log_id": "mine", "timestamp": "2024-08-30T10:30:45Z"}
    assert read(given) == given
    assert drafted(given).log_id == "mine"


def test_values_of_python() -> None:
    """Levels are names, times RFC 3339, and the rest its text; what was given is not changed."""
    fields = {
        "message": "m",
        "level": LogLevel.WARN,
        "timestamp": datetime(2024, 8, 30, tzinfo=UTC),
        "x": UUID(int=1),
    }
    entry = read(fields)
    assert entry["level"] == "WARN"
    assert entry["timestamp"] == "2024-08-30T00:00:00.000000+00:00"
    assert entry["x"] == str(UUID(int=1))
    assert "log_id" not in fields


def test_numbers_that_json_lacks_are_text() -> None:
    """NaN and infinities are what the bridge would make of them in metadata, at any depth."""
    nan, infinity = float("nan"), float("inf")
    entry = read(
        {"message": "m", "a": nan, "b": {"c": [infinity, "é"]}, "metadata": {"d": -infinity, "e": 1}}
    )
    assert (entry["a"], entry["b"]) == ("NaN", '{"c":[Infinity,"é"]}')
    assert entry["metadata"] == {"d": "-Infinity", "e": 1}


@pytest.mark.parametrize("bad", ["text", 3, {"message": "\ud800"}, {"message": "m", "n": 10**5000}])
def test_what_cannot_be_written(bad: object) -> None:
    """No mapping, half a surrogate pair, an integer of more digits than Python writes."""
    with pytest.raises(InvalidEntry):
        drafted(bad)


@given(fields=st.dictionaries(st.text(max_size=10), VALUES, max_size=5))
def test_any_mapping_is_standard_json(fields: dict[str, Any]) -> None:
    """Whatever a program gives, the bridge can read what is sent, and finds each name."""
    assert read(fields).keys() >= fields.keys()


@given(sizes=st.lists(st.integers(0, 3 * STREAM_PIECE_BYTES), max_size=6))
def test_a_stream_is_lines(sizes: list[int]) -> None:
    """A line for each entry, in order; a piece is sent once it is large enough, whatever comes after."""
    lines = Lines()
    taken = 0

    def given() -> Any:
        nonlocal taken
        for number, size in enumerate(sizes):
            taken += 1
            yield {"message": "x" * size, "log_id": str(number)}

    sent = b""
    for piece in lines.of(given()):
        sent += piece
        assert sent.count(b"\n") == taken
    assert [json.loads(line)["log_id"] for line in sent.splitlines()] == [str(n) for n in range(len(sizes))]
    assert lines.begun == bool(sizes)


def counts(**changes: Any) -> dict[str, Any]:
    """The bridge's counts of a stream."""
    counted = {"total_count": 2, "success_count": 1, "error_count": 1, "lines_read": 2, "stopped": ""}
    errors = [{"line": 2, "log_id": "i", "error_message": "bad"}]
    return {**counted, "errors": errors, "errors_truncated": False, **changes}


ENTRIES = [{"message": "a"}, {"message": "b"}]


@BOTH
def test_a_stream(kind: str) -> None:
    """Its answer is counts; the bridge is as patient with it as it is set to, and so is the client."""
    bridge = Scripted(kind, prefer_async=True)
    bridge.router.post(f"{API}/stream").mock(return_value=httpx.Response(202, json=counts()))
    result = bridge.call("stream", ENTRIES)
    assert (result.success_count, result.errors[0].line, result.spooled, result.stopped) == (1, 2, True, "")
    request = bridge.router.calls[0].request
    assert request.headers["content-type"] == "application/x-ndjson"
    assert request.headers["prefer"] == "respond-async"
    assert "request-timeout" not in request.headers
    assert (
        request.extensions["timeout"]["read"] == STREAM_PAUSE_S_MAX == request.extensions["timeout"]["write"]
    )


@BOTH
def test_a_stream_that_was_stopped(kind: str) -> None:
    """What was written of it is a value: where to go on, and why it was not read to its end."""
    bridge = Scripted(kind)
    stopped = counts(stopped="the bridge is stopping", lines_read=2)
    bridge.router.post(f"{API}/stream").mock(return_value=problem(503, **stopped))
    result = bridge.call("stream", ENTRIES)
    assert (result.stopped, result.lines_read, result.success_count) == ("the bridge is stopping", 2, 1)


@BOTH
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(503, success_count=0), Unavailable),
        (problem(422), Refused),
        (problem(502, success_count=0), Refused),
        (httpx.ReadError("reset"), OutcomeUnknown),
        (problem(504), OutcomeUnknown),
    ],
)
def test_a_stream_that_was_begun_does_not_go_again(kind: str, answer: Any, error: type[Exception]) -> None:
    """Its entries are gone: the caller is told whether some may be written."""
    bridge = Scripted(kind)
    bridge.router.post(f"{API}/stream").mock(side_effect=[answer])
    with pytest.raises(error):
        bridge.call("stream", iter(ENTRIES))


def test_a_stream_that_was_not_begun_goes_again() -> None:
    """Before a connection stands nothing was taken of it, and nothing is lost by another try."""
    tries: list[httpx.Request] = []

    class Away(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            tries.append(request)
            if len(tries) < 3:
                raise httpx.ConnectError("refused")
            sent = b"".join(request.stream)  # type: ignore[arg-type]  # a stream of this client is synchronous
            return httpx.Response(200, json=counts(total_count=sent.count(b"\n")))

    taken = iter(ENTRIES)
    bridge = Scripted("sync", transport=Away())
    assert bridge.call("stream", taken).total_count == 2
    bridge = Scripted("sync", transport=Away(), retry_s=0)
    tries.clear()
    with pytest.raises(ConnectionFailed):
        bridge.call("stream", taken)
