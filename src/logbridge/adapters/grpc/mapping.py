"""Entries, questions and answers of the domain ↔ messages of the wire (proto/logservice.proto)."""

from collections.abc import Sequence
from typing import Any

from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.domain.entry import LogEntry, LogLevel
from logbridge.domain.errors import InvalidRequest
from logbridge.domain.outcome import Accepted, Cause, Failed, Outcome, Refused, Unknown
from logbridge.domain.query import (
    BUCKETS_DEFAULT,
    BUCKETS_MAX,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    HistogramQuery,
    LogFilter,
    LogHistogram,
    LogQuery,
)

SERVICE = "logservice.LogService"
# A log service of ours names itself with this key in its initial metadata; field peers never do.
VERSION_KEY = "logbridge-version"
_LEVELS = frozenset(level.value for level in LogLevel)


def level_of(number: int) -> LogLevel:
    """The level of a number on the wire. Raises ValueError that lists the numbers."""
    if number in _LEVELS:
        return LogLevel(number)
    known = ", ".join(f"{level.value} {level.name}" for level in LogLevel)
    raise ValueError(f"expected one of {known}, got {number}")


def to_message(entry: LogEntry) -> pb.LogEntry:
    """The message of an entry."""
    message = pb.LogEntry()
    _fill(message, entry)
    return message


def to_write_request(entries: Sequence[LogEntry]) -> bytes:
    """The bytes of a BatchWriteLogRequest; of one entry they are a WriteLogRequest, too."""
    request = pb.BatchWriteLogRequest()
    add = request.log_entries.add
    for entry in entries:
        _fill(add(), entry)
    return request.SerializeToString()


def _fill(message: pb.LogEntry, entry: LogEntry) -> None:
    # Field by field and pair by pair: half the price of keywords, or of update().
    message.id = entry.id
    message.service_name = entry.service_name
    message.level = entry.level  # type: ignore[assignment]  # the stub wants the name of a number
    message.message = entry.message
    message.timestamp = entry.timestamp
    message.trace_id = entry.trace_id
    message.span_id = entry.span_id
    message.timestamp_assigned = entry.timestamp_assigned
    metadata = message.metadata
    for name, value in entry.metadata.items():
        metadata[name] = value


def from_message(message: pb.LogEntry) -> LogEntry:
    """The entry of a message, unchecked; a level above FATAL is read as FATAL, one below DEBUG as DEBUG."""
    return LogEntry(
        id=message.id,
        service_name=message.service_name,
        level=LogLevel(min(max(message.level, LogLevel.DEBUG), LogLevel.FATAL)),
        message=message.message,
        timestamp=message.timestamp,
        metadata=dict(message.metadata),
        trace_id=message.trace_id,
        span_id=message.span_id,
        timestamp_assigned=message.timestamp_assigned,
    )


def to_request(which: LogFilter) -> pb.QueryLogRequest:
    """The message of a filter; of a LogQuery with its page."""
    request = pb.QueryLogRequest(
        service_name=which.service_name,
        start_time=which.start_time,
        end_time=which.end_time,
        metadata_filters=which.metadata,
        trace_id=which.trace_id,
        q=which.text,
        service_names=sorted(which.services),
    )
    if which.level is not None:
        request.level = pb.LogLevel.Name(which.level)  # type: ignore[assignment]  # the stub knows numbers only
    if isinstance(which, LogQuery):
        request.limit = which.limit
        request.offset = which.offset
    return request


def from_request(request: pb.QueryLogRequest) -> LogQuery:
    """The question of a message: limit 0 means 100, more than 1,000 is read as 1,000.

    Raises InvalidRequest for a time that is none, a negative limit or offset, an unknown level.
    """
    limit = min(request.limit or LIMIT_DEFAULT, LIMIT_MAX)
    return LogQuery(**_filter_of(request), limit=limit, offset=request.offset)


def _filter_of(request: pb.QueryLogRequest) -> dict[str, Any]:
    try:
        level = level_of(request.level)
    except ValueError as error:
        raise InvalidRequest("$.level", str(error)) from None
    return {
        "service_name": request.service_name,
        "level": level if request.HasField("level") else None,
        "start_time": request.start_time,
        "end_time": request.end_time,
        "trace_id": request.trace_id,
        "metadata": dict(request.metadata_filters),
        "text": request.q,
        "services": frozenset(request.service_names),
    }


def to_histogram_request(query: HistogramQuery) -> pb.HistogramLogRequest:
    """The message of a question."""
    return pb.HistogramLogRequest(filter=to_request(query), buckets=query.buckets)


def from_histogram_request(request: pb.HistogramLogRequest) -> HistogramQuery:
    """The question of a message: 0 buckets means 60, more than 200 is read as 200.

    Raises InvalidRequest, as from_request, and for negative buckets.
    """
    buckets = min(request.buckets or BUCKETS_DEFAULT, BUCKETS_MAX)
    return HistogramQuery(**_filter_of(request.filter), buckets=buckets)


def to_histogram_response(found: LogHistogram) -> pb.HistogramLogResponse:
    """The message of an answer."""
    return pb.HistogramLogResponse(
        start_us=found.start_us,
        end_us=found.end_us,
        bucket_us=found.bucket_us,
        first_us=found.first_us,
        buckets=[pb.HistogramBucket(counts=counts) for counts in found.counts],
    )


def from_histogram_response(response: pb.HistogramLogResponse) -> LogHistogram:
    """The answer of a message. Raises ValueError for one that no log service of ours gives."""
    counts = [tuple(bucket.counts) for bucket in response.buckets]
    if len(counts) > BUCKETS_MAX or response.bucket_us < 1:
        raise ValueError(f"{len(counts)} buckets of {response.bucket_us} microseconds")
    if any(len(each) != len(_LEVELS) or min(each) < 0 for each in counts):
        raise ValueError("a bucket without a count for each level")
    return LogHistogram(
        response.start_us if response.HasField("start_us") else None,
        response.end_us if response.HasField("end_us") else None,
        response.bucket_us,
        response.first_us,
        counts,
    )


_REFUSED_VERDICTS = {
    pb.EntryResult.INVALID: Cause.PEER_REFUSED,
    pb.EntryResult.CONFLICT: Cause.CONFLICT,
    pb.EntryResult.TOO_LARGE: Cause.TOO_LARGE,
}
_VERDICTS = {Cause.CONFLICT: pb.EntryResult.CONFLICT, Cause.TOO_LARGE: pb.EntryResult.TOO_LARGE}


def to_result(outcome: Outcome) -> pb.EntryResult:
    """The message of an outcome; an unknown one has no verdict."""
    if isinstance(outcome, Accepted):
        return pb.EntryResult(verdict=pb.EntryResult.STORED, log_id=outcome.log_id)
    verdict = pb.EntryResult.UNSPECIFIED
    if isinstance(outcome, Refused):
        verdict = _VERDICTS.get(outcome.cause, pb.EntryResult.INVALID)
    elif isinstance(outcome, Failed):
        verdict = pb.EntryResult.FAILED
    return pb.EntryResult(verdict=verdict, log_id=outcome.log_id, error_message=outcome.reason)


def from_result(result: pb.EntryResult, log_id: str, address: str) -> Outcome:
    """The outcome of a message for the entry that was sent under ``log_id`` to ``address``."""
    reason = f"{address}: {result.error_message or 'no reason given'}"
    if result.verdict == pb.EntryResult.STORED:
        return Accepted(result.log_id or log_id)
    if result.verdict in _REFUSED_VERDICTS:
        return Refused(log_id, reason, _REFUSED_VERDICTS[result.verdict])
    if result.verdict == pb.EntryResult.FAILED:
        return Failed(log_id, reason, Cause.OVERLOADED)
    return Unknown(log_id, reason)


def batch_outcomes(
    sent: Sequence[str], answer: pb.BatchWriteLogResponse, address: str
) -> list[Outcome] | None:
    """What became of the entries sent under these ids, None if the answer does not say which got in."""
    if answer.success and len(answer.log_ids) == len(sent):
        return _all_accepted(sent, answer.log_ids)
    if answer.results:
        if len(answer.results) != len(sent):
            return None
        results = zip(answer.results, sent, strict=True)
        return [from_result(result, log_id, address) for result, log_id in results]
    if answer.success:
        return _all_accepted(sent, answer.log_ids)
    return _partly_accepted(sent, answer, address)


def _all_accepted(sent: Sequence[str], log_ids: Sequence[str]) -> list[Outcome] | None:
    if log_ids and len(log_ids) != len(sent):
        return None
    return [Accepted(log_id or own) for log_id, own in zip(log_ids or sent, sent, strict=True)]


def _partly_accepted(
    sent: Sequence[str], answer: pb.BatchWriteLogResponse, address: str
) -> list[Outcome] | None:
    stored = set(answer.log_ids)
    # Two services may use one id: then an id alone does not say which of the two entries got in.
    if not stored <= set(sent) or (stored and len(set(sent)) < len(sent)):
        return None
    reason = f"{address}: not taken: {answer.error_message or 'no reason given'}"
    return [
        Accepted(log_id) if log_id in stored else Failed(log_id, reason, Cause.OVERLOADED) for log_id in sent
    ]
