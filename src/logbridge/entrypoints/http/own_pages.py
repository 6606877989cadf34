"""Whether a browser vouches that a request comes from a page of this very bridge.

Scripts cannot set these headers, browsers do: Sec-Fetch-Site (W3C Fetch Metadata) over TLS and to this
machine, Origin (RFC 6454) with everything but GET and HEAD.
"""

import re
from typing import NamedTuple

from starlette.types import Scope

from logbridge.entrypoints.addresses import host_and_port

_ORIGIN = re.compile(r"(https?)://(.+)", re.IGNORECASE)
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
    match = _ORIGIN.fullmatch(text)
    return None if match is None else _at(match[1].lower(), match[2])


def _origin_of_request(scope: Scope) -> _Origin | None:
    hosts = _values(scope, b"host")
    return _at(scope["scheme"], hosts[0]) if len(hosts) == 1 and scope["scheme"] in _PORTS else None


def _at(scheme: str, host: str) -> _Origin | None:
    found = host_and_port(host)
    if found is None:
        return None
    name, port = found
    return _Origin(scheme, name, _PORTS[scheme] if port is None else port)
