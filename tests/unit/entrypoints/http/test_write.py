"""Write, batch and concurrent-test: what goes in, what is stored, and what bad input gets."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from logbridge.adapters.memory import MemorySink, Step, accept, fail, hang, lose, refuse
from logbridge.entrypoints.settings import Settings
from tests.unit.entrypoints.http.serving import API, FAST, BrokenSink, serving

pytestmark = pytest.mark.usefixtures("each_way")


async def post(
    body: bytes, path: str = "write", sink: MemorySink | None = None, **headers: str
) -> httpx.Response:
    async with serving(sink) as client:
        return await client.post(f"{API}/{path}", content=body, headers=headers)


async def test_a_write_is_stored_and_acknowledged() -> None:
    """A log of the contract is stored with its log fields, and all the rest in metadata."""
    sink = MemorySink()
    body = {
        "message": "m", "level": "warning", "adv_id": 1, "metadata": {"adv_id": "inner", "n": None},
        "other": {"a": [1.5, True]}, "big": 2**80, "log_id": "mine", "message_": "x",
    }  # fmt: skip
    answer = await post(json.dumps(body).encode(), sink=sink)
    assert (answer.status_code, answer.json()) == (
        200,
        {"success": True, "log_id": "mine", "error_message": ""},
    )
    entry = sink.entries[0]
    assert entry.level.name == "WARN"
    assert entry.metadata == {
        "adv_id": "inner", "other": '{"a":[1.5,true]}', "big": str(2**80), "message_": "x",
    }  # fmt: skip


BAD_BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "empty"),
    (b"{", 400, "line 1"),
    (b"\xef\xbb\xbf{}", 400, "BOM"),
    (b'{"message": NaN}', 400, "NaN"),
    (b'{"message": "\xff"}', 400, "UTF-8"),
    (b'{"message": "a", "x": "\xff"}', 400, "UTF-8"),
    (b'{"message": "a", "x": "\\ud800"}', 400, "surrogate"),
    (b"[" * 100_000, 400, "nested"),
    (b'{"message":"a","x":1e400}', 422, "$.x: this number is out of range"),
    (b'{"message":"a","metadata":{"l":[1,{"y":-1e999}]}}', 422, "$.metadata.l[1].y: this number"),
    (b'{"message":"a","x":1e400, x', 400, "line 1"),
    (b'{"message":"a","x":' + b"9" * 5000 + b"}", 422, "out of range"),
    (b'{"message":"a","x":' + b"[" * 100 + b"]" * 100 + b"}", 422, "$.x"),
    (b'{"message":"a","adv_id":"1"}', 422, "$.adv_id"),
    (b'{"message":"a","adv_id":"1", x', 400, "line 1"),
    (b'{"message":""}', 422, "$.message"),
    (b'{"message":null}', 422, "$.message"),
    (b"{}", 422, "message"),
    (b"[]", 422, "expected an object"),
    (b'{"message":"a","level":"LOUD"}', 422, "$.level"),
    (b'{"message":"a","timestamp":"today"}', 422, "$.timestamp"),
    (b'{"message":"' + b"a" * 2**20 + b'"}', 413, "262144"),
]


@pytest.mark.parametrize(("body", "status", "reason"), BAD_BODIES)
async def test_bad_input_is_told_what_is_wrong(body: bytes, status: int, reason: str) -> None:
    """Each kind of bad input has its status, a reason that helps, and the members of a write result."""
    answer = await post(body)
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["success"]) == (status, status, False)
    assert reason in problem["detail"] == problem["error_message"]
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("step", "status"), [(refuse("why"), 502), (fail("why"), 503), (lose("why"), 504), (hang, 504)]
)
@pytest.mark.parametrize(
    ("path", "body"), [
        ("write", {"message": "a", "log_id": "x"}),
        ("batch", {"log_entries": [{"message": "a", "log_id": "x"}]}),
        ("concurrent-test", {"count": 1, "max_workers": 1}),
    ],
)  # fmt: skip
async def test_an_outcome_has_its_status(step: Step, status: int, path: str, body: Any) -> None:
    """What the log service did shows in the status; a 503 says when to come back."""
    answer = await post(json.dumps(body).encode(), path, MemorySink([step]))
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)
    if path != "concurrent-test":
        result = answer.json() if path == "write" else answer.json()["results"][0]
        assert (result["success"], result["log_id"]) == (False, "x")


async def test_a_taken_id_is_a_conflict() -> None:
    """Other content under a taken id is 409; the same log again is the same answer."""
    sink = MemorySink()
    async with serving(sink) as client:
        answers = [
            await client.post(f"{API}/write", json={"message": message, "log_id": "x"})
            for message in ("one", "one", "two")
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 409]
    assert len(sink.entries) == 1


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("content-type", "text/plain", 415),
        ("content-type", "application/x+json; charset=utf-8", 200),
        ("content-encoding", "compress", 415),
        ("content-encoding", "identity", 200),
    ],
)
async def test_only_plain_json_is_read(name: str, value: str, status: int) -> None:
    """Another media type or an encoding is 415, and the answer says what would do."""
    answer = await post(b'{"message":"a"}', **{name: value})
    assert answer.status_code == status
    if name == "content-encoding" and status == 415:
        assert answer.headers["accept-encoding"] == "identity, gzip, deflate, zstd, br"


async def test_a_body_over_the_limit_is_not_read() -> None:
    """Declared or streamed, a body over the limit is 413, and reading stops there."""
    pulled = 0

    async def parts() -> Any:
        nonlocal pulled
        for _ in range(100):
            pulled += 1
            yield b" " * 1000

    async with serving(settings=Settings(body_bytes_max=2000)) as client:
        declared = await client.post(f"{API}/write", content=b" " * 2001)
        streamed = await client.post(f"{API}/write", content=parts())
    assert [declared.status_code, streamed.status_code] == [413, 413]
    assert declared.headers["Connection"] == "close"
    assert pulled == 3


async def test_a_bad_entry_does_not_sink_its_batch() -> None:
    """Each bad entry fails by itself, whatever is wrong with it, and its neighbours are unchanged."""
    body = (
        b'{"log_entries":[{"message":"a","x":12345678901234567890123},{"message":"b","x":1e400},'
        b'{"message":"\\ud800"},{"message":"c","y":1.5},7,{"message":"d","x":' + b"9" * 5000 + b"}]}"
    )
    for part in (body, body.replace(b"\\ud800", b"")):
        sink = MemorySink()
        result = (await post(part, "batch", sink)).json()
        assert [one["success"] for one in result["results"]] == [True, False, False, True, False, False]
        assert [error.split(":")[0] for error in result["errors"]] == [f"Entry {n}" for n in (1, 2, 4, 5)]
        assert [entry.metadata for entry in sink.entries] == [{"x": "12345678901234567890123"}, {"y": "1.5"}]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{}", 422, "log_entries"),
        (b"[]", 422, "object"),
        (b'{"log_entries":null}', 422, "$.log_entries"),
        (b'{"log_entries":null, x', 400, "line 1"),
        (b'{"log_entries":[]}', 422, "$.log_entries"),
        (b'{"log_entries":"\\ud800"}', 422, "$.log_entries"),
        (b'{"log_entries":[NaN]}', 400, "NaN"),
        (b'{"log_entries":[' + b"[" * 50_000, 400, "nested"),
        (b'{"log_entries":[{"message":"\xff"}]}', 400, "UTF-8"),
        (b'{"log_entries":[' + b'{"message":"a"},' * 3 + b'{"message":"a"}]}', 400, "MAX_BATCH_SIZE=3"),
        (b'{"log_entries":[{"message":""},{"level":1}]}', 422, "Entry 0"),
        (b'{"log_entries":[{"message":"a"}],"other":1}', 200, ""),
    ],
)
async def test_a_bad_batch_is_told_what_is_wrong(body: bytes, status: int, reason: str) -> None:
    """A batch that cannot be read as a whole gets its status and the members of a batch result."""
    async with serving(settings=Settings(max_batch_size=3)) as client:
        answer = await client.post(f"{API}/batch", content=body)
    assert answer.status_code == status
    assert reason in " ".join(answer.json()["errors"])


async def test_a_batch_takes_its_gravest_status() -> None:
    """503 before 504 before 502; one success makes it a 200."""
    body = json.dumps({"log_entries": [{"message": "a"}] * 3}).encode()
    scripts: list[tuple[list[Step], int]] = [
        ([refuse("r"), lose("l"), fail("f")], 503),
        ([refuse("r"), lose("l"), refuse("r")], 504),
        ([refuse("r"), accept, fail("f")], 200),
    ]
    for script, status in scripts:
        assert (await post(body, "batch", MemorySink(script))).status_code == status


async def test_a_concurrent_test_reports_counts() -> None:
    """Every generated log is written, and failures are counted with their reasons."""
    sink = MemorySink([fail("full")])
    answer = await post(b'{"count": 25, "max_workers": 5}', "concurrent-test", sink)
    report = answer.json()
    assert (report["success_count"], report["failed_count"], len(sink.entries)) == (24, 1, 24)
    assert report["error_summary"] == {"total_errors": 1, "sample_errors": ["full"]}
    assert len(report["sample_results"]) == 10


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b'{"count": 10001}', 400, "MAX_CONCURRENT_REQUESTS=10000"),
        (b'{"max_workers": 51}', 400, "MAX_CONCURRENT_WORKERS=50"),
        (b'{"count": 0}', 422, "$.count"),
        (b'{"count": "1"}', 422, "$.count"),
    ],
)
async def test_a_concurrent_test_keeps_to_the_limits(body: bytes, status: int, reason: str) -> None:
    """The answer names the limit and its value."""
    answer = await post(body, "concurrent-test")
    assert (answer.status_code, reason in answer.json()["detail"]) == (status, True)


async def test_a_fault_of_the_bridge_shows_no_internals(caplog: pytest.LogCaptureFixture) -> None:
    """An unforeseen error is a 500 problem; the reason is in the bridge's own log only."""
    answer = await post(b'{"message":"a"}', sink=BrokenSink())
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
_names = st.sampled_from(
    ["message", "level", "adv_id", "metadata", "timestamp", "log_id", "log_entries", "count"]
)
_documents = (_json | st.dictionaries(_names, _json)).map(lambda value: json.dumps(value).encode())


@examples(max_examples=60, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=200) | _documents)
async def test_no_body_breaks_the_bridge(body: bytes) -> None:
    """Arbitrary JSON and arbitrary bytes get an answer below 500 everywhere."""
    async with serving(settings=FAST) as client:
        wrapped = b'{"log_entries":[{"message":"a"},' + body + b"]}"
        for path, content in (
            ("write", body),
            ("batch", body),
            ("batch", wrapped),
            ("concurrent-test", b"[" + body),
        ):
            answer = await client.post(f"{API}/{path}", content=content)
            assert answer.status_code < 500, (path, content, answer.text)
