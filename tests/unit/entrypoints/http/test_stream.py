"""A stream of lines: what goes in, what is stored, and what bad input gets."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable

import brotli  # type: ignore[import-untyped]  # it ships none
import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from msgspec.structs import replace

from logbridge.adapters.memory import MemorySink, accept, fail, lose, refuse
from logbridge.entrypoints.http.compression import zstd
from logbridge.entrypoints.http.stream import MEDIA_TYPES
from logbridge.entrypoints.settings import Settings
from tests.unit.entrypoints.http.serving import API, FAST, BrokenSink, serving

pytestmark = pytest.mark.usefixtures("each_way")

PATIENT = Settings(request_timeout_s=300.0, attempt_timeout_s=300.0)
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "gzip, zstd": lambda body: zstd.compress(gzip.compress(body)),
}


async def post(
    body: bytes | list[bytes], sink: MemorySink | None = None, settings: Settings = PATIENT, **headers: str
) -> httpx.Response:
    """The answer to a body, or to one that comes in these parts."""

    async def parts() -> AsyncIterator[bytes]:
        for part in body:
            yield part  # type: ignore[misc]  # of a list they are bytes

    async with serving(sink, settings) as client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else parts()
        return await client.post(f"{API}/stream", content=content, headers=named)


def lines(count: int) -> bytes:
    """So many entries, whose messages are their line numbers."""
    return b"".join(b'{"message":"%d"}\n' % number for number in range(1, count + 1))


async def test_every_line_is_an_entry() -> None:
    """As write takes it; blank lines, a mark at the start and either end of a line make no difference."""
    sink = MemorySink()
    body = '\ufeff{"message":"一","adv_id":7}\r\n\n \t\r\n{"message":"two","level":"warning"}'.encode()
    answer = await post(body, sink)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {
        "total_count": 2, "success_count": 2, "error_count": 0, "errors": [], "errors_truncated": False,
        "lines_read": 4, "stopped": "",
    }  # fmt: skip
    assert [(entry.message, entry.level.name) for entry in sink.entries] == [("一", "INFO"), ("two", "WARN")]
    assert sink.entries[0].metadata == {"adv_id": "7"}


async def test_a_bad_line_fails_alone() -> None:
    """Not JSON, not an entry, not text: each has its line number and its reason; the others are written."""
    sink = MemorySink()
    body = b'{"message":"1"}\n\nnope\n{"message":"","log_id":"x"}\n{"message":"\xff"}\n[]\n{"message":"7"}\n'
    answer = await post(body, sink)
    told = answer.json()
    assert (answer.status_code, told["total_count"], told["success_count"]) == (200, 6, 2)
    assert [error["line"] for error in told["errors"]] == [3, 4, 5, 6]
    for error, reason in zip(told["errors"], ("Expecting", "$.message", "UTF-8", "object"), strict=True):
        assert reason in error["error_message"]
    assert [entry.message for entry in sink.entries] == ["1", "7"]


async def test_a_line_that_is_too_long() -> None:
    """It fails, by its limit; an entry as large as allowed passes however JSON spells it."""
    sink = MemorySink()
    settings = replace(PATIENT, entry_bytes_max=1024)
    long = b'{"message":"' + b"\\u0001" * 900 + b'"}'
    body = [b"{", b" " * 7000, b"}\n", long + b"\n", b'{"message":"', b"x" * 1100, b'"}\n{"message":"4"}']
    told = (await post(body, sink, settings)).json()
    assert (told["success_count"], told["lines_read"]) == (2, 4)
    first, second = told["errors"]
    assert (first["line"], "LOGBRIDGE_ENTRY_BYTES_MAX=1024" in first["error_message"]) == (1, True)
    assert "more than 6144 bytes" in first["error_message"]
    assert (second["line"], "bytes of text" in second["error_message"]) == (3, True)
    assert [entry.message for entry in sink.entries] == ["\x01" * 900, "4"]


@pytest.mark.parametrize("body", [b"", b"\n\r\n  \n", b"\xef\xbb\xbf"])
async def test_an_empty_stream(body: bytes) -> None:
    """It is 422, as an empty batch is."""
    answer = await post(body)
    assert (answer.status_code, answer.json()["total_count"]) == (422, 0)
    assert "expected 1 line or more" in answer.json()["detail"]


@pytest.mark.parametrize("media_type", [*MEDIA_TYPES, "application/x-ndjson; charset=utf-8", ""])
async def test_media_types(media_type: str) -> None:
    """The names that the field has for lines of JSON are taken, and so is none."""
    assert (await post(lines(1), content_type=media_type)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"content_type": "application/json"}, ("accept", "application/x-ndjson")),
        ({"content_type": "text/plain"}, ("accept", "application/jsonl")),
        ({"content_encoding": "compress"}, ("accept-encoding", "zstd")),
    ],
)
async def test_others_are_refused(headers: dict[str, str], allowed: tuple[str, str]) -> None:
    """Another media type or encoding is 415, and the answer says what is taken."""
    answer = await post(lines(1), **headers)
    assert (answer.status_code, answer.json()["lines_read"]) == (415, 0)
    assert allowed[1] in answer.headers[allowed[0]]


@given(
    encoding=st.sampled_from(sorted(COMPRESS)),
    cuts=st.lists(st.integers(0, 300), max_size=8),
    count=st.integers(1, 30),
)
@examples(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_neither_parts_nor_encodings_matter(encoding: str, cuts: list[int], count: int) -> None:
    """Lines are what they are, however the body comes."""
    sink, body, cuts = MemorySink(), COMPRESS[encoding](lines(count)), sorted(cuts)
    parts = [body[begin:end] for begin, end in zip([0, *cuts], [*cuts, None], strict=True)]
    answer = await post(parts, sink, content_encoding=encoding)
    assert (answer.status_code, answer.json()["success_count"], answer.json()["lines_read"]) == (
        200, count, count,
    )  # fmt: skip
    assert sorted(int(entry.message) for entry in sink.entries) == list(range(1, count + 1))


@pytest.mark.parametrize("whole", [gzip.compress(lines(50)), gzip.compress(lines(50)) + b"more"])
async def test_a_broken_encoding_stops_it(whole: bytes) -> None:
    """400, and what came before is written and counted."""
    sink = MemorySink()
    body = whole if whole.endswith(b"more") else whole[:-10]
    answer = await post(body, sink, content_encoding="gzip")
    told = answer.json()
    assert (answer.status_code, answer.headers["connection"]) == (400, "close")
    assert "Content-Encoding" in told["stopped"] == told["detail"]
    assert told["success_count"] == told["lines_read"] == len(sink.entries) > 0


async def test_a_few_bytes_that_stand_for_many() -> None:
    """They are read to their end, and only the line that they make is lost."""
    bomb = gzip.compress(b"0" * 50_000_000 + b"\n" + lines(1))
    answer = await post(bomb, settings=replace(PATIENT, body_bytes_max=1024), content_encoding="gzip")
    assert (answer.status_code, answer.json()["error_count"], answer.json()["success_count"]) == (200, 1, 1)


async def test_nothing_accepted() -> None:
    """The gravest status as for a batch, the members beside it."""
    scripts = [([refuse("no")] * 3, 502), ([refuse("no"), lose("gone")], 504), ([fail("full")] * 2, 503)]
    for script, status in scripts:
        answer = await post(lines(len(script)), MemorySink(script))
        told = answer.json()
        assert (answer.status_code, told["status"], told["error_count"]) == (status, status, len(script))
        assert "line 1: " in told["detail"]
    assert answer.headers["retry-after"]
    assert (await post(b"{}\n[]\n")).status_code == 422


async def test_some_accepted() -> None:
    """200 if any line was; only the first hundred failures are told one by one."""
    answer = await post(lines(151), MemorySink([*[refuse("no")] * 150, accept]))
    told = answer.json()
    assert (answer.status_code, told["success_count"], told["error_count"]) == (200, 1, 150)
    assert [error["line"] for error in told["errors"]] == list(range(1, 101))
    assert told["errors_truncated"]
    assert told["errors"][0]["log_id"]


async def test_a_passing_failure_is_waited_for() -> None:
    """A line that the log service does not take now goes again, under its id, as long as there is time."""
    sink = MemorySink([fail("later", again=True)] * 3)
    settings = replace(PATIENT, request_timeout_s=0.05, attempt_timeout_s=0.05, retry_budget_s=0.05)
    assert (await post(lines(3), sink, settings)).json()["success_count"] == 3


async def test_requests_say_how_long() -> None:
    """Request-Timeout is for each batch; one that is no time is 422."""
    sink = MemorySink([fail("later", again=True)] * 1000)
    answer = await post(lines(1), sink, request_timeout="0.05")
    assert (answer.status_code, answer.json()["error_count"]) == (503, 1)
    assert (await post(lines(1), request_timeout="soon")).status_code == 422


async def test_a_fault_of_ours() -> None:
    """500 that tells nothing of it."""
    answer = await post(lines(2500), BrokenSink(), FAST)
    assert (answer.status_code, "secret" in answer.text) == (500, False)


async def test_what_is_written_twice_is_stored_once() -> None:
    """A stream whose lines have ids can be sent again."""
    sink = MemorySink()
    body = json.dumps({"message": "a", "log_id": "mine"}).encode() + b"\n"
    told = (await post(body * 3, sink)).json()
    assert (told["success_count"], len(sink.entries)) == (3, 1)
