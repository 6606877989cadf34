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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

import msgspec
import uvicorn
from starlette.applications import Starlette
from uvicorn.config import STARTUP_FAILURE

from logbridge.domain.errors import InvalidSetting, KeysError, StoreError
from logbridge.entrypoints.container import Container
from logbridge.entrypoints.exposure import warn_of_open_doors
from logbridge.entrypoints.http.app import create_app, create_forward_app
from logbridge.entrypoints.http.connection import StoppableHttp
from logbridge.entrypoints.http.draining import STOPS, DrainingServer
from logbridge.entrypoints.http.sessions import SECRET_BYTES
from logbridge.entrypoints.http.workers import Workers
from logbridge.entrypoints.own_log import begin_logging
from logbridge.entrypoints.process import allow_open_files, end_at_once
from logbridge.entrypoints.service_manager import inherited_listener
from logbridge.entrypoints.settings import Settings, variable_of
from logbridge.entrypoints.spools import holding_spool
from logbridge.entrypoints.tls import bridge_files, check_files, naming_settings, serving_context
from logbridge.entrypoints.tracing import check_tracing

logger = logging.getLogger(__name__)

BACKLOG = 2048


class Bound(NamedTuple):
    """Where the bridge listens. inherited: by a socket that outlives it, of its service manager."""

    listener: socket.socket
    inherited: bool


# What a worker ends with to be started again: STARTUP_FAILURE would end the other workers, too.
_START_AGAIN = 1


def forward(settings: Settings, tell: Callable[[str], None]) -> None:
    """Deliver from the stream until a stop, and answer probes and metrics meanwhile.

    Stops as a bridge does, and also when its terminal ends; nobody has to be given notice. tell: is told
    where it listens. Raises as serve does, with the names LOGBRIDGE_FORWARD_HOST and LOGBRIDGE_FORWARD_PORT.
    """
    _prepare(settings)
    # nohup has it ignored, and that stays.
    ends_with_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    stops = (*STOPS, signal.SIGHUP) if ends_with_terminal else STOPS
    settings = msgspec.structs.replace(settings, drain_notice_s=0.0)
    with (
        holding_spool(settings, look=True),
        bind(settings, "forward_") as listener,
        _clean_exit(stops),
    ):
        config = _config(create_forward_app(Container(settings)), settings, 1)
        where = f"probes and metrics at {_url(settings, listener)}"
        tell(f"forwards from {settings.spool_url} to {settings.sink_url}; {where}")
        DrainingServer(config, settings, again=end_at_once, stops=stops).run(sockets=[listener])


def _prepare(settings: Settings) -> None:
    check_files(settings)
    check_tracing(settings)
    allow_open_files()
    begin_logging(settings.log_level, settings.log_format, traces=settings.debug)


def serve(settings: Settings, workers: int = 1) -> int:
    """Serve until SIGTERM or SIGINT; the exit code of the process (0 after a drain, see DrainingServer).

    A second signal ends the process at once, by that signal. workers: processes; each has a bridge of its
    own. Raises InvalidSetting with one line when HOST or PORT cannot be had, a socket that was handed over
    cannot be served, a certificate cannot be used, or OpenTelemetry is not installed and asked for.
    """
    _prepare(settings)
    # Held by this process for all workers. What is wrong with it is one line, before the start.
    with (
        holding_spool(settings, look=workers > 1) as token,
        _bound(settings) as bound,
        _clean_exit(),
    ):
        if workers > 1:
            return _serve_with(workers, settings, token, bound)
        config = _config(_app(settings, token), settings, workers)
        _begin(settings, bound)
        server = DrainingServer(config, settings, again=end_at_once, inherited=bound.inherited)
        server.run(sockets=[bound.listener])
    return 0


@contextmanager
def _bound(settings: Settings) -> Iterator[Bound]:
    """The socket that was handed over, or else one at HOST and PORT. Raises InvalidSetting."""
    inherited = inherited_listener()
    with bind(settings) if inherited is None else inherited as listener:
        yield Bound(listener, inherited is not None)


def _serve_with(workers: int, settings: Settings, token: str, bound: Bound) -> int:
    with tempfile.TemporaryDirectory(prefix="logbridge-", ignore_cleanup_errors=True) as folder:
        board = Path(folder)
        app = functools.partial(make_worker_app, settings, token, secrets.token_bytes(SECRET_BYTES), board)
        _begin(settings, bound)
        config = _config(app, settings, workers)
        return Workers(config, bound.listener, settings, board, inherited=bound.inherited).serve()


def _begin(settings: Settings, bound: Bound) -> None:
    warn_of_open_doors(settings, settings.app_name, bound.listener.getsockname()[0])
    announce(settings, bound.listener, inherited=bound.inherited)


def _app(
    settings: Settings, spool_token: str, session_secret: bytes = b"", board: Path | None = None
) -> Starlette:
    return create_app(Container(settings, spool_token=spool_token, board=board), session_secret)


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


def bind(settings: Settings, prefix: str = "") -> socket.socket:
    """A listening socket at HOST and PORT, or at the settings with this prefix. Raises InvalidSetting."""
    host, port = getattr(settings, f"{prefix}host"), getattr(settings, f"{prefix}port")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InvalidSetting(variable_of(f"{prefix}host"), host, f"no such address: {error}") from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _not_bound(prefix, host, port, error) from None
    listener.set_inheritable(True)
    return listener


def _not_bound(prefix: str, host: str, port: int, error: OSError) -> InvalidSetting:
    port_variable = variable_of(f"{prefix}port")
    if isinstance(error, PermissionError):
        return InvalidSetting(port_variable, str(port), "needs more rights; choose one above 1023")
    if error.errno == errno.EADDRINUSE:
        return InvalidSetting(port_variable, str(port), "is taken by another program; choose another")
    return InvalidSetting(variable_of(f"{prefix}host"), host, f"cannot be listened at: {error.strerror}")


def announce(settings: Settings, listener: socket.socket, *, inherited: bool = False) -> None:
    """Print the one line that says where the bridge listens. inherited: by a socket handed over to it."""
    url = _url(settings, listener)
    whose = ", by the socket that it was handed" if inherited else ""
    docs = f"{url}{settings.root_path}{settings.docs_path}"
    print(f"{settings.app_name} listens at {url}{whose}, its docs are at {docs}", flush=True)


def _url(settings: Settings, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if settings.tls_cert else 'http'}://{shown}:{port}"


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
def _clean_exit(stops: Sequence[signal.Signals] = STOPS) -> Iterator[None]:
    """Exit with 0, too, before the server has its handlers; afterwards signals do what they did before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(stop, lambda *_: sys.exit(0)) for stop in stops]
    try:
        yield
    finally:
        for stop, handler in zip(stops, before, strict=True):
            signal.signal(stop, handler)
