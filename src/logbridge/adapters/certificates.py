"""Certificates in PEM files: tried before they are used, and read again when one of the files changes."""

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

from msgspec import Struct

from logbridge.adapters.renewed import Renewed
from logbridge.domain.errors import LogbridgeError

T = TypeVar("T")
Role = Literal["server", "client"]
PemFile = Literal["chain", "key", "ca"]
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_NOT_YET_VALID, _EXPIRED = 9, 10  # X509_V_ERR_CERT_* of OpenSSL


class PemFiles(Struct, frozen=True):
    """Paths of PEM files, "" for none.

    chain: certificates, the own one first. key: its private key. ca: of whom the peer must be certified.
    """

    chain: str = ""
    key: str = ""
    ca: str = ""


class PemError(LogbridgeError):
    """A PEM file that cannot be used.

    file: which one of PemFiles. path: str, where it is. reason: str, what is wrong and what to do, and never
    what is in the file.
    """

    def __init__(self, file: PemFile, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.file = file
        self.path = path
        self.reason = reason


def check(files: PemFiles, role: Role) -> None:
    """Raises PemError unless the certificate can be shown in this role, and the CA can be asked for."""
    if files.ca:
        _read("ca", files.ca)
        load_ca(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), files.ca)
    if files.chain:
        own = _CERTIFICATE.search(_read("chain", files.chain))
        if own is None:
            raise PemError("chain", files.chain, "holds no certificate in PEM form")
        _read("key", files.key)
        _try_handshake(files, own[0].decode("latin-1"), role)


def _read(file: PemFile, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise PemError(file, path, "there is no such file") from None
    except OSError as error:
        reason = f"cannot be read ({error.strerror}): it must be a file that this user may read"
        raise PemError(file, path, reason) from None


def load_ca(context: ssl.SSLContext, path: str) -> None:
    """Trust these CAs. Raises PemError."""
    try:
        context.load_verify_locations(cafile=path)
    except OSError:  # SSLError is one
        raise PemError("ca", path, "holds no certificates in PEM form") from None


def load_own(context: ssl.SSLContext, files: PemFiles) -> None:
    """Show this certificate. Raises PemError."""
    try:
        # Without an answer of ours OpenSSL would ask for a passphrase on the terminal.
        context.load_cert_chain(files.chain, files.key, password=_no_passphrase)
    except _EncryptedError:
        reason = "is encrypted: the key must be in the file without a passphrase"
        raise PemError("key", files.key, reason) from None
    except ssl.SSLError as error:
        raise _not_loaded(files, error) from None
    except OSError as error:
        raise PemError("chain", files.chain, f"cannot be read ({error.strerror})") from None


class _EncryptedError(Exception):
    pass


def _no_passphrase() -> NoReturn:
    raise _EncryptedError


def _not_loaded(files: PemFiles, error: ssl.SSLError) -> PemError:
    if error.reason == "KEY_VALUES_MISMATCH":
        reason = f"is not the key of the certificate in {files.chain}: name two that belong together"
        return PemError("key", files.key, reason)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=files.chain)
    except OSError:
        return PemError("chain", files.chain, "holds no certificate in PEM form that can be read")
    if error.reason is not None and ("TOO_SMALL" in error.reason or "TOO_WEAK" in error.reason):
        return PemError("chain", files.chain, f"is too weak for TLS ({error.reason}): make a new one")
    return PemError("key", files.key, "holds no private key in PEM form that can be read")


def _try_handshake(files: PemFiles, own: str, role: Role) -> None:
    """Show the certificate to ourselves: only a peer finds out that it has expired, or is not for servers."""
    client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    judge = client if role == "server" else server
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    load_own(server, files)
    if role == "client":
        load_own(client, files)
    judge.verify_mode = ssl.CERT_REQUIRED
    # Trusted as it is: whether its CA is the one that peers trust, only they know.
    judge.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    judge.load_verify_locations(cadata=own)
    try:
        _shake_hands(client, server)
    except ssl.SSLCertVerificationError as error:
        raise PemError("chain", files.chain, _why_not_valid(error, role)) from None
    except ssl.SSLError as error:
        raise PemError("chain", files.chain, f"cannot be used for TLS ({error.reason})") from None


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for end in ends * 2:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue


def _why_not_valid(error: ssl.SSLCertVerificationError, role: Role) -> str:
    if error.verify_code == _EXPIRED:
        return "has expired: renew it"
    if error.verify_code == _NOT_YET_VALID:
        return "is not valid yet: look at its dates, and at the clock of this machine"
    return f"cannot be used by a {role} ({error.verify_message}): make another one"


def renewed(files: PemFiles, make: Callable[[PemFiles], T], monotonic: Callable[[], float]) -> Renewed[T]:
    """What is made of PEM files, and made again when one of them has changed. make: raises PemError."""
    paths = [Path(path) for path in (files.chain, files.key, files.ca) if path]
    return Renewed("certificate", paths, lambda: make(files), PemError, monotonic)
