"""What both clients are made of, and the logs that they send in the background."""

import random
import ssl
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

import httpx

from logbridge.domain.errors import InvalidSetting
from logbridge.domain.outcome import Outcome
from logbridge.domain.policy import BACKGROUND_LEAST, BackgroundPolicy
from logbridge.entrypoints.background.background import Background, BackgroundSettings, Counts
from logbridge.http.calls import Calls
from logbridge.http.requests import API_PATH, TIMEOUT_S_MAX, TIMEOUT_S_MIN, Requests, tls_context
from logbridge.http.sending import Sender

TIMEOUT_S = 10.0
RETRY_S = 30.0
CONNECTIONS_MAX = 20
GZIP_BYTES_MIN = 1024
_BATCHES = BackgroundPolicy()


class BridgeClient(ABC):
    """The settings of a client of one bridge.

    base_url: ``http://host:port``, ``https://host/prefix``; api_path: what the bridge has as
    LOGBRIDGE_API_PREFIX. key: sent as ``Authorization: Bearer``. timeout_s: seconds of one attempt, 0.001 to
    3600; the bridge is told (Request-Timeout). retry_s: seconds in which another attempt may begin, 0 for
    none. connections_max: at once. gzip_bytes_min: bodies of so many bytes are compressed; None for never.
    prefer_async: asks for the 202 of a spool. verify, ca_file, cert: a context or False; a file of CAs; a
    certificate with its key, or the two files. batch_entries_max, batch_bytes_max: what goes in one request,
    also of write_batch; the other settings are those of ``log()`` (docs/python.md). transport: of httpx, for
    tests; so are monotonic, jitter and sleep. Raises InvalidSetting for what makes no sense.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        api_path: str = API_PATH,
        timeout_s: float = TIMEOUT_S,
        connections_max: int = CONNECTIONS_MAX,
        gzip_bytes_min: int | None = GZIP_BYTES_MIN,
        prefer_async: bool = False,
        verify: ssl.SSLContext | bool = True,
        ca_file: str | None = None,
        cert: tuple[str, str] | str | None = None,
        transport: Any = None,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Any] | None = None,
        **background: Unpack[BackgroundSettings],
    ) -> None:
        retry_s = background.setdefault("retry_s", RETRY_S)
        _check("timeout_s", timeout_s, TIMEOUT_S_MIN, TIMEOUT_S_MAX)
        _check("connections_max", connections_max, 1)
        _check("gzip_bytes_min", gzip_bytes_min or 0, 0)
        requests = Requests(base_url, api_path, key, timeout_s, gzip_bytes_min, prefer_async=prefer_async)
        # The calls may do without another attempt; log() has one at least.
        for name, least in {**BACKGROUND_LEAST, "retry_s": 0}.items():
            _check(name, background.get(name, least), least)
        entries_max = background.get("batch_entries_max", _BATCHES.batch_entries_max)
        bytes_max = background.get("batch_bytes_max", _BATCHES.batch_bytes_max)
        self._calls = Calls(requests, retry_s, entries_max, bytes_max, monotonic, jitter)
        options = {
            "transport": transport,
            "verify": tls_context(verify, ca_file, cert),
            "limits": httpx.Limits(
                max_connections=connections_max, max_keepalive_connections=connections_max
            ),
            "trust_env": requests.trusts_environment,
        }
        self._begin(options, sleep)
        # Of its own: what is logged never waits for a connection of the calls, nor does a loop for it.
        self._beside = Sender(options)
        weakref.finalize(self, self._beside.close)  # of a program that ends without close(), too
        background["retry_s"] = max(retry_s, BACKGROUND_LEAST["retry_s"])
        self._background = Background(self._write_once, **background)

    @abstractmethod
    def _begin(self, options: dict[str, Any], sleep: Callable[[float], Any] | None) -> None:
        """Make what sends the calls."""

    def log(self, message: str, /, **fields: Any) -> bool:
        """Hand a log to the background and return at once, in any thread; False: it was refused or dropped,
        which ``counts`` tells. Raises nothing.
        """
        return self._background.log(message, **fields)

    @property
    def counts(self) -> Counts:
        """What became of the logs that were handed to log()."""
        return self._background.counts

    def _write_once(self, entries: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        return self._beside.run(self._calls.write_once(entries))


def _check(name: str, value: object, least: float, most: float | None = None) -> None:
    if not (isinstance(value, int | float) and least <= value and (most is None or value <= most)):
        raise InvalidSetting(
            name, str(value), f"expected {least} or more" if most is None else f"{least} to {most}"
        )
