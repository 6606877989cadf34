"""What a connection refuses by itself: with which status, in which words, and as what it is counted."""

from msgspec import Struct

from logbridge.entrypoints.http.meter import Refusal
from logbridge.entrypoints.settings import Settings


class Refused(Struct, frozen=True):
    """Why a connection ends. counted: as what, where there was no request."""

    status: int
    reason: str
    counted: Refusal


NOT_HTTP = Refused(400, "this is no valid HTTP request", Refusal.NOT_HTTP)
HOSTS = Refused(400, "a request has one Host header (RFC 9112, section 3.2)", Refusal.NOT_HTTP)


def too_many_connections(settings: Settings) -> Refused:
    """One more than may be at once."""
    limit = f"LOGBRIDGE_CONNECTIONS_MAX={settings.connections_max}"
    return Refused(503, f"more than {limit} connections at once", Refusal.TOO_MANY_CONNECTIONS)


def head_too_large(settings: Settings) -> Refused:
    """Its request's line and headers, or what a body has beside its content."""
    limit = f"LOGBRIDGE_HEAD_BYTES_MAX={settings.head_bytes_max}"
    return Refused(431, f"the head is larger than {limit} bytes", Refusal.HEAD_TOO_LARGE)


def head_too_slow(settings: Settings) -> Refused:
    """Its request's line and headers."""
    limit = f"LOGBRIDGE_HEAD_TIMEOUT_S={settings.head_timeout_s:g}"
    return Refused(408, f"the request's head did not come within {limit} seconds", Refusal.HEAD_TOO_SLOW)


def body_too_slow(settings: Settings) -> Refused:
    """Its request's body."""
    return Refused(
        408,
        f"the body came too slowly: it has LOGBRIDGE_BODY_TIMEOUT_S={settings.body_timeout_s:g} seconds, and "
        f"one for each LOGBRIDGE_BODY_BYTES_PER_S_MIN={settings.body_bytes_per_s_min} bytes",
        Refusal.BODY_TOO_SLOW,
    )


def stream_idle(settings: Settings) -> Refused:
    """A stream's client sent nothing for too long."""
    limit = f"LOGBRIDGE_STREAM_IDLE_TIMEOUT_S={settings.stream_idle_timeout_s:g}"
    return Refused(408, f"nothing came for {limit} seconds", Refusal.BODY_TOO_SLOW)
