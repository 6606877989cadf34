"""The client behind a handler or a processor: handed in or made from an address, never fed its own logs."""

import inspect
import threading
from collections.abc import Callable
from typing import Any, Protocol

from logbridge.domain.errors import InvalidSetting

FLUSH_TIMEOUT_S = 5.0
# Threads that send carry this name or begin with it: what is logged in one of them comes from sending.
_SENDING_THREADS = "logbridge"


class LogClient(Protocol):
    """What a handler needs of a client; those of logbridge that are synchronous have it."""

    @property
    def log(self) -> Callable[..., bool]:
        """Takes a message and fields at once, to send them in the background; False when it was dropped."""
        ...

    def flush(self, *, timeout_s: float) -> bool:
        """Wait until what was taken before is settled; False when the time was not enough."""
        ...


class OwnClient(LogClient, Protocol):
    """A client that was opened for a handler, and is closed with it."""

    def close(self, *, timeout_s: float) -> object:
        """Send what is left, in so many seconds at most."""
        ...


class _ThisThread(threading.local):
    is_handing_over = False


_this_thread = _ThisThread()


def hand_over(
    client: LogClient,
    logger_name: str | None,
    thread_name: str | None,
    entry: Callable[[], tuple[str, dict[str, Any]]],
) -> bool:
    """Give the client a log, unless it is about sending: then a circle would begin, and nothing is done.

    Such logs are those of logbridge itself, those of a sending thread, and those made while this thread hands
    one over. entry: makes the message and the fields.
    """
    if _this_thread.is_handing_over or _is_of_sending(logger_name or "", thread_name or ""):
        return False
    _this_thread.is_handing_over = True
    try:
        message, fields = entry()
        return client.log(message, **fields)
    finally:
        _this_thread.is_handing_over = False


def _is_of_sending(logger_name: str, thread_name: str) -> bool:
    return logger_name.partition(".")[0] == "logbridge" or thread_name.startswith(_SENDING_THREADS)


def open_client(
    client: LogClient | None, url: str, key: str | None, settings: dict[str, Any]
) -> tuple[LogClient, Callable[[float], object]]:
    """The client to use, and what to call at the end with the seconds it may take.

    Raises ValueError for both or neither, InvalidSetting for a url of another scheme.
    """
    if (client is None) == (not url):
        raise ValueError("give a client or a url, and not both")
    if client is not None:
        if key is not None or settings:
            raise ValueError("key and settings are those of a client made from a url; this one has its own")
        if inspect.iscoroutinefunction(client.flush):
            raise ValueError(f"{type(client).__name__} is asynchronous: logging needs a client that is not")
        return client, lambda timeout_s: client.flush(timeout_s=timeout_s)
    opened = _client_of(url, key, settings)
    return opened, lambda timeout_s: opened.close(timeout_s=timeout_s)


def _client_of(url: str, key: str | None, settings: dict[str, Any]) -> "OwnClient":
    # Imported here: a program that talks to a bridge needs no gRPC, and the other way round.
    scheme = url.partition("://")[0].lower()
    if scheme in ("http", "https"):
        from logbridge.http import Client

        return Client(url, key=key, **settings)
    if scheme in ("grpc", "grpcs"):
        from logbridge.entrypoints.python.sync_client import LogServiceClient

        return LogServiceClient(url, key=key, **settings)
    raise InvalidSetting("url", url, "expected http://, https://, grpc:// or grpcs:// with host:port")
