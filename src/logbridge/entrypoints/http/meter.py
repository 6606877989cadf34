"""What connections tell of requests, for the counts: there are only so many methods, routes and reasons."""

import time
from collections.abc import Collection
from enum import StrEnum

from starlette.types import Scope

from logbridge.domain.measures import Measures

# Others are counted together, or anybody could make up more.
METHODS = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "POST"))
OTHER = "other"


class Refusal(StrEnum):
    """Why something was refused before it was a log."""

    NOT_HTTP = "not HTTP"
    HEAD_TOO_SLOW = "head too slow"
    HEAD_TOO_LARGE = "head too large"
    TOO_MANY_CONNECTIONS = "too many connections"
    NO_KEY = "no key"
    UNKNOWN_KEY = "unknown key"
    CLOSED = "closed to strangers"
    FORBIDDEN = "key without the right"
    RATE = "too often"
    NOT_READABLE = "body not readable"
    BODY_TOO_SLOW = "body too slow"
    BODY_TOO_LARGE = "body too large"
    MEDIA_TYPE = "media type"
    INVALID = "invalid request"
    OVER_A_LIMIT = "over a limit"
    NOT_SUPPORTED = "not supported by the log service"
    UPSTREAM = "log service did not answer"
    STOPPING = "not ready or stopping"


class RequestMeter:
    """Counts requests as their answers begin. routes: the paths that are told apart."""

    def __init__(self, measures: Measures, routes: Collection[str]) -> None:
        self.measures = measures
        self._routes = frozenset(routes)

    def note(self, scope: Scope, status: int, began_s: float, refusal: str) -> None:
        """An answer begins. began_s: when the head had come, by time.perf_counter. refusal: "" if none.

        It is asked for every request: it must stay cheap.
        """
        took_s = time.perf_counter() - began_s
        method, path = scope["method"], scope["path"]
        known = self.measures.counts.requests.get((method, path, status))
        if known is not None:
            known.observe(took_s)
        else:
            method = method if method in METHODS else OTHER
            path = path if path in self._routes else OTHER
            self.measures.request(method, path, status, took_s)
        if refusal:
            self.measures.refusal(refusal)
