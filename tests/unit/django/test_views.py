"""The field's Django views over memory: shapes, statuses, limits, and who may make load."""

import json
from typing import Any

import pytest
from django.test import Client, override_settings

from logbridge import MemorySink, refuse, use_sink

RESULT = {"success", "log_id", "error_message"}
COUNTS = {"success", "total_count", "success_count", "failed_count", "duration_seconds", "logs_per_second"}


def post(path: str, body: Any, **headers: str) -> tuple[int, Any]:
    """The status and the JSON of an answer; CSRF is checked as for any other program."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    client = Client(enforce_csrf_checks=True, headers={"Host": "localhost"} | headers)
    answer = client.post(path, content, content_type="application/json")
    return answer.status_code, answer.json()


def test_a_log_is_written(sink: MemorySink) -> None:
    """Every field arrives, and the answer has the id."""
    fields = {"level": "warning", "adv_id": 7, "metadata": {"a": [1]}, "self": 1, "span_id": None}
    status, answer = post("/write_log/", {"message": "one"} | fields)
    [entry] = sink.entries
    assert (status, answer) == (200, {"success": True, "log_id": entry.id, "error_message": ""})
    assert (entry.message, entry.service_name, entry.level.name) == ("one", "shop", "WARN")
    assert entry.metadata == {"a": "[1]", "adv_id": "7", "self": "1"}


def test_a_service_of_its_own_is_kept(sink: MemorySink) -> None:
    """SERVICE_NAME is for logs that name none."""
    post("/write_log/", {"message": "one", "service_name": "other"})
    post("/write_log/", {"message": "two", "service_name": None})
    assert [entry.service_name for entry in sink.entries] == ["other", "shop"]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({}, 400, "message: it is missing or empty"),
        ({"message": ""}, 400, "message: it is missing or empty"),
        ([], 400, "expected a JSON object with a message"),
        (b"{", 400, "the body is not JSON"),
        (b"", 400, "the body is not JSON: it is empty"),
        ({"message": 5}, 400, "$.message: Expected `str`"),
        ({"message": "one", "level": "LOUD"}, 400, "$.level: expected one of"),
        ({"message": "one", "timestamp": "noon"}, 400, "$.timestamp: expected an RFC 3339 time"),
        ({"message": "x" * 300_000}, 413, "LOGBRIDGE_ENTRY_BYTES_MAX"),
        ({"message": "x" * 3_000_000}, 413, "DATA_UPLOAD_MAX_MEMORY_SIZE"),
    ],
)
def test_a_bad_log_is_told(sink: MemorySink, body: Any, status: int, reason: str) -> None:
    """With the field and the reason, in the field's shape; nothing is written."""
    answer_status, answer = post("/write_log/", body)
    assert (answer_status, answer["success"]) == (status, False)
    assert reason in answer["error"]
    assert sink.entries == []


def test_a_log_that_is_not_taken_is_told() -> None:
    """502, and the write result says why."""
    with use_sink(MemorySink([refuse("no, thanks")])):
        status, answer = post("/write_log/", {"message": "one"})
    assert (status, answer["success"]) == (502, False)
    assert "no, thanks" in answer["error_message"]


@pytest.mark.parametrize("path", ["/write_log/", "/batch_write_test/", "/concurrent_test/"])
def test_only_post_is_answered(path: str) -> None:
    """Nothing is written by a link."""
    assert Client(headers={"Host": "localhost"}).get(path).status_code == 405


def test_a_batch_test_writes_in_batches(sink: MemorySink) -> None:
    """The counts, and ten results at most."""
    status, answer = post("/batch_write_test/", {"count": 2_500})
    assert (status, answer["success_count"], answer["failed_count"]) == (200, 2_500, 0)
    assert set(answer) == COUNTS | {"results", "error_summary"}
    assert [set(result) for result in answer["results"]] == [RESULT] * 10
    assert len(sink.entries) == 2_500
    assert {entry.service_name for entry in sink.entries} == {"shop-concurrent-test"}


def test_a_concurrent_test_writes_each_by_itself(sink: MemorySink) -> None:
    """The answer is that of REST."""
    status, answer = post("/concurrent_test/", {"count": 300, "max_workers": 7})
    assert (status, answer["success_count"], answer["max_workers"]) == (200, 300, 7)
    assert set(answer) == COUNTS | {"max_workers", "sample_results", "error_summary"}
    assert len(answer["sample_results"]) == 10
    assert len({entry.trace_id for entry in sink.entries}) == 300
    assert {entry.metadata["client_type"] for entry in sink.entries} == {"logbridge-django"}


@pytest.mark.parametrize("path", ["/batch_write_test/", "/concurrent_test/"])
def test_failures_of_a_test_are_counted(path: str) -> None:
    """With their reasons; 502 where nothing was taken."""
    with use_sink(MemorySink([refuse("no, thanks")] * 3)):
        status, answer = post(path, {"count": 3, "max_workers": 1})
    assert (status, answer["success"]) == (502, False)
    assert answer["error_summary"]["total_errors"] == 3
    assert "no, thanks" in answer["error_summary"]["sample_errors"][0]


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        (
            "/batch_write_test/",
            {"count": 10_001},
            "$.count: 10001 is more than MAX_CONCURRENT_REQUESTS=10000",
        ),
        ("/concurrent_test/", {"count": 0}, "$.count: expected 1 or more"),
        (
            "/concurrent_test/",
            {"max_workers": 51},
            "$.max_workers: 51 is more than MAX_CONCURRENT_WORKERS=50",
        ),
        ("/concurrent_test/", {"count": "all"}, "$.count: Expected `int | null`"),
        ("/concurrent_test/", b"nonsense", "the body is not JSON"),
    ],
)
def test_a_test_beyond_the_limits_is_told(sink: MemorySink, path: str, body: Any, reason: str) -> None:
    """400 that names the setting and its value; nothing is written."""
    status, answer = post(path, body)
    assert (status, answer["success"]) == (400, False)
    assert reason in answer["error"]
    assert sink.entries == []


STRANGERS = [
    {"Host": "shop.example"},
    {"X-Forwarded-For": "203.0.113.5"},
    {"Forwarded": "for=203.0.113.5"},
    {"Origin": "https://evil.example"},
]


@pytest.mark.parametrize("headers", STRANGERS, ids=str)
@pytest.mark.parametrize("path", ["/batch_write_test/", "/concurrent_test/"])
def test_strangers_make_no_load(sink: MemorySink, path: str, headers: dict[str, str]) -> None:
    """403 with the setting that opens it, as over REST; with that setting they may."""
    status, answer = post(path, {"count": 1}, **headers)
    assert (status, answer["success"]) == (403, False)
    assert 'LOGBRIDGE["OPEN"] = "test"' in answer["error"]
    assert sink.entries == []
    with override_settings(LOGBRIDGE={"URL": "grpc://localhost:50051", "OPEN": "test"}):
        assert post(path, {"count": 1}, **headers)[0] == 200


@pytest.mark.parametrize("address", ["203.0.113.5", ""])
def test_another_machine_makes_no_load(sink: MemorySink, address: str) -> None:
    """Nor does whoever comes through a socket without an address."""
    client = Client(headers={"Host": "localhost"}, REMOTE_ADDR=address)
    assert client.post("/concurrent_test/", b"{}", content_type="application/json").status_code == 403


@pytest.mark.parametrize("headers", STRANGERS, ids=str)
def test_strangers_may_write(sink: MemorySink, headers: dict[str, str]) -> None:
    """As the field expects."""
    assert post("/write_log/", {"message": "one"}, **headers)[0] == 200
