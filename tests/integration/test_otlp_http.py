"""POST /v1/logs over real connections, by hand: what a client that is no SDK sends, and its answers."""

from pathlib import Path
from typing import Any

import pytest

from logbridge.entrypoints.http.otlp import EXAMPLE, PATH
from tests.integration.processes import bridge, free_port
from tests.integration.served import API
from tests.integration.test_keys import bearer, create

JSON = {"Content-Type": "application/json"}
RECORD: dict[str, Any] = {
    "timeUnixNano": "1725013845123456789",
    "observedTimeUnixNano": 1725013846000000000,
    "severityNumber": 17,
    "severityText": "Error",
    "body": {"stringValue": "付款失败"},
    "traceId": "4BF92F3577B34DA6A3CE929D0E0E4736",
    "spanId": "00f067aa0ba902b7",
    "attributes": [
        {"key": "exception.type", "value": {"stringValue": "ValueError"}},
        {"key": "tries", "value": {"intValue": "3"}},
        {"key": "sizes", "value": {"arrayValue": {"values": [{"intValue": 1}, {"doubleValue": 2.5}]}}},
        {"key": "ok", "value": {"boolValue": False}},
    ],
    "flags": 1,
    "ofAFutureVersion": {"a": 1},
}


def document(*records: Any) -> dict[str, Any]:
    """A request of these records."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [*records]}]}]}


def test_otlp_json_by_hand(tmp_path: Path) -> None:
    """Ids in hexadecimal of either case, numbers as text or not, names of a later version: all is read."""
    with bridge(tmp_path, "memory://") as served:
        answer = served.client.post(PATH, json=document(RECORD))
        assert (answer.status_code, answer.json()) == (200, {})
        (log,) = served.client.get(f"{API}/query").json()["logs"]
    assert (log["message"], log["level"], log["service_name"]) == ("付款失败", "ERROR", "shop")
    assert log["timestamp"] == "2024-08-30T10:30:45.123456789+00:00"
    assert (log["trace_id"], log["span_id"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert log["metadata"] == {
        "exception.type": "ValueError",
        "tries": "3",
        "sizes": "[1,2.5]",
        "ok": "false",
        "otel.types": '{"ok":"bool","sizes":"array","tries":"int"}',
        "otel.observed_time": "2024-08-30T10:30:46.000000+00:00",
        "otel.severity_text": "Error",
        "otel.flags": "1",
    }


def test_a_partial_success(tmp_path: Path) -> None:
    """A record too large for an entry is counted, with its place and the setting; the other is stored."""
    large = {"body": {"stringValue": "m" * 3000}}
    with bridge(tmp_path, "memory://", LOGBRIDGE_ENTRY_BYTES_MAX="2048") as served:
        told = served.client.post(PATH, json=document(RECORD, large)).json()["partialSuccess"]
        assert [log["message"] for log in served.client.get(f"{API}/query").json()["logs"]] == ["付款失败"]
    assert told["rejectedLogRecords"] == "1"
    assert told["errorMessage"].startswith("record 1: ")
    assert "LOGBRIDGE_ENTRY_BYTES_MAX=2048" in told["errorMessage"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", JSON, 400, 3),
        (b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": "xyz"}]}]}]}', JSON, 400, 3),
        (b"\xff", {"Content-Type": "application/x-protobuf"}, 400, 3),
        (b" " * 70_000, JSON, 413, 3),
        (b"a", {"Content-Type": "text/plain"}, 415, 3),
        (b"a", {}, 415, 3),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, body: bytes, headers: dict[str, str], status: int, code: int
) -> None:
    """The answer has a google.rpc.Status in the encoding of the request, in JSON where it has none."""
    with bridge(tmp_path, "memory://", LOGBRIDGE_BODY_BYTES_MAX="65536") as served:
        answer = served.client.post(PATH, content=body, headers=headers)
    assert answer.status_code == status
    if "protobuf" in headers.get("Content-Type", ""):
        assert answer.headers["content-type"] == "application/x-protobuf"
        assert answer.content.startswith(bytes((8, code)))
    else:
        assert (answer.headers["content-type"], answer.json()["code"]) == ("application/json", code)


def test_keys_are_asked_for(tmp_path: Path) -> None:
    """401 without a key, 403 without its scope; a key with it writes, as Bearer or as X-API-Key."""
    writing, reading = create(tmp_path, "w", "--scope", "write"), create(tmp_path, "r", "--scope", "read")
    with bridge(tmp_path, "memory://", LOGBRIDGE_KEYS_FILE=str(tmp_path / "keys.json")) as served:
        for headers, status, code in (
            ({}, 401, 16),
            (bearer("nonsense"), 401, 16),
            (bearer(reading), 403, 7),
            (bearer(writing), 200, None),
            ({"X-API-Key": writing}, 200, None),
        ):
            answer = served.client.post(PATH, json=EXAMPLE, headers=headers)
            assert (answer.status_code, answer.json().get("code")) == (status, code)


def test_who_comes_too_often_is_told_when(tmp_path: Path) -> None:
    """429 has Retry-After."""
    with bridge(tmp_path, "memory://", LOGBRIDGE_ADDRESS_RATE="1/h") as served:
        assert served.client.post(PATH, json=EXAMPLE).status_code == 200
        answer = served.client.post(PATH, json=EXAMPLE)
    assert (answer.status_code, answer.json()["code"]) == (429, 8)
    assert int(answer.headers["retry-after"]) > 1


def test_without_a_log_service_it_is_503(tmp_path: Path) -> None:
    """Nobody there: 503 with Retry-After, and how many were acknowledged."""
    with bridge(tmp_path, f"grpc://127.0.0.1:{free_port()}", LOGBRIDGE_RETRY_BUDGET_S="0.1") as served:
        answer = served.client.post(PATH, json=EXAMPLE)
    assert (answer.status_code, answer.json()["code"]) == (503, 14)
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["message"].startswith("0 of 1 records were acknowledged: ")
