"""The id of a request: the caller's own, or a new one; on its answer, and in what the bridge logs of it."""

import re
from contextvars import ContextVar

from uuid_utils import uuid7

HEADER = b"x-request-id"
_VALID = re.compile(rb"[A-Za-z0-9._-]{1,128}", re.ASCII)
# Of the request that runs; empty where none does.
REQUEST_ID: ContextVar[bytes] = ContextVar("request_id", default=b"")


def new_request_id() -> bytes:
    """A UUIDv7."""
    return str(uuid7()).encode()


def request_id_of(given: list[bytes]) -> bytes:
    """What ``X-Request-ID`` says, if it is one word of up to 128 letters, digits, dots, dashes, underscores;
    else a new id.
    """
    return given[0] if len(given) == 1 and _VALID.fullmatch(given[0]) else new_request_id()
