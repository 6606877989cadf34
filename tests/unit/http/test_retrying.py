"""When a request goes again: rules without a client, a clock or a socket."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.http import NoAnswer, OutcomeUnknown, Refused, Unavailable
from logbridge.http.answers import ANSWER_BYTES_MAX, DETAIL_CHARS_MAX, Answer, checked, retry_after_s
from logbridge.http.retrying import BACKOFF, Attempts

NOW_S = 1_700_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (formatdate(NOW_S + 90, usegmt=True), 90.0),
        (formatdate(NOW_S - 90, usegmt=True), 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("1e9", None),
        ("9" * 10, None),
        ("Mon, 99 Foo 2024 00:00:00 GMT", None),
    ],
)
def test_both_forms_of_retry_after(text: str, seconds: float | None) -> None:
    """A number of seconds, or a date (RFC 9110, section 10.2.3); anything else asks for nothing."""
    assert retry_after_s(text, lambda: NOW_S) == seconds


@given(text=st.text(max_size=40))
def test_no_retry_after_breaks_anything(text: str) -> None:
    """Whatever the header says, it is a time that has not passed, or none."""
    seconds = retry_after_s(text, lambda: NOW_S)
    assert seconds is None or seconds >= 0


@given(
    retry_s=st.floats(0, 120),
    jitters=st.lists(st.floats(0, 1), min_size=1, max_size=50),
    asked=st.none() | st.floats(0, 60),
    took_s=st.floats(0, 20),
)
def test_no_attempt_begins_after_retry_s(
    retry_s: float, jitters: list[float], asked: float | None, took_s: float
) -> None:
    """Each pause is what was asked for at least, never more than the backoff otherwise, and ends in time."""
    now_s = 0.0
    left = iter(jitters)
    attempts = Attempts(retry_s, lambda: now_s, lambda: next(left, 0.5), ("i",))
    for failures in range(1, 60):
        now_s += took_s
        error = Unavailable(503, "t", "d", {}, asked)
        try:
            pause_s = attempts.pause_s(error)
        except Unavailable:
            return
        longest_s = min(BACKOFF.backoff_first_s * 2 ** (failures - 1), BACKOFF.backoff_max_s)
        assert (asked or 0) <= pause_s <= max(asked or 0, longest_s)
        now_s += pause_s
        assert now_s < retry_s


@given(
    failures=st.lists(st.sampled_from(["lost", "busy"]), max_size=5), last=st.sampled_from(["bad", "busy"])
)
def test_a_doubt_is_settled_by_a_refusal_only(failures: list[str], last: str) -> None:
    """Once an answer was lost, a write ends as unknown, unless what is refused is the log itself."""
    errors = {
        "lost": lambda: NoAnswer("lost"),
        "busy": lambda: Unavailable(503, "t", "d", {}, None),
        "bad": lambda: Refused(422, "t", "d", {}, None),
    }
    now_s = 0.0
    attempts = Attempts(1.0, lambda: now_s, lambda: 0.0, ("i",))
    for failure in failures:
        attempts.pause_s(errors[failure]())
    now_s = 2.0
    expected = Refused if last == "bad" else OutcomeUnknown if "lost" in failures else Unavailable
    with pytest.raises(expected):
        attempts.pause_s(errors[last]())


def test_an_answer_without_end_is_none() -> None:
    """More bytes than any answer of a bridge has are not kept, and are no answer."""
    with pytest.raises(NoAnswer, match="more than"):
        checked(Answer(200, {}, bytes(ANSWER_BYTES_MAX + 1)))


def test_a_long_reason_is_cut_off() -> None:
    """What an error shows of a detail is bounded."""
    body = b'{"detail": "' + b"x" * 100_000 + b'"}'
    with pytest.raises(Refused) as raised:
        checked(Answer(422, {}, body))
    assert len(str(raised.value)) <= DETAIL_CHARS_MAX + 20


@given(status=st.integers(300, 999), body=st.binary(max_size=200))
def test_any_error_answer_is_an_error(status: int, body: bytes) -> None:
    """Whatever a server answers, it is an ApiError with that status."""
    with pytest.raises(Exception, match=f"^HTTP {status}: ") as raised:
        checked(Answer(status, {}, body))
    assert raised.value.status == status  # type: ignore[attr-defined]  # an ApiError, says the match
