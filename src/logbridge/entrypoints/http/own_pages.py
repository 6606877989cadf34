"""Whether a browser vouches that a request comes from a page of this very bridge.

Scripts cannot set these headers, browsers do: Sec-Fetch-Site (W3C Fetch Metadata) over TLS and to this
machine, Origin (RFC 6454) with everything but GET and HEAD.
"""

import re
from typing import NamedTuple

from starlette.types import Scope

# A port of six digits is none, and would be read by int() all the same.
_ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::([0-9]{1,5}))?", re.ASCII)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::([0-9]{1,5}))?", re.ASCII)
_PORTS = {"http": 80, "https": 443}
_SHOWN_MAX = 100


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int


def strange_page(scope: Scope) -> str:
    """Why a request is not known to come from a page of ours; empty if it is.

    scope: of ASGI. Its scheme and Host are those of a trusted proxy's client, where one told them.
    """
    sites = _values(scope, b"sec-fetch-site")
    if sites:
        # Of several, one is not the browser's.
        return "" if sites == ["same-origin"] else f"Sec-Fetch-Site is {_shown(sites)}"
    origins = _values(scope, b"origin")
    if not origins:
        return "it has neither Sec-Fetch-Site nor Origin"
    ours = _origin_of_request(scope)
    if len(origins) == 1 and ours is not None and _origin(origins[0]) == ours:
        return ""
    hosts = _values(scope, b"host")
    return f"Origin is {_shown(origins)}, and the bridge was asked for as {scope['scheme']}://{_shown(hosts)}"


def _values(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1").strip(" \t") for name, value in scope["headers"] if name == wanted]


def _shown(values: list[str]) -> str:
    return ", ".join(values)[:_SHOWN_MAX]


def _origin(text: str) -> _Origin | None:
    """None for what is no origin of HTTP, such as ``null``."""
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        return None
    scheme, host, port = match.groups()
    return _Origin(scheme, host, int(port) if port else _PORTS[scheme])


def _origin_of_request(scope: Scope) -> _Origin | None:
    hosts = _values(scope, b"host")
    match = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
    scheme = scope["scheme"]
    if match is None or scheme not in _PORTS:
        return None
    return _Origin(scheme, match[1], int(match[2]) if match[2] else _PORTS[scheme])
