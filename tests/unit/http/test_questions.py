"""Questions: filters, pages, health, statistics, new logs."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from logbridge import LogLevel
from logbridge.domain.errors import InvalidRequest
from logbridge.http import ApiError, Forbidden, NoAnswer, Unavailable
from logbridge.http.requests import SILENCE_S_MAX
from tests.unit.http.scripted import API, Scripted, problem, record

pytestmark = pytest.mark.parametrize("kind", ["sync", "async"])


class Stored:
    """Logs behind a bridge that answers queries as ours does, newest first."""

    def __init__(self, bridge: Scripted, seconds: list[int], page_max: int = 1000) -> None:
        self.logs = [record(number, second) for number, second in enumerate(seconds, start=1)]
        self.between: list[dict[str, Any]] = []
        self._page_max = page_max
        bridge.router.get(f"{API}/query").mock(side_effect=self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        end = asked.get("end_time", "9")
        found = sorted(
            (log for log in self.logs if log["timestamp"] <= end),
            key=lambda log: (log["timestamp"], self.logs.index(log)),
            reverse=True,
        )
        offset = int(asked["offset"])
        page = found[offset : offset + min(int(asked["limit"]), self._page_max)]
        self.logs += self.between  # they come before the next question
        self.between = []
        return httpx.Response(
            200, json={"success": True, "logs": page, "total_count": len(found), "error_message": ""}
        )


def test_a_query_gives_every_log_once(kind: str) -> None:
    """Page by page, also where many logs share a time, and though a page may end early."""
    bridge = Scripted(kind)
    Stored(bridge, [1, 2, 2, 2, 2, 2, 3, 4], page_max=3)
    logs = bridge.call("query")
    assert [log.id for log in logs] == [f"i{number}" for number in range(8, 0, -1)]
    assert bridge.call("query", logs_max=0) == []


def test_new_logs_move_no_other(kind: str) -> None:
    """What comes between two pages, newer or older, makes none come twice and hides none."""
    bridge = Scripted(kind)
    stored = Stored(bridge, list(range(1, 11)), page_max=4)
    stored.between = [record(100, 50), record(101, 51), record(102, 8)]
    ids = [log.id for log in bridge.call("query")]
    assert len(ids) == len(set(ids))
    assert {f"i{number}" for number in range(1, 11)} <= set(ids)


def test_only_what_is_wanted_is_fetched(kind: str) -> None:
    """A query that is left early asks for no further page."""
    bridge = Scripted(kind)
    Stored(bridge, list(range(1, 11)), page_max=4)
    assert [log.id for log in bridge.some(2, "query")] == ["i10", "i9"]
    assert len(bridge.router.calls) == 1


def test_the_filters(kind: str) -> None:
    """Each is the parameter of REST; levels and times may be values of Python."""
    bridge = Scripted(kind)
    Stored(bridge, [])
    moment = datetime(2024, 8, 30, tzinfo=UTC)
    bridge.call(
        "page", limit=7, offset=3, service_name="s", level=LogLevel.DEBUG, start_time=moment,
        end_time="2024-08-31T00:00:00Z", trace_id="t", q="ä&b", metadata={"订单": "1"},
    )  # fmt: skip
    assert dict(bridge.router.calls[0].request.url.params) == {
        "service_name": "s",
        "level": "DEBUG",
        "start_time": "2024-08-30T00:00:00.000000+00:00",
        "end_time": "2024-08-31T00:00:00Z",
        "trace_id": "t",
        "q": "ä&b",
        "metadata.订单": "1",
        "limit": "7",
        "offset": "3",
    }
    bridge.call("page", level="warning")
    assert bridge.router.calls[1].request.url.params["level"] == "WARN"


@pytest.mark.parametrize(
    "filters",
    [{"sevice_name": "s"}, {"level": "loud"}, {"start_time": "now"}, {"limit": 1001}, {"offset": -1}],
)
def test_a_slip_of_the_pen_gets_no_answer(kind: str, filters: dict[str, Any]) -> None:
    """A filter that there is not, or a value that is none, is told before anything is asked."""
    bridge = Scripted(kind)
    with pytest.raises(InvalidRequest, match=next(iter(filters))):
        bridge.call("page", **filters)
    assert len(bridge.router.calls) == 0


def test_a_question_goes_again(kind: str) -> None:
    """Nothing is written by it: also after a broken connection."""
    bridge = Scripted(kind)
    page = {"success": True, "logs": [], "total_count": 0, "error_message": ""}
    answers = [problem(503), httpx.ReadError("reset"), httpx.Response(200, json=page)]
    bridge.router.get(f"{API}/query").mock(side_effect=answers)
    assert bridge.call("page").total_count == 0


HEALTH = {
    "status": "unhealthy",
    "timestamp": "2024-08-30T10:00:00Z",
    "grpc_connection": False,
    "service_info": {"name": "n", "version": "v", "grpc_server": "g", "max_workers": 1, "max_batch_size": 1},
    "detail": "away",
}


def test_unhealthy_is_an_answer(kind: str) -> None:
    """It is asked once; a 503 that is not about the log service is an error."""
    bridge = Scripted(kind)
    route = bridge.router.get(f"{API}/health")
    route.mock(side_effect=[httpx.Response(503, json=HEALTH), problem(503)])
    health = bridge.call("health")
    assert (health.status, health.detail) == ("unhealthy", "away")
    with pytest.raises(Unavailable):
        bridge.call("health")
    assert bridge.pauses == []


def test_statistics_of_strangers(kind: str) -> None:
    """The seconds of the past are asked for; who may not see them is told."""
    bridge = Scripted(kind)
    bridge.router.get(f"{API}/stats", params={"history": "60"}).mock(return_value=problem(403))
    with pytest.raises(Forbidden):
        bridge.call("stats", history_s=60)


def events(*numbers: int) -> httpx.Response:
    """A stream of events, each with a log, and one before them that says where the stream is."""
    text = "id: 0\n: following\n\n" + "".join(
        f"id: {number}\ndata: {json.dumps(record(number))}\n\n: keep alive\n\n" for number in numbers
    )
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


def test_a_tail_goes_on_after_the_last_log(kind: str) -> None:
    """A stream that ends, breaks or is refused for a while is asked for again, behind the last id seen."""
    bridge = Scripted(kind)
    answers = [events(1, 2), httpx.ConnectError("refused"), problem(503), events(3)]
    bridge.router.get(f"{API}/tail", params={"q": "x"}).mock(side_effect=answers)
    assert [log.id for log in bridge.some(3, "tail", q="x")] == ["i1", "i2", "i3"]
    requests = [call.request for call in bridge.router.calls]
    assert [request.headers.get("last-event-id") for request in requests] == [None, "2", "2", "2"]
    assert requests[0].extensions["timeout"]["read"] == SILENCE_S_MAX
    assert len(bridge.pauses) == 3


def test_a_tail_gives_up(kind: str) -> None:
    """When the bridge is away for longer than retry_s; at once, when it may not see any."""
    bridge = Scripted(kind, retry_s=1.0)
    bridge.router.get(f"{API}/tail").mock(side_effect=[events(1), *[httpx.ReadError("reset")] * 9])
    with pytest.raises(NoAnswer):
        bridge.some(2, "tail")
    bridge.router.get(f"{API}/tail").mock(return_value=problem(403))
    with pytest.raises(Forbidden):
        bridge.some(1, "tail")


def test_a_tail_of_something_else(kind: str) -> None:
    """An event that is no log is an error, not passed over."""
    bridge = Scripted(kind)
    answer = httpx.Response(200, text="data: 3\n\n", headers={"content-type": "text/event-stream"})
    bridge.router.get(f"{API}/tail").mock(return_value=answer)
    with pytest.raises(ApiError, match="no log"):
        bridge.some(1, "tail")
