"""What TLS needs in grpc's own types, made of PEM files."""

import threading
from collections.abc import Callable
from pathlib import Path

import grpc

from logbridge.adapters.certificates import PemFiles, check, renewed


def channel_credentials(files: PemFiles) -> grpc.ChannelCredentials:
    """For a channel; without a CA the list that grpc carries is trusted. Raises PemError."""
    # grpc itself would tell of a wrong file in lines of its own, and only when it connects.
    check(files, "client")
    return grpc.ssl_channel_credentials(_bytes_of(files.ca), _bytes_of(files.key), _bytes_of(files.chain))


def server_credentials(files: PemFiles, monotonic: Callable[[], float]) -> grpc.ServerCredentials:
    """For a server; with a CA, clients must have a certificate of it. Raises PemError.

    The files are looked at when a client connects, and a new certificate holds from that connection on.
    """
    configuration = renewed(files, _server_configuration, monotonic)
    one_at_a_time = threading.Lock()

    def newest() -> grpc.ServerCertificateConfiguration | None:
        # grpc calls it in threads of its own.
        with one_at_a_time:
            return configuration.current if configuration.renew() else None

    return grpc.dynamic_ssl_server_credentials(
        configuration.current,
        newest,  # type: ignore[arg-type]  # None is no change, as its documentation says
        require_client_authentication=bool(files.ca),
    )


def _server_configuration(files: PemFiles) -> grpc.ServerCertificateConfiguration:
    check(files, "server")
    pair = (Path(files.key).read_bytes(), Path(files.chain).read_bytes())
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=_bytes_of(files.ca))


def _bytes_of(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None
