"""POST /v1/logs: what is stored, and what exporters are answered."""

import gzip
import json
from typing import Any

import httpx
import pytest
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from msgspec.structs import replace
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceResponse,
)

from logbridge.adapters.keys.file import KeysFile
from logbridge.adapters.keys.ring import new_key
from logbridge.adapters.memory import MemorySink, Step, fail, hang, lose, refuse
from logbridge.adapters.otlp.mapping import to_request
from logbridge.domain.access import Key, Scope
from logbridge.domain.entry import LogEntry
from logbridge.entrypoints.http.otlp import EXAMPLE, PATH, PROTOBUF
from logbridge.entrypoints.settings import Settings
from tests.factories import make_entry
from tests.unit.entrypoints.http.serving import FAST, BrokenSink, serving

TOO_LARGE = make_entry(message="m" * 2000)
SMALL = replace(FAST, entry_bytes_max=1024)


async def post(
    *entries: LogEntry,
    body: bytes | None = None,
    sink: MemorySink | None = None,
    settings: Settings = FAST,
    **headers: str,
) -> httpx.Response:
    """The answer to these entries, or this body, in protobuf unless a header says otherwise."""
    content = to_request(entries).SerializeToString() if body is None else body
    named = {"content-type": PROTOBUF} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with serving(sink, settings) as client:
        return await client.post(PATH, content=content, headers=named)


def status_of(answer: httpx.Response) -> Status:
    """The Status in the body of an error."""
    assert answer.headers["content-type"] == PROTOBUF
    return Status.FromString(answer.content)


def stored(sink: MemorySink) -> dict[str, Any]:
    """What is stored, by id."""
    return {entry.id: entry for entry in sink.entries}


async def test_logs_are_stored_and_acknowledged() -> None:
    """What was sent is stored as it is, and the answer is an empty response in the same encoding."""
    sink, entries = MemorySink(), [make_entry(), make_entry(service_name="other")]
    answer = await post(*entries, sink=sink)
    assert (answer.status_code, answer.headers["content-type"]) == (200, PROTOBUF)
    assert ExportLogsServiceResponse.FromString(answer.content) == ExportLogsServiceResponse()
    assert stored(sink) == {entry.id: entry for entry in entries}


async def test_json_is_taken_and_answered_in_json() -> None:
    """OTLP/JSON has hexadecimal ids and numbers as text."""
    sink = MemorySink()
    answer = await post(body=json.dumps(EXAMPLE).encode(), sink=sink, content_type="application/json")
    assert (answer.status_code, answer.json()) == (200, {})
    (entry,) = sink.entries
    assert entry.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (entry.service_name, entry.timestamp) == ("shop", "2024-08-30T10:30:45.123456789+00:00")


async def test_a_body_may_be_compressed() -> None:
    """gzip is undone, as for every write; what is no gzip is 400, another encoding 415."""
    sink, entry = MemorySink(), make_entry()
    body = gzip.compress(to_request([entry]).SerializeToString())
    assert (await post(body=body, sink=sink, content_encoding="gzip")).status_code == 200
    assert stored(sink) == {entry.id: entry}
    assert (await post(body=b"no", content_encoding="gzip")).status_code == 400
    assert (await post(body=b"no", content_encoding="snappy")).status_code == 415


async def test_an_empty_request_is_fine() -> None:
    """A request without records is answered with success (OTLP specification)."""
    assert (await post()).status_code == 200
    assert (await post(body=b"{}", content_type="application/json")).json() == {}


async def test_a_bad_record_is_told_as_partial_success() -> None:
    """The others are stored; the answer counts it and says why."""
    sink, good = MemorySink(), make_entry()
    answer = await post(good, TOO_LARGE, sink=sink, settings=SMALL)
    partly = ExportLogsServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, partly.rejected_log_records) == (200, 1)
    assert partly.error_message.startswith("record 1: $: the entry has ")
    assert [*stored(sink)] == [good.id]


async def test_partial_success_in_json() -> None:
    """The count is text, as 64-bit numbers are in protobuf's JSON."""
    good = EXAMPLE["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    large = {"attributes": [{"key": "k" * 2000}]}
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [good, large]}]}]}
    answer = await post(body=json.dumps(body).encode(), settings=SMALL, content_type="application/json")
    assert answer.json()["partialSuccess"]["rejectedLogRecords"] == "1"


async def test_where_all_are_refused_nothing_is_a_success() -> None:
    """Invalid and permanent is 400, 413 if they are too large; neither is sent again."""
    assert (await post(TOO_LARGE, settings=SMALL)).status_code == 413
    answer = await post(make_entry(), sink=MemorySink([refuse("why")]))
    assert (answer.status_code, status_of(answer).code) == (400, 3)
    assert "nothing was written; record 0: why" in status_of(answer).message


@pytest.mark.parametrize(
    ("step", "status", "code"), [(fail("away"), 503, 14), (hang, 504, 4), (lose("cut"), 504, 4)]
)
async def test_what_may_pass_is_sent_again(step: Step, status: int, code: int) -> None:
    """503 and 504 are retryable in OTLP, and say when; some that were refused do not change that."""
    answer = await post(make_entry(), TOO_LARGE, sink=MemorySink([step]), settings=SMALL)
    assert (answer.status_code, status_of(answer).code) == (status, code)
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_request_that_comes_again_is_stored_once() -> None:
    """An exporter without an answer sends the same bytes again; OTLP has no ids, but these do."""
    sink = MemorySink()
    body = json.dumps(EXAMPLE).encode()
    async with serving(sink, FAST) as client:
        for _ in range(2):
            await client.post(PATH, content=body, headers={"content-type": "application/json"})
    assert len(sink.entries) == 1


async def test_a_request_may_have_more_records_than_a_batch() -> None:
    """Exporters know no MAX_BATCH_SIZE: their requests are written as several batches."""
    sink, entries = MemorySink(), [make_entry() for _ in range(25)]
    answer = await post(*entries, sink=sink, settings=replace(FAST, max_batch_size=10))
    assert answer.status_code == 200
    assert stored(sink) == {entry.id: entry for entry in entries}


@pytest.mark.parametrize("given_type", ["text/plain", "application/x-ndjson", "application/"])
async def test_another_media_type_is_415(given_type: str) -> None:
    """The answer names what would do; its body is JSON, since the request's encoding is none."""
    answer = await post(make_entry(), content_type=given_type)
    assert (answer.status_code, answer.headers["accept"]) == (415, "application/x-protobuf, application/json")
    assert answer.json()["code"] == 3


async def test_a_body_over_the_limit_is_413() -> None:
    """LOGBRIDGE_BODY_BYTES_MAX holds here too."""
    answer = await post(body=b"0" * 2000, settings=replace(FAST, body_bytes_max=1024))
    assert (answer.status_code, status_of(answer).code) == (413, 3)


async def test_keys_are_asked_for(tmp_path: Any) -> None:
    """401 without one, 403 without the scope or for another service; a service's own key may leave it out."""
    path = tmp_path / "keys.json"
    keys = {}
    for name, scopes in (("writer", {Scope.WRITE}), ("reader", {Scope.READ})):
        key, key_id, hashed = new_key()
        keys[name] = key
        KeysFile(path).add(
            Key(
                id=key_id, name=name, hash=hashed, scopes=frozenset(scopes), services=frozenset(["shop"]),
                created_at="2024-08-30T10:30:45Z",
            )
        )  # fmt: skip
    settings = replace(FAST, keys_file=str(path))
    mine, other = make_entry(service_name="shop"), make_entry(service_name="other")
    unknown = await post(mine, settings=settings)
    assert (unknown.status_code, status_of(unknown).code) == (401, 16)
    reading = await post(mine, settings=settings, x_api_key=keys["reader"])
    assert (reading.status_code, status_of(reading).code) == (403, 7)
    writing = {"settings": settings, "authorization": f"Bearer {keys['writer']}"}
    assert (await post(mine, **writing)).status_code == 200  # type: ignore[arg-type]  # headers and settings
    assert (await post(other, **writing)).status_code == 403  # type: ignore[arg-type]  # the same
    partly = await post(mine, other, **writing)  # type: ignore[arg-type]  # the same
    assert ExportLogsServiceResponse.FromString(partly.content).partial_success.rejected_log_records == 1


async def test_rates_are_counted() -> None:
    """429 says when to come back."""
    settings = replace(FAST, address_rate="1/h")
    async with serving(MemorySink(), settings) as client:
        headers = {"content-type": PROTOBUF}
        assert (await client.post(PATH, content=b"", headers=headers)).status_code == 200
        answer = await client.post(PATH, content=b"", headers=headers)
    assert (answer.status_code, status_of(answer).code) == (429, 8)
    assert int(answer.headers["retry-after"]) > 1


async def test_a_fault_of_ours_is_a_500_that_tells_nothing() -> None:
    """OTLP exporters do not send it again; the log of the bridge has the reason."""
    answer = await post(make_entry(), sink=BrokenSink())
    assert answer.status_code == 500
    assert b"secret" not in answer.content


@examples(max_examples=60, suppress_health_check=list(HealthCheck))
@given(body=st.one_of(st.binary(), st.text().map(str.encode), st.just(b"[]")), as_json=st.booleans())
async def test_garbage_is_never_a_5xx(body: bytes, as_json: bool) -> None:
    """Whatever comes is taken or refused as the client's fault, in the encoding of the request."""
    media_type = "application/json" if as_json else PROTOBUF
    answer = await post(body=body, content_type=media_type)
    assert answer.status_code in (200, 400)
    assert answer.headers["content-type"] == media_type
