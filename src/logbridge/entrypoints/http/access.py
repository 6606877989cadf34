"""Who may read logs and make load without keys: callers on this machine, and whom a setting lets in."""

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.types import Scope

from logbridge.entrypoints.http.problems import RequestRejected
from logbridge.entrypoints.settings import Opening, Settings

# Any of these says that somebody else asked, and a program on this machine only passes it on.
_FORWARDING = frozenset(
    {
        b"forwarded",
        b"via",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-forwarded-port",
        b"x-forwarded-server",
        b"x-real-ip",
        b"x-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
    }
)


def require_access(scope: Scope, settings: Settings, opening: Opening) -> None:
    """Raises RequestRejected (403) naming the setting, unless the caller is local or ``opening`` is open."""
    if opening in settings.open or is_local(scope):
        return
    path = scope["path"]
    raise RequestRejected(
        403, f"{path} answers callers on this machine only; LOGBRIDGE_OPEN={opening} opens it to others"
    )


def is_local(scope: Scope) -> bool:
    """Whether the TCP peer and the Host are loopback, and nobody forwarded the request."""
    client = scope.get("client")
    if client is None or not _is_loopback(client[0]):
        return False
    if any(name in _FORWARDING for name, _ in scope["headers"]):
        return False
    # A page of another site, in a browser on this machine, may send what needs no preflight: it names itself.
    origins = [value for name, value in scope["headers"] if name == b"origin"]
    if not all(_is_loopback(urlsplit(origin.decode("latin-1")).hostname or "") for origin in origins):
        return False
    # The Host too: a web page that rebinds its own name to 127.0.0.1 comes from a local peer.
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return len(hosts) == 1 and _is_loopback(_host_name(hosts[0].decode("latin-1")))


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
