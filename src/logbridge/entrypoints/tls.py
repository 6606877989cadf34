"""TLS as the settings ask for it: the files, what is wrong with them, and how the bridge serves with them."""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from logbridge.adapters.certificates import PemError, PemFiles, check, load_ca, load_own, renewed
from logbridge.domain.errors import InvalidSetting
from logbridge.entrypoints.settings import TLS_SINKS, Settings, check_sink_url, variable_of

Side = Literal["bridge", "service", "sink"]
# The settings that name the files of each side.
_FIELDS: dict[Side, PemFiles] = {
    "bridge": PemFiles("tls_cert", "tls_key", "tls_client_ca"),
    "service": PemFiles("service_tls_cert", "service_tls_key", "service_tls_client_ca"),
    "sink": PemFiles("sink_cert", "sink_cert_key", "sink_ca"),
}


def bridge_files(settings: Settings) -> PemFiles | None:
    """What the bridge serves with; None without TLS."""
    return _files(settings, "bridge") if settings.tls_cert else None


def service_files(settings: Settings) -> PemFiles | None:
    """What the log service serves with; None without TLS."""
    return _files(settings, "service") if settings.service_tls_cert else None


def sink_files(settings: Settings) -> PemFiles | None:
    """What the bridge connects to the log service with; None without TLS.

    Raises InvalidSetting for files beside an address without TLS.
    """
    files = _files(settings, "sink")
    scheme, _ = check_sink_url(settings.sink_url)
    if scheme in TLS_SINKS:
        return files
    for field in ("sink_ca", "sink_cert"):
        if path := getattr(settings, field):
            reason = (
                "is for grpcs://host:port, grpcs+dns://name:port, otlps://host:port and otlp+https://, "
                f"and LOGBRIDGE_SINK is {settings.sink_url}: no TLS"
            )
            raise InvalidSetting(variable_of(field), path, reason)
    return None


def _files(settings: Settings, side: Side) -> PemFiles:
    fields = _FIELDS[side]
    return PemFiles(*(getattr(settings, field) for field in (fields.chain, fields.key, fields.ca)))


@contextmanager
def naming_settings(side: Side) -> Iterator[None]:
    """Within it, a file that cannot be used becomes InvalidSetting of the variable that names it."""
    try:
        yield
    except PemError as error:
        field = getattr(_FIELDS[side], error.file)
        raise InvalidSetting(variable_of(field), error.path, error.reason) from None


def check_files(settings: Settings) -> None:
    """Look at all files that a bridge needs, before it starts. Raises InvalidSetting."""
    if (serving := bridge_files(settings)) is not None:
        with naming_settings("bridge"):
            check(serving, "server")
    if (connecting := sink_files(settings)) is not None:
        with naming_settings("sink"):
            check(connecting, "client")


def serving_context(files: PemFiles, monotonic: Callable[[], float] = time.monotonic) -> ssl.SSLContext:
    """What to serve with, for as long as the process lives. Raises PemError.

    The files are looked at when a client connects; a new certificate, or CA, holds from that connection on.
    """
    context = renewed(files, _context, monotonic)
    entrance = context.current

    def newest(connection: ssl.SSLObject, _name: str | None, _entrance: ssl.SSLContext) -> None:
        # To load new files into a context in use would leave it without a key when they do not fit, and never
        # forget a CA. OpenSSL asks this of every connection, also of one that names no server.
        context.renew()
        connection.context = context.current

    entrance.sni_callback = newest
    return entrance


def _context(files: PemFiles) -> ssl.SSLContext:
    check(files, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    load_own(context, files)
    if files.ca:
        context.verify_mode = ssl.CERT_REQUIRED
        load_ca(context, files.ca)
        # Who resumes a session is not asked for a certificate again, whatever became of its CA.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context


def calling_context(path: str) -> ssl.SSLContext:
    """What commands check an https bridge with; path: of LOGBRIDGE_URL_CA. Raises InvalidSetting."""
    try:
        check(PemFiles(ca=path), "client")
        return ssl.create_default_context(cafile=path)
    except PemError as error:
        raise InvalidSetting("LOGBRIDGE_URL_CA", path, error.reason) from None
