"""What URLs and addresses in settings may look like. A check raises ValueError that says what is allowed."""

import re
from ipaddress import ip_network
from urllib.parse import SplitResult, unquote, urlsplit

from logbridge.domain.policy import BalancePolicy, QueuePolicy
from logbridge.entrypoints.settings.queue_url import is_queue_url, parse_queue_url

OTLP_HTTP_SINKS = frozenset(("otlp+http", "otlp+https"))
OTLP_SINKS = frozenset(("otlp", "otlps")) | OTLP_HTTP_SINKS
# What LOGBRIDGE_SINK_CA and its like are for.
# Of these each address of the name is a log service.
NAMED_SINKS = frozenset(("grpc+dns", "grpcs+dns"))
GRPC_SINKS = frozenset(("grpc", "grpcs")) | NAMED_SINKS
TLS_SINKS = frozenset(("grpcs", "grpcs+dns", "otlps", "otlp+https"))
_RPC_SINKS = GRPC_SINKS | {"otlp", "otlps"}
SERVICES_MAX = BalancePolicy().services_max
_OTLP_PATH = "/v1/logs"


def check_sink_url(url: str) -> tuple[str, str]:
    """A sink URL as (scheme, address); over HTTP the address has the path, /v1/logs where none is named.

    Of several log services (grpc://host:port,host:port) the address has all, by comma. Raises ValueError that
    says what is allowed.
    """
    scheme, _, rest = url.partition("://")
    if scheme in ("grpc", "grpcs") and "," in rest:
        return scheme, _check_several(scheme, rest.rstrip("/").split(","))
    parts = urlsplit(url)
    if parts.scheme == "memory" and not parts.path and not parts.netloc:
        return "memory", ""
    by_http = parts.scheme in OTLP_HTTP_SINKS
    if (
        not (by_http or parts.scheme in _RPC_SINKS)
        or not parts.hostname
        or not (by_http or not parts.path.strip("/"))
        or not _has_port(parts)
        or "@" in parts.netloc  # nobody there asks for a password, and addresses are shown
        or (parts.scheme in OTLP_SINKS and _has_more_than_a_path(url))
    ):
        raise ValueError(
            "allowed are grpc://host:port, grpcs://host:port (several by comma), grpc+dns://name:port, "
            "grpcs+dns://name:port, otlp://host:port, otlps://host:port, "
            "otlp+http://host:port/v1/logs, otlp+https://host:port/v1/logs and memory://"
        )
    return parts.scheme, parts.netloc + (parts.path.rstrip("/") or _OTLP_PATH if by_http else "")


def _check_several(scheme: str, addresses: list[str]) -> str:
    checked = [check_sink_url(f"{scheme}://{address}")[1] for address in addresses]
    if len({*checked}) < len(checked):
        raise ValueError("each log service is named once")
    if len(checked) > SERVICES_MAX:
        raise ValueError(f"allowed are {SERVICES_MAX} log services at most, got {len(checked)}")
    return ",".join(checked)


def _has_more_than_a_path(url: str) -> bool:
    return not url.isascii() or not url.isprintable() or any(character in url for character in " ?#")


def sink_address(url: str) -> str:
    """A sink URL as people read it: host:port, and over HTTP the path; memory:// as it is."""
    return check_sink_url(url)[1] or url


# A token as in RFC 9110, section 5.6.2, in lower case: gRPC has no other, and less signs than HTTP.
_HEADER_NAME = re.compile(r"[a-z0-9_.-]+", re.ASCII)
# They are the connection's own, or what is in the body says what they are.
_OWN_HEADERS = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    )
)


def parse_headers(text: str) -> tuple[tuple[str, str], ...]:
    """``name=value,name=value`` as pairs, values percent-decoded, names in lower case.

    The form of OTEL_EXPORTER_OTLP_HEADERS. Raises ValueError that says what is allowed, and shows no value.
    """
    pairs = []
    for part in filter(str.strip, text.split(",")):
        name, sign, value = part.partition("=")
        name, value = name.strip().lower(), unquote(value.strip())
        if not sign or not _HEADER_NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise ValueError(
                "allowed are headers such as x-tenant=shop,x-api-key=secret, with %2C for a comma"
            )
        if name in _OWN_HEADERS or name.startswith("grpc-") or name.endswith("-bin"):
            raise ValueError(f"the header {name} cannot be set here")
        pairs.append((name, value))
    return tuple(pairs)


def _has_port(parts: SplitResult) -> bool:
    return _port_is_valid(parts) and bool(parts.port)


def _port_is_valid(parts: SplitResult) -> bool:
    try:
        _ = parts.port
    except ValueError:  # above 65535, or no number
        return False
    return True


def check_store_url(url: str) -> tuple[str, str]:
    """A store URL as (scheme, path). Raises ValueError that says what is allowed."""
    parts = urlsplit(url)
    if parts.scheme == "memory" and not parts.path and not parts.netloc:
        return "memory", ""
    path = parts.path[1:]
    if parts.scheme != "sqlite" or parts.netloc or not path or path.endswith("/"):
        raise ValueError("allowed are sqlite:///file (sqlite:////file from the root) and memory://")
    return "sqlite", path


def check_spool_url(url: str) -> str | QueuePolicy:
    """A spool URL as the path of its directory, or as a stream.

    Raises ValueError that says what is allowed.
    """
    if is_queue_url(url):
        return parse_queue_url(url)
    parts = urlsplit(url)
    path = parts.path[1:]
    if parts.scheme != "sqlite" or parts.netloc or not path:
        raise ValueError(
            "allowed is sqlite:///directory (sqlite:////directory from the root) or "
            "nats://host:port,host:port?stream=name"
        )
    return path


def check_bridge_url(url: str) -> None:
    """Raises ValueError that says what is allowed."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _port_is_valid(parts):
        raise ValueError("allowed is http://host:port or https://host:port")


def check_traces_url(url: str) -> None:
    """Raises ValueError that says what is allowed."""
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or not _port_is_valid(parts)
        or parts.path in ("", "/")
        or "@" in parts.netloc  # OTEL_EXPORTER_OTLP_HEADERS is for what is secret
    ):
        raise ValueError("allowed is http://host:port/v1/traces or https://host:port/v1/traces")


def check_key(text: str) -> None:
    """A key travels in a header. Raises ValueError that says what is allowed."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("expected a key as `logbridge key create` prints it, one word of ASCII")


def check_networks(texts: frozenset[str]) -> None:
    """IP addresses or networks. Raises ValueError that says what is allowed."""
    for text in texts:
        try:
            ip_network(text)
        except ValueError as error:
            raise ValueError(f"allowed are addresses and networks such as 10.0.0.0/8: {error}") from None


def check_origins(texts: frozenset[str]) -> None:
    """Origins as browsers write them (RFC 6454, section 6.2). Raises ValueError that says what is allowed."""
    for text in texts:
        parts = urlsplit(text)
        plain = f"{parts.scheme}://{parts.netloc}"
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or "@" in text
            or text != plain.lower()
        ):
            raise ValueError("allowed are origins such as https://app.example or http://localhost:3000")


_RATE = re.compile(r"([1-9]\d{0,8})/([smh])", re.ASCII)


def parse_rate(text: str) -> tuple[int, int]:
    """``1000/s`` as (requests, seconds). Raises ValueError that says what is allowed."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError("allowed are rates such as 1000/s, 60000/m and 100000/h")
    return int(match[1]), {"s": 1, "m": 60, "h": 3600}[match[2]]
