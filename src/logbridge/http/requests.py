"""Requests to a bridge: addresses, headers, compression. No I/O."""

import gzip
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from urllib.parse import urlsplit

import httpx
from msgspec import Struct

from logbridge import __version__
from logbridge.domain.errors import InvalidSetting
from logbridge.entrypoints.settings.urls import check_bridge_url, check_key

API_PATH = "/api/v1/logs"
CONNECT_TIMEOUT_S_MAX = 5.0
# The bridge ends a write in the time that it was told, and its answer needs a moment to arrive.
ANSWER_GRACE_S = 1.0
# What the bridge takes as Request-Timeout.
TIMEOUT_S_MIN, TIMEOUT_S_MAX = 0.001, 3600
# While the log service is away, or a rate is used up, the bridge does not read on; it is as patient itself.
STREAM_PAUSE_S_MAX = 300.0
# A tail that is silent for longer is lost: the bridge says something every 15 seconds.
SILENCE_S_MAX = 45.0
# The time of the caller's program is worth more than the last tenth of the size.
_GZIP_LEVEL = 1
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Ask(Struct, frozen=True):
    """What a request asks for; each attempt makes a request of it. log_ids: of the logs that it writes."""

    method: str
    name: str
    parameters: Mapping[str, str] = {}
    body: bytes = b""
    log_ids: tuple[str, ...] = ()


class Requests:
    """Makes the requests to one bridge. plain_only: set once a bridge, or a proxy, took no gzip.

    Raises InvalidSetting for a base_url, a key or a number that makes no sense.
    """

    def __init__(
        self,
        base_url: str,
        api_path: str,
        key: str | None,
        timeout_s: float,
        gzip_bytes_min: int | None,
        *,
        prefer_async: bool,
    ) -> None:
        self.base_url = _checked_url(base_url)
        path = "/" + api_path.strip("/")
        self._api = self.base_url if self.base_url.endswith(path) else self.base_url + path
        self._timeout_s = timeout_s
        self._gzip_bytes_min = gzip_bytes_min
        self.plain_only = False
        self._headers = {"user-agent": f"logbridge-python/{__version__}", "accept-encoding": "gzip"}
        if key is not None:
            self._headers["authorization"] = f"Bearer {_checked_key(key)}"
        self._preferring = {"prefer": "respond-async"} if prefer_async else {}
        self._writing = {"request-timeout": f"{timeout_s:.3f}", **self._preferring}

    @property
    def trusts_environment(self) -> bool:
        """A proxy named in the environment cannot reach this machine's own loopback."""
        return urlsplit(self.base_url).hostname not in _LOOPBACK

    def make(self, ask: Ask) -> httpx.Request:
        """A request for one attempt."""
        if ask.method == "GET":
            return self._request("GET", ask.name, params=ask.parameters)
        headers = {**self._writing, "content-type": "application/json"}
        body = ask.body
        if self._compresses(body):
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
            headers["content-encoding"] = "gzip"
        return self._request("POST", ask.name, headers=headers, content=body)

    def streamed(self, pieces: Iterator[bytes] | AsyncIterator[bytes]) -> httpx.Request:
        """A request with a body that is made while it is sent.

        It has no Request-Timeout: the bridge tries each line again by itself, for as long as it is set to.
        """
        headers = {**self._preferring, "content-type": "application/x-ndjson"}
        return self._request("POST", "stream", silence_s=STREAM_PAUSE_S_MAX, headers=headers, content=pieces)

    def tail(self, parameters: Mapping[str, str], last_id: str) -> httpx.Request:
        """A request for new logs; last_id: the id of the last event seen, empty at first."""
        resumed = {"last-event-id": last_id} if last_id else {}
        headers = {"accept": "text/event-stream", "cache-control": "no-store", **resumed}
        return self._request("GET", "tail", silence_s=SILENCE_S_MAX, params=parameters, headers=headers)

    def takes_no_gzip(self, request: httpx.Request, status: int) -> bool:
        """Whether an answer says that the body would do without gzip; from now on there is none."""
        if status != 415 or "content-encoding" not in request.headers:
            return False
        self.plain_only = True
        return True

    def _compresses(self, body: bytes) -> bool:
        least = self._gzip_bytes_min
        return least is not None and len(body) >= least and not self.plain_only

    def _request(
        self,
        method: str,
        name: str,
        *,
        silence_s: float = 0.0,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes | Iterator[bytes] | AsyncIterator[bytes] | None = None,
    ) -> httpx.Request:
        timeout = httpx.Timeout(
            self._timeout_s,
            connect=min(self._timeout_s, CONNECT_TIMEOUT_S_MAX),
            read=silence_s or self._timeout_s + ANSWER_GRACE_S,
            write=silence_s or self._timeout_s,
        )
        return httpx.Request(
            method,
            f"{self._api}/{name}",
            headers={**self._headers, **(headers or {})},
            params=params,
            content=content,
            extensions={"timeout": timeout.as_dict()},
        )


def _checked_url(text: str) -> str:
    try:
        check_bridge_url(text)
    except (ValueError, TypeError, AttributeError):  # the latter for what is no text
        raise InvalidSetting(
            "base_url", str(text)[:200], "expected http://host:port or https://host/prefix"
        ) from None
    parts = urlsplit(text)
    if "@" in parts.netloc or parts.query or parts.fragment:
        # Not shown: it may hold a password.
        raise InvalidSetting(
            "base_url", "(hidden)", "expected no user, query or fragment; give the key as key="
        )
    return text.rstrip("/")


def _checked_key(key: str) -> str:
    try:
        check_key(key)
    except ValueError as error:
        raise InvalidSetting("key", "(hidden)", str(error)) from None
    if not key:
        raise InvalidSetting("key", key, "it is empty: None for no key")
    return key


def tls_context(
    verify: ssl.SSLContext | bool, ca_file: str | None, cert: tuple[str, str] | str | None
) -> ssl.SSLContext | bool:
    """What connections are checked with. Raises InvalidSetting for a file that cannot be read."""
    if ca_file is None and cert is None:
        return verify
    if isinstance(verify, ssl.SSLContext):
        raise InvalidSetting("verify", "an SSLContext", "give either it, or ca_file and cert")
    try:
        context = (
            httpx.create_ssl_context(verify)
            if ca_file is None
            else ssl.create_default_context(cafile=ca_file)
        )
    except (OSError, ssl.SSLError) as error:
        raise InvalidSetting("ca_file", str(ca_file), f"cannot be used: {error}") from None
    if cert is not None:
        files = (cert,) if isinstance(cert, str) else cert
        try:
            context.load_cert_chain(*files)
        except (OSError, ssl.SSLError) as error:
            raise InvalidSetting("cert", " and ".join(files), f"cannot be used: {error}") from None
    return context
