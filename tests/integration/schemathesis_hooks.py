"""Loaded by schemathesis: what it may not call a failure, because the contract wants it so. See EXEMPT."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import schemathesis

from logbridge.entrypoints.http.otlp import PROTOBUF
from logbridge.entrypoints.http.stream import MEDIA_TYPES


class Exemption(NamedTuple):
    """A finding that is none. check: the title of the failure. holds: whether this is such a case."""

    check: str
    reason: str
    holds: Callable[[Any, Any], bool]


def _unknown_header(case: Any, _response: Any) -> bool:
    return "x-schemathesis-unknown-property" in {name.lower() for name in case.headers or {}}


def _fraction(_case: Any, response: Any) -> bool:
    return response.status_code == 422 and b"got `float`" in response.content


def _no_keys(case: Any, response: Any) -> bool:
    return case.operation.label.startswith("POST ") and b"this bridge has no keys" in response.content


def _partly(case: Any, response: Any) -> bool:
    told = case.operation.label.endswith("/batch") and response.status_code == 200 and response.json()
    return bool(told) and told["error_count"] > 0


def _lines(case: Any, response: Any) -> bool:
    return bool(case.operation.label.endswith("/stream") and response.status_code == 422)


def _asked_for_haste(case: Any, response: Any) -> bool:
    waits_s = {name.lower(): value for name, value in (case.headers or {}).items()}.get("request-timeout")
    not_sent = response.status_code == 503 and b"before the deadline" in response.content
    return (response.status_code == 504 or not_sent) and waits_s is not None and float(waits_s) < 1


def _no_message(case: Any, response: Any) -> bool:
    return response.status_code == 400 and case.media_type == PROTOBUF


EXEMPT = (
    Exemption(
        "Server error",
        "who waits for less than a second (Request-Timeout) may be told 504 or 503 by a busy machine",
        _asked_for_haste,
    ),
    Exemption(
        "Schema-violating request accepted",
        "one bad entry does not sink its batch: it fails by itself, with its reason in the answer",
        _partly,
    ),
    Exemption(
        "Schema-violating request accepted",
        "HTTP lets anybody add headers (RFC 9110, section 16.3): one that is not documented is no error",
        _unknown_header,
    ),
    Exemption(
        "Schema-valid request rejected",
        "JSON Schema calls 1.0 an integer; the contract writes integers exactly, as integers",
        _fraction,
    ),
    Exemption(
        "Schema-valid request rejected",
        "a stream is text, whose lines no schema describes: text of which no line is an entry is refused",
        _lines,
    ),
    Exemption(
        "Schema-valid request rejected",
        "OpenAPI has no words for what is in a protobuf message: most bytes are none",
        _no_message,
    ),
    Exemption(
        "Schema-valid request rejected",
        "without keys there is no session to begin: the answer is 400 and names the setting",
        _no_keys,
    ),
)


@schemathesis.serializer(*MEDIA_TYPES)
def lines(_context: Any, value: Any) -> bytes:
    """The body of a stream: text as it is, of anything else its JSON."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.serializer(PROTOBUF)
def as_bytes(_context: Any, value: Any) -> bytes:
    """What is said to be a protobuf message, as it is sent."""
    return str(value).encode("utf-8", "replace")


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether it stays a failure."""
    return not any(each.check == failure.title and each.holds(case, response) for each in EXEMPT)
