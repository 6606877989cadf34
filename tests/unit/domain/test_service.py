import time

import pytest

from logbridge.adapters.memory import MemorySink, accept, fail, lose, refuse
from logbridge.domain.entry import EntryMaker, classify
from logbridge.domain.errors import (
    InvalidEntry,
    InvalidRequest,
    LimitExceeded,
    QueryNotSupported,
    ServiceForbidden,
)
from logbridge.domain.measures import Measures
from logbridge.domain.outcome import Accepted, Cause, Failed, Refused, Unknown
from logbridge.domain.policy import DeadlinePolicy, RequestLimits
from logbridge.domain.query import HistogramQuery, LogFilter, LogPage, LogQuery
from logbridge.domain.service import LogBridge
from tests.factories import make_entry

MAKER = EntryMaker("logbridge", 1024, 8, lambda: "2024-08-30T10:30:45Z", lambda: "new-id")


def bridge(sink: MemorySink, *, readable: bool = True) -> LogBridge:
    return LogBridge(
        sink,
        sink if readable else None,
        maker=MAKER,
        limits=RequestLimits(batch_entries_max=3),
        deadlines=DeadlinePolicy(),
        measures=Measures(),
        monotonic=time.monotonic,
    )


async def test_every_outcome_reaches_the_caller() -> None:
    """What the sink says of an entry is what the caller is told."""
    sink = MemorySink(script=[accept, refuse("no"), fail("away"), lose("who knows")])
    drafts = [classify({"message": "m", "log_id": str(number)}) for number in range(4)]
    outcomes = [await bridge(sink).write(draft) for draft in drafts]
    assert [type(outcome) for outcome in outcomes] == [Accepted, Refused, Failed, Unknown]


async def test_an_invalid_entry_is_refused_before_the_sink() -> None:
    """A bad entry is Refused with the field and the reason, too large told apart, and its id kept."""
    sink = MemorySink()
    bad = await bridge(sink).write(classify({"message": "m", "level": "loud", "log_id": "mine"}))
    large = await bridge(sink).write(classify({"message": "m" * 2000}))
    assert isinstance(bad, Refused)
    assert (bad.cause, bad.log_id) == (Cause.INVALID, "mine")
    assert isinstance(large, Refused)
    assert large.cause is Cause.TOO_LARGE
    assert sink.entries == []


async def test_one_bad_entry_does_not_sink_its_batch() -> None:
    """Good neighbours are written, in order; entries that could not be read fail by themselves."""
    sink = MemorySink()
    outcomes = await bridge(sink).write_batch(
        [
            classify({"message": "one", "log_id": "1"}),
            InvalidEntry("$.message", "expected text"),
            classify({"message": "three", "log_id": "3"}),
        ]
    )
    assert outcomes == [
        Accepted("1"),
        Refused("", "$.message: expected text", Cause.INVALID),
        Accepted("3"),
    ]
    assert [entry.message for entry in sink.entries] == ["one", "three"]


async def test_a_batch_of_bad_entries_asks_nobody() -> None:
    """Where nothing is good, the sink is not called."""
    assert (
        len(await bridge(MemorySink(script=[fail("never asked")])).write_batch([InvalidEntry("$", "no")]))
        == 1
    )


async def test_batch_sizes() -> None:
    """Empty is invalid; over the limit names the setting and its value."""
    with pytest.raises(InvalidRequest, match="got none"):
        await bridge(MemorySink()).write_batch([])
    with pytest.raises(LimitExceeded, match="4 is more than MAX_BATCH_SIZE=3 allows"):
        await bridge(MemorySink()).write_batch([InvalidEntry("$", "no")] * 4)


async def test_reading() -> None:
    """Queries and follows go to the reader; a sink that only writes says so."""
    sink = MemorySink()
    await bridge(sink).write(classify({"message": "m"}))
    assert (await bridge(sink).query(LogQuery())).total_count == 1
    assert (await bridge(sink).histogram(HistogramQuery())).total_count == 1
    assert [page async for page in bridge(sink).export(LogFilter(), 5)] == [LogPage(sink.entries, 1)]
    follow = bridge(sink).follow(LogFilter(), after=0)
    await anext(follow)
    assert (await anext(follow)).entry == sink.entries[0]
    await follow.aclose()
    with pytest.raises(QueryNotSupported):
        await bridge(sink, readable=False).query(LogQuery())
    with pytest.raises(QueryNotSupported):
        await bridge(sink, readable=False).histogram(HistogramQuery())
    with pytest.raises(QueryNotSupported):
        bridge(sink, readable=False).export(LogFilter(), 5)


async def test_reading_is_narrowed() -> None:
    """Whatever is asked, a caller sees the logs of its services only, and may not ask for others by name."""
    sink, own = MemorySink(), frozenset({"shop"})
    sink.entries += [make_entry(service_name=name) for name in ("shop", "pay")]
    assert (await bridge(sink).histogram(HistogramQuery(), own)).total_count == 1
    assert [page async for page in bridge(sink).export(LogFilter(), 5, own)] == [LogPage(sink.entries[:1], 1)]
    with pytest.raises(ServiceForbidden):
        await bridge(sink).histogram(HistogramQuery(service_name="pay"), own)
    with pytest.raises(ServiceForbidden):
        bridge(sink).export(LogFilter(service_name="pay"), 5, own)


async def test_health_writes_nothing() -> None:
    """Asking for health leaves no log."""
    sink = MemorySink()
    assert (await bridge(sink).health()).reachable
    assert sink.entries == []


@pytest.mark.parametrize(
    ("which", "matches"),
    [
        (LogFilter(), True),
        (LogFilter(service_name="test-service", trace_id="trace-001", text="ASYNC"), True),
        (LogFilter(service_name="other"), False),
        (LogFilter(metadata={"user_id": "user123"}), True),
        (LogFilter(metadata={"user_id": "nobody"}), False),
        (LogFilter(text="absent"), False),
        (LogFilter(start_time="2024-08-30T10:30:45.123456Z", end_time="2024-08-30T10:30:45.123456Z"), True),
        (LogFilter(start_time="2024-08-30T10:30:46Z"), False),
        (LogFilter(end_time="2024-08-30T10:30:45Z"), False),
    ],
)
def test_filter(which: LogFilter, matches: bool) -> None:
    """A filter holds when all that it names hold; both ends of a time range are included."""
    assert which.matches(make_entry()) is matches


@pytest.mark.parametrize(
    "question",
    [
        {"start_time": "today"},
        {"end_time": "x"},
        {"limit": 0},
        {"limit": 1001},
        {"offset": -1},
        {"offset": 2**31},
    ],
)
def test_wrong_questions(question: dict[str, object]) -> None:
    """A question that makes no sense names its field."""
    with pytest.raises(InvalidRequest) as caught:
        LogQuery(**question)
    assert caught.value.path == f"$.{next(iter(question))}"
