"""TLS of the bridge without a network: handshakes in memory, and what settings lead to."""

import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from logbridge.adapters.certificates import PemFiles
from logbridge.adapters.renewed import LOOK_EVERY_S
from logbridge.domain.errors import InvalidSetting
from logbridge.domain.measures import Measures
from logbridge.entrypoints.settings import Settings
from logbridge.entrypoints.sinks import open_sink
from logbridge.entrypoints.tls import (
    bridge_files,
    calling_context,
    check_files,
    naming_settings,
    service_files,
    serving_context,
    sink_files,
)
from tests.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def shake_hands(
    client: ssl.SSLContext,
    server: ssl.SSLContext,
    name: str | None = "localhost",
    session: ssl.SSLSession | None = None,
) -> ssl.SSLObject:
    """The client's end. Raises what either end makes of the other."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    mine = client.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    for end in (mine, server.wrap_bio(to_server, to_client, server_side=True)) * 2:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return mine


def shown_by(server: ssl.SSLContext, client: ssl.SSLContext, name: str | None = "localhost") -> bytes:
    return shake_hands(client, server, name).getpeercert(binary_form=True) or b""


def own_of(files: PemFiles) -> bytes:
    return ssl.PEM_cert_to_DER_cert(
        Path(files.chain).read_text().partition("-----END")[0] + "-----END CERTIFICATE-----\n"
    )


def ticking() -> Callable[[], float]:
    """A clock by which every look is due."""
    now_s = iter(range(1_000_000))
    return lambda: next(now_s) * LOOK_EVERY_S


def test_the_context(authority: Authority) -> None:
    """TLS 1.2 at least, HTTP/1.1 by ALPN, and the certificate of the files, also for who names no server."""
    files = authority.issue("own")
    server, client = serving_context(files), authority.trusted()
    assert server.minimum_version is ssl.TLSVersion.TLSv1_2
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert shake_hands(client, server).selected_alpn_protocol() == "http/1.1"
    client.check_hostname = False
    assert shown_by(server, client, None) == own_of(files)


@pytest.mark.parametrize("name", ["localhost", None])
def test_a_new_certificate_is_shown_to_new_connections(authority: Authority, name: str | None) -> None:
    """Each handshake shows what the files hold then, whether the client names a server or not."""
    files = authority.issue("own")
    server, client = serving_context(files, ticking()), authority.trusted()
    client.check_hostname = False
    first = shown_by(server, client, name)
    authority.issue("own")
    assert first != own_of(files)
    assert shown_by(server, client, name) == own_of(files)


def test_a_client_needs_a_certificate_of_the_ca(authority: Authority, tmp_path: Path) -> None:
    """With a CA for clients, a certificate of it is needed; none, or one of another CA, is refused."""
    server = serving_context(authority.issue("own", ca=authority.ca))
    mine, other = authority.issue("client", "mine"), Authority(tmp_path, "other").issue("stranger", "mine")
    shake_hands(authority.trusted(mine), server)
    for shown in (None, other):
        with pytest.raises(ssl.SSLError):
            shake_hands(authority.trusted(shown), server)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_ca_that_is_replaced_is_forgotten(
    authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """Clients of a new CA in the file are let in, those of the old one no more, not even by a session."""
    next_one = Authority(tmp_path, "next")
    server = serving_context(authority.issue("own", ca=authority.ca), ticking())
    old = authority.trusted(authority.issue("old", "mine"))
    new = authority.trusted(next_one.issue("new", "mine"))
    old.maximum_version = version
    session = shake_hands(old, server).session
    Path(next_one.ca).replace(authority.ca)
    shake_hands(new, server)
    for known in (session, None):
        with pytest.raises(ssl.SSLError):
            shake_hands(old, server, session=known)


def test_the_files_of_each_side() -> None:
    """Each side has files of its own, and none without a certificate; the sink has TLS by its scheme."""
    plain = Settings()
    assert (bridge_files(plain), service_files(plain), sink_files(plain)) == (None, None, None)
    settings = Settings(
        tls_cert="a", tls_key="b", tls_client_ca="c", service_tls_cert="d", service_tls_key="e",
        service_tls_client_ca="f", sink="grpcs://logs:1", sink_cert="g", sink_cert_key="h", sink_ca="i",
    )  # fmt: skip
    assert bridge_files(settings) == PemFiles("a", "b", "c")
    assert service_files(settings) == PemFiles("d", "e", "f")
    assert sink_files(settings) == PemFiles("g", "h", "i")
    assert sink_files(Settings(sink="grpcs://logs:1")) == PemFiles()


@pytest.mark.parametrize(
    "variable", ["TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "SINK_CERT", "SINK_CERT_KEY", "SINK_CA"]
)
def test_a_wrong_file_names_its_setting(authority: Authority, variable: str) -> None:
    """What stops the start names the variable and the file, of the bridge and of its sink."""
    own = authority.issue("own")
    right = {
        "tls_cert": own.chain, "tls_key": own.key, "tls_client_ca": authority.ca,
        "sink_cert": own.chain, "sink_cert_key": own.key, "sink_ca": authority.ca,
    }  # fmt: skip
    check_files(Settings(sink="grpcs://logs:1", **right))
    wrong = Settings(sink="grpcs://logs:1", **{**right, variable.lower(): "missing.pem"})
    with pytest.raises(InvalidSetting, match=f"^LOGBRIDGE_{variable}=missing.pem: there is no such file$"):
        check_files(wrong)


def test_a_wrong_file_of_the_sink() -> None:
    """The sink itself says it in the same way: the Python surface has no other start."""
    with pytest.raises(InvalidSetting, match=r"^LOGBRIDGE_SINK_CA=missing.pem: there is no such file$"):
        open_sink(Settings(sink="grpcs://logs:1", sink_ca="missing.pem"), Measures())


@pytest.mark.parametrize("field", ["sink_ca", "sink_cert"])
@pytest.mark.parametrize("sink", ["", "grpc://logs:1", "memory://"])
def test_files_without_tls(field: str, sink: str) -> None:
    """Who names files for TLS is not served without it."""
    with pytest.raises(InvalidSetting, match=f"^LOGBRIDGE_{field.upper()}=a.pem: is for grpcs://host:port"):
        open_sink(Settings(sink=sink, **{field: "a.pem"}), Measures())


def test_naming_settings() -> None:
    """A file of the log service is told by the variable of the log service."""
    files = service_files(Settings(service_tls_cert="missing.pem", service_tls_key="key"))
    assert files is not None
    with (
        pytest.raises(
            InvalidSetting, match=r"^LOGBRIDGE_SERVICE_TLS_CERT=missing.pem: there is no such file$"
        ),
        naming_settings("service"),
    ):
        serving_context(files)


def has_openssl_3() -> bool:
    said = (
        subprocess.run(["openssl", "version"], capture_output=True, check=False)
        if shutil.which("openssl")
        else None
    )
    return said is not None and said.stdout >= b"OpenSSL 3"


@pytest.mark.skipif(not has_openssl_3(), reason="needs OpenSSL 3")
def test_the_certificates_of_the_documentation(tmp_path: Path) -> None:
    """What docs/tls.md makes is taken here, and by a client that is strict (RFC 5280)."""
    page = (Path(__file__).parents[3] / "docs/tls.md").read_text()
    recipe = page.partition("```sh\n")[2].partition("```")[0]
    subprocess.run(["sh", "-ec", recipe], cwd=tmp_path, check=True, capture_output=True)
    files = PemFiles(*(str(tmp_path / name) for name in ("logs.crt", "logs.key", "ca.pem")))
    server = serving_context(PemFiles(files.chain, files.key))
    strict = calling_context(files.ca)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    assert shown_by(server, strict, "logs.internal") == own_of(files)
    shake_hands(strict, server, "127.0.0.1")


def test_the_ca_of_the_commands(authority: Authority, tmp_path: Path) -> None:
    """LOGBRIDGE_URL_CA is trusted and nothing beside it; a wrong file is told."""
    server = serving_context(Authority(tmp_path, "other").issue("own"))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(calling_context(authority.ca), server)
    shake_hands(calling_context(str(tmp_path / "other.pem")), server)
    with pytest.raises(InvalidSetting, match=r"^LOGBRIDGE_URL_CA=missing.pem: there is no such file$"):
        calling_context("missing.pem")
