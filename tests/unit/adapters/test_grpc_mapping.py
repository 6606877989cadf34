"""Entries, questions and statuses ↔ the wire: pure functions."""

from typing import Any

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from hypothesis import given
from hypothesis import strategies as st

from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.mapping import (
    batch_outcomes,
    from_message,
    from_request,
    from_result,
    level_of,
    to_message,
    to_request,
    to_result,
)
from logbridge.adapters.grpc.status import (
    RETRY_INFO_S_MAX,
    details_of,
    failure_of,
    outcome_of,
    reader_error_of,
    status_of_error,
    status_of_outcome,
)
from logbridge.domain.entry import LogEntry, LogLevel
from logbridge.domain.errors import (
    EntryTooLarge,
    InvalidEntry,
    InvalidRequest,
    QueryNotSupported,
    QueryRefused,
    ReaderUnavailable,
    StoreError,
)
from logbridge.domain.outcome import Accepted, Cause, Failed, Refused, Unknown
from logbridge.domain.query import LogFilter, LogQuery

DETAILS = "grpc-status-details-bin"
TEXT = st.text(st.characters(codec="utf-8"))


@given(
    entry=st.builds(
        LogEntry,
        id=TEXT,
        service_name=TEXT,
        level=st.sampled_from(LogLevel),
        message=TEXT,
        timestamp=TEXT,
        metadata=st.dictionaries(TEXT, TEXT, max_size=4),
        trace_id=TEXT,
        span_id=TEXT,
        timestamp_assigned=st.booleans(),
    )
)
def test_entry_survives_the_wire(entry: LogEntry) -> None:
    """Any entry goes to bytes and back unchanged."""
    raw = to_message(entry).SerializeToString()
    assert from_message(pb.LogEntry.FromString(raw)) == entry


@pytest.mark.parametrize(("number", "level"), [(9, LogLevel.FATAL), (-3, LogLevel.DEBUG), (2, LogLevel.WARN)])
def test_unknown_levels_of_a_peer_are_read_as_the_nearest(number: int, level: LogLevel) -> None:
    """A stored log with a level of tomorrow is still shown."""
    # Field 3, a varint of up to 10 bytes: the way an open enum comes from a newer peer.
    raw = b"\x18" + _varint(number & (2**64 - 1))
    assert from_message(pb.LogEntry.FromString(raw)).level is level


def _varint(number: int) -> bytes:
    head, rest = number & 0x7F, number >> 7
    return bytes([head | 0x80]) + _varint(rest) if rest else bytes([head])


def test_level_of_lists_what_there_is() -> None:
    """A number that is no level is refused with the numbers that are."""
    assert level_of(4) is LogLevel.FATAL
    with pytest.raises(ValueError, match=r"0 DEBUG, 1 INFO, .*4 FATAL, got 5"):
        level_of(5)


@pytest.mark.parametrize("level", [None, *LogLevel])
def test_query_survives_the_wire(level: LogLevel | None) -> None:
    """A question goes to bytes and back unchanged; no level stays no level."""
    query = LogQuery(
        service_name="s",
        level=level,
        start_time="2024-08-30T10:30:45Z",
        end_time="2024-08-31T10:30:45Z",
        trace_id="t",
        metadata={"k": "v"},
        text="错误",
        limit=7,
        offset=3,
    )
    raw = to_request(query).SerializeToString()
    assert from_request(pb.QueryLogRequest.FromString(raw)) == query


@pytest.mark.parametrize(("asked", "limit"), [(0, 100), (1, 1), (1000, 1000), (5000, 1000)])
def test_query_limits(asked: int, limit: int) -> None:
    """Limit 0 means 100, more than 1,000 is read as 1,000."""
    assert from_request(pb.QueryLogRequest(limit=asked)).limit == limit


@pytest.mark.parametrize(
    ("request_fields", "path"),
    [
        ({"limit": -1}, "$.limit"),
        ({"offset": -1}, "$.offset"),
        ({"start_time": "yesterday"}, "$.start_time"),
        ({"end_time": "2024"}, "$.end_time"),
        ({"level": 17}, "$.level"),
    ],
)
def test_bad_queries_name_the_field(request_fields: dict[str, Any], path: str) -> None:
    """A question that makes no sense is refused with the field's name."""
    with pytest.raises(InvalidRequest) as caught:
        from_request(pb.QueryLogRequest(**request_fields))
    assert caught.value.path == path


def test_a_filter_has_no_page() -> None:
    """A filter for following asks for no limit and no offset."""
    assert not to_request(LogFilter(text="x")).limit


@pytest.mark.parametrize(
    ("outcome", "received"),
    [
        (Accepted("id-1"), Accepted("id-1")),
        (Refused("id-1", "why", Cause.CONFLICT), Refused("id-1", "peer:1: why", Cause.CONFLICT)),
        (Refused("id-1", "why", Cause.TOO_LARGE), Refused("id-1", "peer:1: why", Cause.TOO_LARGE)),
        (Refused("id-1", "why", Cause.INVALID), Refused("id-1", "peer:1: why", Cause.PEER_REFUSED)),
        (Failed("id-1", "why"), Failed("id-1", "peer:1: why", Cause.OVERLOADED)),
        (Unknown("id-1", "why"), Unknown("id-1", "peer:1: why")),
    ],
)
def test_results_say_what_became_of_an_entry(outcome: Any, received: Any) -> None:
    """An outcome at the log service is the same outcome at its client, with the address in the reason."""
    assert from_result(to_result(outcome), "id-1", "peer:1") == received


SENT = ("a", "b", "c")
NOT_TAKEN = "peer:1: not taken: queue is full"


@pytest.mark.parametrize(
    ("answer", "outcomes"),
    [
        ({"success": True, "log_ids": ["1", "2", "3"]}, [Accepted("1"), Accepted("2"), Accepted("3")]),
        ({"success": True}, [Accepted("a"), Accepted("b"), Accepted("c")]),
        ({"success": True, "log_ids": ["1", "2"]}, None),
        ({"success": True, "log_ids": ["1", "2", "3", "4"]}, None),
        ({"log_ids": ["1", "2"]}, None),
        ({"log_ids": ["1", "2", "3"]}, None),
        ({}, [Failed(i, NOT_TAKEN, Cause.OVERLOADED) for i in SENT]),
        (
            {"log_ids": ["a", "c"]},
            [Accepted("a"), Failed("b", NOT_TAKEN, Cause.OVERLOADED), Accepted("c")],
        ),
        ({"success": True, "results": [{"verdict": pb.EntryResult.STORED, "log_id": "a"}]}, None),
    ],
)
def test_batch_answers(answer: dict[str, Any], outcomes: Any) -> None:
    """An entry is accepted only where the answer says that this very entry got in."""
    response = pb.BatchWriteLogResponse(error_message="queue is full", **answer)
    assert batch_outcomes(SENT, response, "peer:1") == outcomes


def test_an_id_sent_twice_does_not_say_which() -> None:
    """Two entries with one id, one of them taken: nobody can know which."""
    response = pb.BatchWriteLogResponse(log_ids=["a"])
    assert batch_outcomes(("a", "a"), response, "peer:1") is None


REFUSED = (Refused, Cause.PEER_REFUSED)
LOST = (Unknown, Cause.NO_ANSWER)
REFUSED_CONNECTION = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
    "Failed to connect to remote host: Connection refused"
)


@pytest.mark.parametrize(
    ("code", "details", "outcome"),
    [
        (StatusCode.UNAVAILABLE, REFUSED_CONNECTION, (Failed, Cause.UNAVAILABLE)),
        (StatusCode.UNAVAILABLE, "Socket closed", LOST),
        (StatusCode.DEADLINE_EXCEEDED, "", (Unknown, Cause.TIMEOUT)),
        (StatusCode.CANCELLED, "", LOST),
        (StatusCode.ABORTED, "", LOST),
        (StatusCode.UNKNOWN, "", LOST),
        (StatusCode.INTERNAL, "", LOST),
        (StatusCode.DATA_LOSS, "", LOST),
        (StatusCode.OK, "", LOST),
        (StatusCode.RESOURCE_EXHAUSTED, "queue is full", (Failed, Cause.OVERLOADED)),
        (
            StatusCode.RESOURCE_EXHAUSTED,
            "grpc: received message larger than max (5 vs. 4)",
            (Refused, Cause.TOO_LARGE),
        ),
        (
            StatusCode.RESOURCE_EXHAUSTED,
            "gRPC message exceeds maximum size 4: 5",
            (Refused, Cause.TOO_LARGE),
        ),
        (
            StatusCode.OUT_OF_RANGE,
            "Error, message length too large: found 5 bytes",
            (Refused, Cause.TOO_LARGE),
        ),
        (StatusCode.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (5 vs. 4)", LOST),
        (StatusCode.INVALID_ARGUMENT, "", REFUSED),
        (StatusCode.NOT_FOUND, "", REFUSED),
        (StatusCode.PERMISSION_DENIED, "", REFUSED),
        (StatusCode.FAILED_PRECONDITION, "", REFUSED),
        (StatusCode.OUT_OF_RANGE, "", (Failed, Cause.OVERLOADED)),
        (StatusCode.UNAUTHENTICATED, "", REFUSED),
        (StatusCode.UNIMPLEMENTED, "", REFUSED),
        (StatusCode.ALREADY_EXISTS, "", (Refused, Cause.CONFLICT)),
    ],
)
def test_statuses_become_outcomes(code: StatusCode, details: str, outcome: tuple[type, Cause]) -> None:
    """Every status of the contract's table leads to its outcome, with the address in the reason."""
    found = outcome_of(failure_of("peer:1", _rpc_error(code, details)), "id-1")
    assert not isinstance(found, Accepted)
    assert (type(found), found.cause) == outcome
    assert found.log_id == "id-1"
    assert found.reason.startswith("peer:1: ")


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        (REFUSED_CONNECTION, "peer:1: nothing listens there (connection refused)"),
        (
            "errors resolving x:1: [field:hostname lookup error:address lookup failed for x:1: "
            "Domain name not found]",
            "peer:1: this name leads to no address (Domain name not found)",
        ),
        (
            "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed",
            "peer:1: no connection: it hung up; does it want TLS (grpcs://, otlps://), "
            "or see LOGBRIDGE_SINK_CERT?",
        ),
    ],
)
def test_no_connection_is_said_in_plain_words(details: str, reason: str) -> None:
    """Who cannot connect is told where to and why."""
    assert failure_of("peer:1", _rpc_error(StatusCode.UNAVAILABLE, details)).reason == reason


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (StatusCode.UNIMPLEMENTED, QueryNotSupported),
        (StatusCode.INVALID_ARGUMENT, QueryRefused),
        (StatusCode.UNAVAILABLE, ReaderUnavailable),
    ],
)
def test_statuses_become_reader_errors(code: StatusCode, error: type[Exception]) -> None:
    """A question that failed says whether asking again may help."""
    assert type(reader_error_of(failure_of("peer:1", _rpc_error(code, "")))) is error


def _rpc_error(code: StatusCode, details: str, *trailing: tuple[str, Any]) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(*trailing), details=details)


class TestRetryInfo:
    """google.rpc.RetryInfo in the trailing metadata."""

    @given(asked_s=st.none() | st.floats(0, RETRY_INFO_S_MAX))
    def test_what_our_service_sends_arrives(self, asked_s: float | None) -> None:
        """A failed write at our log service is one that may go again, after the seconds that it asks for."""
        sent = details_of(Failed("id-1", "full", Cause.OVERLOADED, asked_s))
        failure = failure_of("peer:1", _rpc_error(StatusCode.RESOURCE_EXHAUSTED, "full", *sent))
        assert failure.may_go_again
        assert failure.retry_after_s == pytest.approx(asked_s or 0.0, abs=1e-6)

    @pytest.mark.parametrize("outcome", [Refused("id-1", "no"), Unknown("id-1", "lost"), Accepted("id-1")])
    def test_only_what_failed_may_go_again(self, outcome: Any) -> None:
        """Of any other outcome nothing is said."""
        assert details_of(outcome) == ()

    def test_a_long_reason_fits_the_headers(self) -> None:
        """A status travels in HTTP/2 headers, which end at 8 KiB."""
        ((_, raw),) = details_of(Failed("id-1", "日" * 100_000, Cause.OVERLOADED, 1.0))
        assert len(raw) < 1024

    @pytest.mark.parametrize(
        ("seconds", "asked_s"), [(-1, 0.0), (3_600, 3_600.0), (10**11, RETRY_INFO_S_MAX)]
    )
    def test_no_peer_is_taken_at_its_word(self, seconds: int, asked_s: float) -> None:
        """A time that has passed is now, and years are an hour."""
        status = Status()
        info = RetryInfo()
        info.retry_delay.seconds = seconds
        status.details.add().Pack(info)
        error = _rpc_error(StatusCode.UNAVAILABLE, "", (DETAILS, status.SerializeToString()))
        assert failure_of("peer:1", error).retry_after_s == asked_s

    @given(raw=st.binary(max_size=80) | st.text(max_size=20))
    def test_no_details_break_it(self, raw: bytes | str) -> None:
        """Whatever a peer puts there, the failure is told."""
        failure = failure_of("peer:1", _rpc_error(StatusCode.ABORTED, "why", (DETAILS, raw)))
        assert "why" in failure.reason

    def test_a_delay_that_is_no_delay(self) -> None:
        """Nanoseconds out of range, or a delay that cannot be parsed, are passed over or bounded."""
        for value in (b"\x0a\x08\x10\xff\xff\xff\xff\xff\xff\x01", b"\xff"):
            status = Status()
            status.details.add(type_url="type.googleapis.com/google.rpc.RetryInfo", value=value)
            error = _rpc_error(StatusCode.ABORTED, "why", (DETAILS, status.SerializeToString()))
            asked_s = failure_of("peer:1", error).retry_after_s
            assert asked_s is None or 0 <= asked_s <= RETRY_INFO_S_MAX


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Refused("", "", Cause.CONFLICT), StatusCode.ALREADY_EXISTS),
        (Refused("", "", Cause.INVALID), StatusCode.INVALID_ARGUMENT),
        (Refused("", "", Cause.TOO_LARGE), StatusCode.INVALID_ARGUMENT),
        (Refused("", ""), StatusCode.FAILED_PRECONDITION),
        (Failed("", "", Cause.OVERLOADED), StatusCode.RESOURCE_EXHAUSTED),
        (Failed("", ""), StatusCode.RESOURCE_EXHAUSTED),
        (Unknown("", "", Cause.TIMEOUT), StatusCode.DEADLINE_EXCEEDED),
        (Unknown("", ""), StatusCode.UNKNOWN),
    ],
)
def test_outcomes_become_statuses(outcome: Any, status: StatusCode) -> None:
    """A client reads from the status whether its log may have been written."""
    assert status_of_outcome(outcome) is status


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidEntry("$", ""), StatusCode.INVALID_ARGUMENT),
        (EntryTooLarge(2, 1), StatusCode.INVALID_ARGUMENT),
        (InvalidRequest("$", ""), StatusCode.INVALID_ARGUMENT),
        (QueryRefused(""), StatusCode.INVALID_ARGUMENT),
        (QueryNotSupported(""), StatusCode.UNIMPLEMENTED),
        (StoreError(""), StatusCode.UNAVAILABLE),
    ],
)
def test_errors_become_statuses(error: Any, status: StatusCode) -> None:
    """What stopped a call is told by its status."""
    assert status_of_error(error) is status
