"""Answers of a bridge, or of what stands before it: what they say, and which error they are. No I/O."""

import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
import msgspec
from msgspec import Struct

from logbridge.http.errors import (
    ApiError,
    BridgeError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    NoAnswer,
    RateLimited,
    Refused,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unclear,
)

ANSWER_BYTES_MAX = 64 * 1024 * 1024
DETAIL_CHARS_MAX = 500
T = TypeVar("T")

_KINDS: dict[int, type[ApiError]] = {
    400: Refused,
    401: Unauthorized,
    403: Forbidden,
    404: Refused,
    405: Refused,
    409: Conflict,
    413: TooLarge,
    415: Refused,
    422: Refused,
    429: RateLimited,
    431: TooLarge,
    501: Refused,
    502: Unclear,
    503: Unavailable,
    504: Unclear,
}
# In these the request never left this machine.
_NOT_BEGUN = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


class Answer(Struct, frozen=True):
    """A status, headers and a body of at most ANSWER_BYTES_MAX, or a little more: then it is none."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def read(self, kind: type[T]) -> T:
        """Its JSON as a type of ours. Raises ApiError if it is something else: a write may have happened."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            why = f"this is no answer of a bridge: {error}"
            unread = ApiError(self.status, _title(self.status), why, {}, None)
            unread.may_be_written = True
            raise unread from None


def checked(answer: Answer, now: Callable[[], float] = time.time) -> Answer:
    """The answer, if it is a good one. now: seconds since 1970, for a Retry-After that is a date.

    Raises ApiError, or NoAnswer for one that is too large to be read.
    """
    if len(answer.body) > ANSWER_BYTES_MAX:
        raise NoAnswer(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
    if 200 <= answer.status < 300:
        return answer
    problem = _members(answer.body)
    kind = _KINDS.get(answer.status, ApiError)
    if answer.status == 502 and not problem.keys().isdisjoint(("success", "success_count")):
        # Our bridge says so of logs that the log service refused; a proxy's 502 has no such member.
        kind = Refused
    title = str(problem.get("title") or _title(answer.status))
    reason = str(problem.get("detail") or problem.get("error_message") or "")
    wait_s = retry_after_s(answer.headers.get("retry-after", ""), now)
    raise kind(answer.status, title, reason[:DETAIL_CHARS_MAX], problem, wait_s)


def _members(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "an unknown status"


def retry_after_s(text: str, now: Callable[[], float]) -> float | None:
    """Seconds of a Retry-After (RFC 9110, section 10.2.3): a number, or a date; None for anything else."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now())
    except (ValueError, OverflowError):
        return None


def failure(error: httpx.RequestError, base_url: str) -> BridgeError:
    """What the failure of a connection means for the request."""
    reason = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        why = reason.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        untrusted = ConnectionFailed(
            f"the certificate of {base_url} is not trusted: {why} (name its CA with ca_file)"
        )
        untrusted.goes_again = False
        return untrusted
    if isinstance(error, _NOT_BEGUN):
        return ConnectionFailed(f"no bridge answers at {base_url}: {reason}")
    return NoAnswer(f"the connection to {base_url} broke before the answer: {reason}")
