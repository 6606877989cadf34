"""Serving over TCP with uvicorn: one process, or several workers that share one socket."""

import errno
import functools
import logging
import secrets
import signal
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import uvicorn
from starlette.applications import Starlette
from uvicorn.config import STARTUP_FAILURE

from logbridge.domain.errors import InvalidSetting, KeysError, StoreError
from logbridge.entrypoints.container import check_tracing, holding_spool, make_container
from logbridge.entrypoints.exposure import warn_of_open_doors
from logbridge.entrypoints.http.app import create_app
from logbridge.entrypoints.http.connection import StoppableHttp
from logbridge.entrypoints.http.draining import STOPS, DrainingServer
from logbridge.entrypoints.http.sessions import SECRET_BYTES
from logbridge.entrypoints.http.workers import Workers
from logbridge.entrypoints.own_log import begin_logging
from logbridge.entrypoints.process import allow_open_files, end_at_once
from logbridge.entrypoints.settings import Settings
from logbridge.entrypoints.tls import bridge_files, check_files, naming_settings, serving_context

logger = logging.getLogger(__name__)

BACKLOG = 2048
# What a worker ends with to be started again: STARTUP_FAILURE would end the other workers, too.
_START_AGAIN = 1


def serve(settings: Settings, workers: int = 1) -> int:
    """Serve until SIGTERM or SIGINT; the exit code of the process (0 after a drain, see DrainingServer).

    A second signal ends the process at once, by that signal. workers: processes; each has a bridge of its
    own. Raises InvalidSetting with one line when HOST or PORT cannot be had, a certificate cannot be used,
    or OpenTelemetry is not installed and asked for.
    """
    check_files(settings)
    check_tracing(settings)
    allow_open_files()
    begin_logging(settings.log_level, settings.log_format, traces=settings.debug)
    # Held by this process for all workers. What is wrong with it is one line, before the start.
    with (
        holding_spool(settings, look=workers > 1) as token,
        bind(settings) as listener,
        _clean_exit(),
    ):
        if workers > 1:
            return _serve_with(workers, settings, token, listener)
        config = _config(_app(settings, token), settings, workers)
        _begin(settings, listener)
        DrainingServer(config, settings, again=end_at_once).run(sockets=[listener])
    return 0


def _serve_with(workers: int, settings: Settings, token: str, listener: socket.socket) -> int:
    with tempfile.TemporaryDirectory(prefix="logbridge-", ignore_cleanup_errors=True) as folder:
        board = Path(folder)
        app = functools.partial(make_worker_app, settings, token, secrets.token_bytes(SECRET_BYTES), board)
        _begin(settings, listener)
        return Workers(_config(app, settings, workers), listener, settings, board).serve()


def _begin(settings: Settings, listener: socket.socket) -> None:
    warn_of_open_doors(settings, settings.app_name, listener.getsockname()[0])
    announce(settings, listener)


def _app(
    settings: Settings, spool_token: str, session_secret: bytes = b"", board: Path | None = None
) -> Starlette:
    return create_app(make_container(settings, spool_token=spool_token, board=board), session_secret)


def make_worker_app(settings: Settings, spool_token: str, session_secret: bytes, board: Path) -> Starlette:
    """The application of one of several processes. spool_token: of the bridge that holds the spool, or "".

    session_secret: the one that all workers sign sessions with. board: the folder of what they count.
    """
    begin_logging(settings.log_level, settings.log_format, traces=settings.debug)
    try:
        return _app(settings, spool_token, session_secret, board)
    except InvalidSetting as error:
        _begin_again_later(error)
    except (KeysError, StoreError) as error:
        logger.critical("%s", error)
        sys.exit(STARTUP_FAILURE)


def bind(settings: Settings) -> socket.socket:
    """A listening socket at HOST and PORT. Raises InvalidSetting."""
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise InvalidSetting("HOST", settings.host, f"no such address: {error}") from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _not_bound(settings, error) from None
    listener.set_inheritable(True)
    return listener


def _not_bound(settings: Settings, error: OSError) -> InvalidSetting:
    if isinstance(error, PermissionError):
        return InvalidSetting("PORT", str(settings.port), "needs more rights; choose one above 1023")
    if error.errno == errno.EADDRINUSE:
        return InvalidSetting("PORT", str(settings.port), "is taken by another program; choose another")
    return InvalidSetting("HOST", settings.host, f"cannot be listened at: {error.strerror}")


def announce(settings: Settings, listener: socket.socket) -> None:
    """Print the one line that says where the bridge listens."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    url = f"{'https' if settings.tls_cert else 'http'}://{shown}:{port}"
    docs = f"{url}{settings.root_path}{settings.docs_path}"
    print(f"{settings.app_name} listens at {url}, its docs are at {docs}", flush=True)


def _config(app: Starlette | Callable[[], Starlette], settings: Settings, workers: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=workers > 1,
        loop="uvloop",
        http=StoppableHttp,
        ws="none",
        lifespan="on",
        interface="asgi3",
        workers=workers,
        proxy_headers=False,
        server_header=False,
        # On every answer, also on those that no route of ours makes.
        headers=[("X-Content-Type-Options", "nosniff")],
        access_log=settings.debug,
        log_config=None,
        log_level="info" if settings.debug else "warning",
        backlog=BACKLOG,
        ssl_context_factory=functools.partial(_serving_context, settings) if settings.tls_cert else None,
    )


def _serving_context(settings: Settings, *_uvicorns: object) -> ssl.SSLContext:
    """In each process that serves: contexts cannot be sent to another one."""
    files = bridge_files(settings)
    assert files is not None  # noqa: S101 (asked for with a certificate only)
    try:
        with naming_settings("bridge"):
            return serving_context(files)
    except InvalidSetting as error:
        _begin_again_later(error)


def _begin_again_later(error: InvalidSetting) -> NoReturn:
    """A file was fine when the first process looked, and has expired since, or is being replaced."""
    logger.critical("%s", error)
    sys.exit(_START_AGAIN)


@contextmanager
def _clean_exit() -> Iterator[None]:
    """Exit with 0, too, before the server has its handlers; afterwards signals do what they did before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(stop, lambda *_: sys.exit(0)) for stop in STOPS]
    try:
        yield
    finally:
        for stop, handler in zip(STOPS, before, strict=True):
            signal.signal(stop, handler)
