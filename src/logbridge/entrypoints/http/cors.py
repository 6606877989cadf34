"""Cross-origin requests of browsers (WHATWG Fetch, section 3.3), for the origins of LOGBRIDGE_CORS_ORIGINS.

Never with credentials: a page of another origin shows its key in a header, no cookie speaks for it.
"""

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = (
    "Authorization",
    "X-API-Key",
    "Content-Type",
    "Content-Encoding",
    "Prefer",
    "Request-Timeout",
    "Last-Event-ID",
    "X-Request-ID",
    "traceparent",
    "tracestate",
)
# What a page may read of an answer besides its body and type.
_EXPOSED = "Preference-Applied, Retry-After, WWW-Authenticate, X-Request-ID"
PREFLIGHT_S = 600
_Pairs = list[tuple[bytes, bytes]]
_VARY = (b"vary", b"Origin")


class CrossOrigin:
    """An ASGI middleware. It answers the preflight of a listed origin, and marks its answers as readable.

    For another origin nothing is added: its browser then keeps the answer from the page, and sends no request
    that needs a preflight.
    """

    def __init__(self, app: ASGIApp, origins: frozenset[str], methods: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)
        self._methods = ", ".join(sorted(set(methods))).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin, preflight = _asked(scope)
        added: _Pairs = [_VARY]
        if origin in self._origins:
            added.append((b"access-control-allow-origin", origin))
            if preflight:
                await self._let_come(added, send)
                return
            added.append((b"access-control-expose-headers", _EXPOSED.encode()))

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        # Without extensions an answer comes in ASGI's own messages, which take further headers.
        await self._app({**scope, "extensions": {}}, receive, send_marked)

    async def _let_come(self, added: _Pairs, send: Send) -> None:
        headers = [
            *added,
            (b"access-control-allow-methods", self._methods),
            (b"access-control-allow-headers", ", ".join(HEADERS).encode()),
            (b"access-control-max-age", str(PREFLIGHT_S).encode()),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _asked(scope: Scope) -> tuple[bytes, bool]:
    """The origin of a request, empty without one or with several; and whether it is a preflight."""
    origins: list[bytes] = []
    wants_method = False
    for name, value in scope["headers"]:
        if name == b"origin":
            origins.append(value)
        elif name == b"access-control-request-method":
            wants_method = True
    return (origins[0] if len(origins) == 1 else b""), wants_method and scope["method"] == "OPTIONS"
