"""The commands over TLS: dev with it everywhere, and those that talk to its bridge."""

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.integration.processes import DEADLINE_S, end, read_until, start

READY = r"logbridge is ready: https://127.0.0.1:(\d+)(?s:.)*Ctrl-C stops both"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@contextlib.contextmanager
def dev(folder: Path, authority: Authority, **variables: str) -> Iterator[int]:
    """A running dev whose bridge and log service have certificates; gives the port."""
    bridge, service = authority.issue("bridge"), authority.issue("service")
    settings = {
        "LOGBRIDGE_TLS_CERT": bridge.chain,
        "LOGBRIDGE_TLS_KEY": bridge.key,
        "LOGBRIDGE_SERVICE_TLS_CERT": service.chain,
        "LOGBRIDGE_SERVICE_TLS_KEY": service.key,
        "LOGBRIDGE_SINK_CA": authority.ca,
        "HOST": "127.0.0.1",
        **variables,
    }
    process = start(folder, "dev", "--port", "0", "--grpc-server-port", "0", **settings)
    try:
        assert process.stdout is not None
        yield int(read_until(process.stdout, READY)[1])
    finally:
        code, err = end(process, signal.SIGINT)
    assert code == 0, err


@pytest.fixture(scope="module")
def port(folder: Path, authority: Authority) -> Iterator[int]:
    """The port of a bridge with TLS on both sides, that anybody reaches."""
    with dev(folder, authority) as port:
        yield port


def run(folder: Path, port: int, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """A command that talks to the bridge."""
    process = start(folder, *arguments, LOGBRIDGE_URL=f"https://localhost:{port}", **variables)
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


def test_write_and_query(folder: Path, authority: Authority, port: int) -> None:
    """With LOGBRIDGE_URL_CA a log goes all the way over TLS and comes back."""
    trust = {"LOGBRIDGE_URL_CA": authority.ca}
    code, written, err = run(folder, port, "write", "safe", "--service", "shop", **trust)
    assert code == 0, err
    code, found, err = run(folder, port, "query", "--service", "shop", "--json", **trust)
    assert code == 0, err
    assert [log["id"] for log in json.loads(found)["logs"]] == [written.strip()]


def test_check(folder: Path, authority: Authority, port: int) -> None:
    """The test tool passes over TLS, two hundred connections at once included."""
    code, out, err = run(folder, port, "check", "http", "--json", LOGBRIDGE_URL_CA=authority.ca)
    assert (code, json.loads(out)["failed"]) == (0, 0), err


@pytest.mark.parametrize("command", [["write", "m"], ["query"], ["tail"]])
def test_a_bridge_that_is_not_trusted(folder: Path, port: int, command: list[str]) -> None:
    """Without its CA nothing is sent, and the line says what to do."""
    code, out, err = run(folder, port, *command)
    assert (code, out) == (3, "")
    assert err == (
        f"logbridge: the certificate of https://localhost:{port} is not trusted: "
        "unable to get local issuer certificate (name its CA with LOGBRIDGE_URL_CA)\n"
    )


def test_dev_with_certificates_of_everybody(tmp_path: Path) -> None:
    """With CAs for clients on both sides dev starts, and says that it is ready."""
    authority = Authority(tmp_path)
    shown = authority.issue("shown", "bridge")
    with dev(
        tmp_path,
        authority,
        LOGBRIDGE_TLS_CLIENT_CA=authority.ca,
        LOGBRIDGE_SERVICE_TLS_CLIENT_CA=authority.ca,
        LOGBRIDGE_SINK_CERT=shown.chain,
        LOGBRIDGE_SINK_CERT_KEY=shown.key,
    ) as port:
        code, _, err = run(tmp_path, port, "query", LOGBRIDGE_URL_CA=authority.ca)
    assert (code, "no bridge answers" in err) == (3, True)
