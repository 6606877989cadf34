"""PEM files: what is said of those that cannot be used, and when they are read again."""

import logging
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from logbridge.adapters.certificates import PemError, PemFiles, Role, check, renewed
from logbridge.adapters.renewed import LOOK_EVERY_S
from tests.certificates import FAR_OFF, LONG_AGO, Authority, replace


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Clock:
    """A clock that stands until it is set."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize("role", ["server", "client"])
def test_a_good_certificate(authority: Authority, role: Role) -> None:
    """One that a CA has made is fine in both roles, with a CA beside it and without."""
    check(authority.issue("own"), role)
    check(authority.issue("own", ca=authority.ca), role)
    check(PemFiles(ca=authority.ca), role)


def reason_of(files: PemFiles) -> tuple[str, str]:
    with pytest.raises(PemError) as caught:
        check(files, "server")
    error = caught.value
    assert str(error) == f"{error.path}: {error.reason}"
    return error.file, error.reason


@pytest.mark.parametrize(
    ("wrong", "file", "words"),
    [
        ({"chain": "missing"}, "chain", "there is no such file"),
        ({"key": "missing"}, "key", "there is no such file"),
        ({"ca": "missing"}, "ca", "there is no such file"),
        ({"chain": "."}, "chain", "cannot be read"),
        ({"ca": "."}, "ca", "cannot be read"),
        ({"chain": "text"}, "chain", "holds no certificate in PEM form"),
        ({"chain": "fake"}, "chain", "holds no certificate in PEM form that can be read"),
        ({"key": "text"}, "key", "holds no private key"),
        ({"ca": "text"}, "ca", "holds no certificates in PEM form"),
        ({"key": "other.key"}, "key", "is not the key of the certificate in "),
        ({"key": "secret.key"}, "key", "is encrypted"),
        ({"chain": "old.crt", "key": "old.key"}, "chain", "has expired: renew it"),
        ({"chain": "new.crt", "key": "new.key"}, "chain", "is not valid yet"),
    ],
)
def test_what_is_wrong_with_a_file(
    tmp_path: Path, authority: Authority, wrong: dict[str, str], file: str, words: str
) -> None:
    """The error says which file, and why, and nothing of what is in it."""
    own = authority.issue("own", ca=authority.ca)
    authority.issue("other")
    authority.issue("old", dates=LONG_AGO)
    authority.issue("new", dates=FAR_OFF)
    encrypt(Path(own.key), tmp_path / "secret.key")
    (tmp_path / "text").write_text("hunter2")
    (tmp_path / "fake").write_text("-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n")
    paths = {name: str(tmp_path / path) for name, path in wrong.items()}
    found = PemFiles(**{"chain": own.chain, "key": own.key, "ca": own.ca, **paths})
    which, reason = reason_of(found)
    assert which == file
    assert words in reason
    assert "hunter2" not in reason


def encrypt(key: Path, target: Path) -> None:
    read = serialization.load_pem_private_key(key.read_bytes(), None)
    target.write_bytes(
        read.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )


def read_chain(files: PemFiles) -> bytes:
    check(files, "server")
    return Path(files.chain).read_bytes()


def test_new_files_are_read_again(authority: Authority) -> None:
    """A look finds new files, and not before it is time for one; without new files nothing is made."""
    clock = Clock()
    files = authority.issue("own")
    made = renewed(files, read_chain, clock)
    first = made.current
    authority.issue("own")
    assert (made.renew(), made.current) == (False, first)
    clock.now_s += LOOK_EVERY_S
    assert (made.renew(), made.current) == (True, Path(files.chain).read_bytes())
    assert made.current != first
    clock.now_s += LOOK_EVERY_S
    assert not made.renew()


def test_broken_files_leave_the_old_ones(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """New files that do not fit are told once and not used; the next good ones are."""
    clock = Clock()
    files = authority.issue("own")
    made = renewed(files, read_chain, clock)
    first = made.current
    replace(files.key, b"broken")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            clock.now_s += LOOK_EVERY_S
            assert (made.renew(), made.current) == (False, first)
    assert [record.message for record in caplog.records] == [
        f"the certificate stays as it was: {files.key}: holds no private key in PEM form that can be read"
    ]
    authority.issue("own")
    clock.now_s += LOOK_EVERY_S
    assert made.renew()


def test_files_that_vanish_leave_the_old_ones(authority: Authority) -> None:
    """A file that is gone changes nothing."""
    clock = Clock()
    files = authority.issue("own")
    made = renewed(files, read_chain, clock)
    os.remove(files.chain)
    clock.now_s += LOOK_EVERY_S
    assert not made.renew()
    assert made.current


def test_files_that_change_while_they_are_read(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """What was read while files changed is neither used nor told of: the next look takes them whole."""
    clock = Clock()
    files = authority.issue("own")
    before_reading = [lambda: None, lambda: authority.issue("own"), lambda: replace(files.key, b"half")]

    def make(found: PemFiles) -> bytes:
        if before_reading:
            before_reading.pop(0)()
        return read_chain(found)

    made = renewed(files, make, clock)
    first = made.current
    for change in (True, False):
        if change:
            authority.issue("own")
        clock.now_s += LOOK_EVERY_S
        assert (made.renew(), made.current) == (False, first)
    authority.issue("own")
    clock.now_s += LOOK_EVERY_S
    assert (made.renew(), caplog.records) == (True, [])


def test_a_wrong_file_at_first() -> None:
    """What cannot be made at the start is an error there."""
    with pytest.raises(PemError):
        renewed(PemFiles(chain="missing", key="missing"), read_chain, Clock())
