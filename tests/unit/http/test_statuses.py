"""Which error each status, and each failure of a connection, is; and what goes again."""

from typing import Any

import httpx
import pytest

from logbridge.http import (
    ApiError,
    BridgeError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    NoAnswer,
    OutcomeUnknown,
    RateLimited,
    Refused,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unclear,
)
from tests.unit.http.scripted import API, Scripted, problem, written

pytestmark = pytest.mark.parametrize("kind", ["sync", "async"])

FINAL = {
    400: Refused,
    401: Unauthorized,
    403: Forbidden,
    404: Refused,
    405: Refused,
    408: ApiError,
    409: Conflict,
    413: TooLarge,
    415: Refused,
    422: Refused,
    431: TooLarge,
    501: Refused,
}


@pytest.mark.parametrize("status", FINAL)
def test_a_4xx_is_raised_at_once(kind: str, status: int) -> None:
    """It is the error of its status, with all that the problem says, after one request."""
    bridge = Scripted(kind)
    bridge.router.post(f"{API}/write").mock(return_value=problem(status, extra=1))
    with pytest.raises(BridgeError) as raised:
        bridge.call("write", "one", log_id="mine")
    error = raised.value
    assert type(error) is FINAL[status]
    assert isinstance(error, ApiError)
    assert (error.status, error.title, error.detail, error.problem["extra"]) == (status, "Title", "why", 1)
    assert (error.log_id, len(bridge.router.calls), bridge.pauses) == ("mine", 1, [])
    assert not error.may_be_written


@pytest.mark.parametrize("status", [429, 503, 504, 502])
def test_what_passes_goes_again(kind: str, status: int) -> None:
    """The same bytes go again after a pause, with the same id and time."""
    bridge = Scripted(kind)
    bridge.router.post(f"{API}/write").mock(side_effect=[problem(status), httpx.ConnectError("no"), written])
    assert bridge.call("write", "one").success
    first, second, third = bridge.bodies()
    assert first == second == third
    assert first["log_id"]
    assert first["timestamp"]
    assert bridge.pauses == [0.2, 0.4]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(429), RateLimited),
        (problem(503), Unavailable),
        (httpx.ConnectError("refused"), ConnectionFailed),
        (httpx.ConnectTimeout("late"), ConnectionFailed),
        (httpx.PoolTimeout("busy"), ConnectionFailed),
        (problem(504), OutcomeUnknown),
        (httpx.Response(502, text="<html>"), OutcomeUnknown),
        (httpx.ReadTimeout("late"), OutcomeUnknown),
        (httpx.WriteError("reset"), OutcomeUnknown),
        (httpx.RemoteProtocolError("disconnected"), OutcomeUnknown),
    ],
)
def test_attempts_end(kind: str, answer: Any, error: type[BridgeError]) -> None:
    """No attempt begins later than retry_s; the error says whether the log may be written, under which id."""
    bridge = Scripted(kind, retry_s=3.0)
    bridge.router.post(f"{API}/write").mock(side_effect=[answer] * 100)
    with pytest.raises(error) as raised:
        bridge.call("write", "one")
    assert raised.value.log_id == bridge.bodies()[0]["log_id"]
    assert raised.value.may_be_written is (error is OutcomeUnknown)
    assert bridge.pauses == [0.2, 0.4, 0.8]


def test_a_doubt_remains(kind: str) -> None:
    """A write whose answer was lost stays unknown when the bridge is away after it."""
    bridge = Scripted(kind, retry_s=1.0)
    answers = [httpx.ReadError("reset"), *[httpx.ConnectError("refused")] * 9]
    bridge.router.post(f"{API}/write").mock(side_effect=answers)
    with pytest.raises(OutcomeUnknown, match="no bridge answers") as raised:
        bridge.call("write", "one")
    assert isinstance(raised.value.__cause__, ConnectionFailed)


def test_a_refusal_ends_a_doubt(kind: str) -> None:
    """What is refused for what it is was not written by the attempt before either."""
    bridge = Scripted(kind)
    bridge.router.post(f"{API}/write").mock(side_effect=[httpx.ReadError("reset"), problem(422)])
    with pytest.raises(Refused):
        bridge.call("write", "one")


def test_a_502_of_the_bridge_is_a_refusal(kind: str) -> None:
    """The log service refused the log: it does not go again."""
    bridge = Scripted(kind)
    bridge.router.post(f"{API}/write").mock(return_value=problem(502, success=False, log_id="i"))
    with pytest.raises(Refused):
        bridge.call("write", "one")
    assert len(bridge.router.calls) == 1


def test_a_fault_of_the_bridge_does_not_go_again(kind: str) -> None:
    """500: it may be written, and the same again would fail again."""
    bridge = Scripted(kind)
    bridge.router.post(f"{API}/write").mock(return_value=problem(500))
    with pytest.raises(OutcomeUnknown):
        bridge.call("write", "one")
    assert len(bridge.router.calls) == 1


def test_a_question_without_an_answer_is_not_unknown(kind: str) -> None:
    """Nothing is written by a question: it raises what happened."""
    bridge = Scripted(kind, retry_s=0)
    bridge.router.get(f"{API}/query").mock(side_effect=[httpx.ReadError("reset"), problem(504)])
    with pytest.raises(NoAnswer):
        bridge.call("page")
    with pytest.raises(Unclear):
        bridge.call("page")


def test_an_untrusted_certificate_does_not_go_again(kind: str) -> None:
    """It is told with what to do."""
    bridge = Scripted(kind)
    reason = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed (_ssl.c:1000)"
    bridge.router.post(f"{API}/write").mock(side_effect=httpx.ConnectError(reason))
    with pytest.raises(ConnectionFailed, match=r"not trusted: self-signed .name its CA with ca_file\)"):
        bridge.call("write", "one")
    assert bridge.pauses == []


@pytest.mark.parametrize("text", ["7", "7.0", " 7 "])
def test_retry_after_is_waited(kind: str, text: str) -> None:
    """Seconds that are asked for are waited, though the backoff is shorter."""
    bridge = Scripted(kind)
    bridge.router.post(f"{API}/write").mock(side_effect=[problem(503, {"Retry-After": text}), written])
    bridge.call("write", "one")
    assert bridge.pauses == [7.0]


def test_retry_after_is_bounded(kind: str) -> None:
    """More than what is left of retry_s is not waited: the caller is told."""
    bridge = Scripted(kind, retry_s=30.0)
    bridge.router.post(f"{API}/write").mock(return_value=problem(429, {"Retry-After": "3600"}))
    with pytest.raises(RateLimited) as raised:
        bridge.call("write", "one")
    assert (raised.value.retry_after_s, bridge.pauses) == (3600.0, [])


def test_another_server_is_told(kind: str) -> None:
    """A good status without the answer of a bridge is no success: nobody knows what became of the log."""
    bridge = Scripted(kind)
    bridge.router.post(f"{API}/write").mock(return_value=httpx.Response(200, text="<html>welcome"))
    with pytest.raises(OutcomeUnknown, match="no answer of a bridge"):
        bridge.call("write", "one")
    bridge.router.get(f"{API}/query").mock(return_value=httpx.Response(200, json=[]))
    with pytest.raises(ApiError, match="no answer of a bridge"):
        bridge.call("page")
    assert len(bridge.router.calls) == 2


def test_what_is_no_problem_is_told_as_near_as_it_comes(kind: str) -> None:
    """Of an HTML page the status and its name."""
    bridge = Scripted(kind)
    bridge.router.post(f"{API}/write").mock(return_value=httpx.Response(404, text="<html>"))
    with pytest.raises(Refused, match="HTTP 404: Not Found"):
        bridge.call("write", "one")
