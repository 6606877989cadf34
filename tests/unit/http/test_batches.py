"""Batches: how they are cut, what goes again, and when a failure is a value or an error."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.domain.outcome import Accepted, Failed, Outcome, Refused, Unknown
from logbridge.entrypoints.results import WriteResult
from logbridge.http import ConnectionFailed, NoAnswer, OutcomeUnknown, Unauthorized, Unavailable
from logbridge.http.batches import Answered, Batch
from logbridge.http.entries import Drafted
from logbridge.http.errors import BridgeError, TooLarge
from tests.unit.http.scripted import API, Scripted, content_of, problem, results

BOTH = pytest.mark.parametrize("kind", ["sync", "async"])


def sent(bridge: Scripted) -> list[list[str]]:
    """The messages of each request."""
    return [[entry["message"] for entry in body["log_entries"]] for body in bridge.bodies()]


def entries(text: str) -> list[dict[str, Any]]:
    """An entry for each letter."""
    return [{"message": letter, "log_id": f"id-{letter}"} for letter in text]


@BOTH
def test_a_batch_is_cut(kind: str) -> None:
    """At batch_entries_max; the results are those of all, in order."""
    bridge = Scripted(kind, batch_entries_max=2)
    bridge.router.post(f"{API}/batch").mock(side_effect=results())
    result = bridge.call("write_batch", iter(entries("abcde")))
    assert sent(bridge) == [["a", "b"], ["c", "d"], ["e"]]
    assert [each.log_id for each in result.results] == [f"id-{letter}" for letter in "abcde"]
    assert (result.total_count, result.success_count, result.error_count, result.errors) == (5, 5, 0, [])


@BOTH
def test_an_empty_batch(kind: str) -> None:
    """Nothing is asked, and nothing failed."""
    bridge = Scripted(kind)
    assert bridge.call("write_batch", []).total_count == 0
    assert len(bridge.router.calls) == 0


@BOTH
def test_what_failed_goes_by_itself(kind: str) -> None:
    """Of a batch that was accepted in part the rest goes once more: its status says whether that is final."""
    bridge = Scripted(kind)
    bridge.router.post(f"{API}/batch").mock(
        side_effect=[results(bad="bc"), results(bad="b"), results(422, "b")]
    )
    result = bridge.call("write_batch", entries("abcd"))
    assert sent(bridge) == [["a", "b", "c", "d"], ["b", "c"], ["b"]]
    assert [each.success for each in result.results] == [True, False, True, True]
    assert result.errors == ["Entry 1: bad b"]


@BOTH
def test_a_batch_waits_as_a_write_does(kind: str) -> None:
    """A 503 of a batch goes again, the same bytes."""
    bridge = Scripted(kind)
    bridge.router.post(f"{API}/batch").mock(side_effect=[results(503, "ab"), problem(429), results(202)])
    result = bridge.call("write_batch", entries("ab"))
    assert [each.spooled for each in result.results] == [True, True]
    assert len({content_of(call.request) for call in bridge.router.calls}) == 1
    assert bridge.pauses == [0.2, 0.4]


@BOTH
def test_what_cannot_be_sent_fails_alone(kind: str) -> None:
    """An entry that is no mapping, or no text, is a result like others; nothing of it is sent."""
    bridge = Scripted(kind)
    bridge.router.post(f"{API}/batch").mock(side_effect=results())
    result = bridge.call("write_batch", ["no mapping", {"message": "a"}, {"message": "\ud800"}])
    assert [each.success for each in result.results] == [False, True, False]
    assert result.errors[0] == "Entry 0: $: expected a mapping, got str"
    assert sent(bridge) == [["a"]]


@BOTH
def test_the_limit_of_the_bridge(kind: str) -> None:
    """A bridge with a smaller MAX_BATCH_SIZE gets what it allows, a body that is too large is halved."""
    bridge = Scripted(kind)

    def answer(request: httpx.Request) -> httpx.Response:
        count = len(json.loads(content_of(request))["log_entries"])
        if count > 3:
            return problem(400, detail=f"$.log_entries: {count} is more than MAX_BATCH_SIZE=3 allows")
        return results()(request) if count < 3 else problem(413)

    bridge.router.post(f"{API}/batch").mock(side_effect=answer)
    assert bridge.call("write_batch", entries("abcdef")).success_count == 6
    assert max(map(len, sent(bridge)[3:])) <= 3


@BOTH
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(401), Unauthorized),
        (problem(503), Unavailable),
        (httpx.ConnectError("refused"), ConnectionFailed),
        (httpx.ReadError("reset"), OutcomeUnknown),
    ],
)
def test_nothing_written_is_an_error(kind: str, answer: Any, error: type[BridgeError]) -> None:
    """It is that of the first request, none follows, and it has the ids of all entries."""
    bridge = Scripted(kind, retry_s=0, batch_entries_max=2)
    bridge.router.post(f"{API}/batch").mock(side_effect=[answer])
    with pytest.raises(error) as raised:
        bridge.call("write_batch", entries("abcde"))
    assert raised.value.log_ids == tuple(f"id-{letter}" for letter in "abcde")


@BOTH
def test_a_partial_failure_is_a_value(kind: str) -> None:
    """What was acknowledged before the bridge went away is told, and what was not even sent, too."""
    bridge = Scripted(kind, retry_s=0, batch_entries_max=1)
    bridge.router.post(f"{API}/batch").mock(side_effect=[results(), httpx.ConnectError("refused")])
    result = bridge.call("write_batch", entries("abc"))
    assert [each.success for each in result.results] == [True, False, False]
    assert [each.log_id for each in result.results] == ["id-a", "id-b", "id-c"]
    assert "not sent: no bridge answers" in result.errors[1]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (results(), Accepted),
        (results(422, "a"), Refused),
        (problem(502, success_count=0, results=[{"success": False, "error_message": "no"}]), Refused),
        (problem(404), Refused),
        (problem(503, {"Retry-After": "7"}), Failed),
        (problem(401), Failed),
        (httpx.ConnectError("refused"), Failed),
        (problem(504), Unknown),
        (httpx.ReadError("reset"), Unknown),
    ],
)
def test_what_the_background_is_told(answer: Any, kind: type[Outcome]) -> None:
    """One attempt, and an outcome for each: the background tries again by itself."""
    bridge = Scripted("sync")
    bridge.router.post(f"{API}/batch").mock(side_effect=[answer])
    (outcome,) = bridge.write_once(entries("a"))
    assert isinstance(outcome, kind)
    assert outcome.log_id == "id-a"
    assert bridge.pauses == []
    if isinstance(answer, httpx.Response) and answer.status_code == 503:
        assert isinstance(outcome, Failed)
        assert outcome.retry_after_s == 7.0


def test_results_for_others_are_no_answer() -> None:
    """An answer with more or fewer results than there are entries says nothing of any."""
    batch = Batch([Drafted("i", b"{}")], 10, 100)
    with pytest.raises(NoAnswer, match="2 results for 1 logs"):
        batch.answered(Answered([WriteResult(True, "i", "")] * 2), 200)


def test_a_good_answer_without_success_ends() -> None:
    """It is not asked for ever."""
    batch = Batch([Drafted("i", b"{}")], 10, 100)
    batch.answered(Answered([WriteResult(False, "i", "why")]), 200)
    assert (batch.waiting, batch.outcomes) == ([], {0: Failed("i", "why")})


@given(
    sizes=st.lists(st.integers(0, 50), max_size=40),
    entries_max=st.integers(1, 10),
    bytes_max=st.integers(1, 100),
    answers=st.lists(st.integers(0, 3), max_size=200),
)
def test_every_entry_has_one_outcome(
    sizes: list[int], entries_max: int, bytes_max: int, answers: list[int]
) -> None:
    """However a batch is cut and answered, each entry has an outcome, and no request is too large."""
    batch = Batch([Drafted(str(n), bytes(size), n) for n, size in enumerate(sizes)], entries_max, bytes_max)
    scripted = iter(answers)
    for _ in range(10_000):
        if not batch.waiting:
            break
        first = batch.waiting[0]
        assert 1 <= len(first) <= entries_max
        assert len(first) == 1 or sum(len(entry.content) for entry in first) <= bytes_max
        match next(scripted, 0):
            case 0:
                batch.answered(Answered([WriteResult(True, entry.log_id, "") for entry in first]), 200)
            case 1:
                rows = [WriteResult(index % 2 == 0, "", "why") for index in range(len(first))]
                batch.answered(Answered(rows), 200)
            case 2:
                batch.failed(TooLarge(413, "t", "d", {}, None))
            case 3:
                batch.failed(Unavailable(503, "t", "d", {}, None))
    assert not batch.waiting
    assert sorted(batch.outcomes) == list(range(len(sizes)))
