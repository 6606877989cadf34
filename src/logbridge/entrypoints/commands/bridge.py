"""Talking to a running bridge over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from logbridge import __version__
from logbridge.entrypoints.commands.ending import BridgeNotReached, CommandFailed, UsageError
from logbridge.entrypoints.commands.options import BridgeAddress
from logbridge.entrypoints.settings import load, shown
from logbridge.entrypoints.tls import calling_context

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def url_of(address: BridgeAddress | None) -> str:
    """The bridge's URL, without a slash at the end. Raises InvalidSetting, UsageError."""
    flags = {"url": address.url} if address and address.url is not None else {}
    url = load(flags).bridge_url
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UsageError(f"LOGBRIDGE_URL={shown('url', url)}: {error}") from None
    return url


def client_options(url: str, timeout_s: float = 30.0) -> dict[str, Any]:
    """Arguments for an httpx client of the bridge at ``url``. Raises InvalidSetting."""
    settings = load()
    headers = {"user-agent": f"logbridge-cli/{__version__}"}
    if settings.key:
        headers["authorization"] = f"Bearer {settings.key}"
    trust = {"verify": calling_context(settings.url_ca)} if settings.url_ca else {}
    return trust | {
        "base_url": url,
        "timeout": httpx.Timeout(timeout_s, connect=5.0),
        "headers": headers,
        # A proxy named in the environment cannot reach this machine's own loopback.
        "trust_env": urlsplit(url).hostname not in _LOOPBACK,
    }


@contextmanager
def connected(url: str, timeout_s: float = 30.0) -> Iterator[httpx.Client]:
    """A client of the bridge; a bridge that does not answer becomes BridgeNotReached."""
    with httpx.Client(**client_options(url, timeout_s)) as client, reaching(url):
        yield client


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Raises BridgeNotReached where httpx raises what a network did."""
    try:
        yield
    except httpx.TransportError as error:
        raise BridgeNotReached(not_reached(url, error)) from None


def not_reached(url: str, error: Exception) -> str:
    """The line for a bridge that does not answer."""
    reason, url = str(error) or type(error).__name__, shown("url", url)
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        why = reason.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return f"the certificate of {url} is not trusted: {why} (name its CA with LOGBRIDGE_URL_CA)"
    if "disconnected" in reason and url.startswith("http://"):
        return f"what answers at {url} hangs up: does it want https://?"
    return f"no bridge answers at {url}: {reason} (start one with `logbridge dev`, or name it with --url)"


def api_path(name: str) -> str:
    """The path of an API endpoint under the prefix of the settings."""
    return f"{load().api_prefix}/{name}"


def body_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer, whatever its status. Raises CommandFailed if it has none."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise CommandFailed(
            f"{shown('url', str(response.request.url))} answered HTTP {response.status_code} without JSON"
        )
    return body


def reason_of(body: dict[str, Any], status: int) -> str:
    """Why a request failed, in the bridge's own words."""
    reason = str(body.get("error_message") or body.get("detail") or body.get("title") or f"HTTP {status}")
    return f"{reason} (commands send LOGBRIDGE_KEY)" if status == 401 else reason
