"""The keys file and the ring of keys: what is kept, who is let in, and what happens when the file changes."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbridge.adapters.keys.file import KEYS_MAX, KeysFile
from logbridge.adapters.keys.ring import KeyRing, new_key
from logbridge.adapters.renewed import LOOK_EVERY_S
from logbridge.domain.access import Key, Scope
from logbridge.domain.errors import KeysError

NOW_US = 1_700_000_000_000_000


class Clock:
    """Both clocks of a ring, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now_us(self) -> int:
        return NOW_US + int(self.seconds * 1_000_000)


def key_of(name: str = "shop", **changes: object) -> tuple[str, Key]:
    """A new key, as the caller shows it and as it is kept."""
    secret, key_id, hashed = new_key()
    fields = {
        "id": key_id,
        "name": name,
        "hash": hashed,
        "scopes": frozenset({Scope.WRITE}),
        "created_at": "x",
    }
    return secret, Key(**fields | changes)  # type: ignore[arg-type]  # fields of a Key


def ring_of(path: Path, clock: Clock) -> KeyRing:
    return KeyRing(path, clock.now_us, clock.monotonic)


def test_a_key_lets_its_caller_in(tmp_path: Path) -> None:
    """Whoever shows the key gets its name, scopes and services; nothing else does, however near."""
    secret, key = key_of(services=frozenset({"shop"}))
    KeysFile(tmp_path / "keys.json").add(key)
    ring = ring_of(tmp_path / "keys.json", Clock())
    caller = ring.find(secret)
    assert caller == key.caller
    assert caller is not None
    assert (caller.name, caller.services) == ("shop", {"shop"})
    changed = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    for wrong in ("", secret[:-1], secret + "A", changed, key.hash, secret.upper(), f"{secret}\n"):
        assert ring.find(wrong) is None


def test_the_file_holds_no_key(tmp_path: Path) -> None:
    """Neither a key nor its secret part is in the file, and nobody else may read the file."""
    secret, key = key_of()
    path = tmp_path / "keys.json"
    KeysFile(path).add(key)
    assert secret[len("lbk_0123456789ab_") :] not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    """A ring of one key."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    KeysFile(path).add(key_of()[1])
    return ring_of(path, Clock())


@given(text=st.one_of(st.text(max_size=80), st.from_regex(r"lbk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")))
def test_no_text_is_a_key_by_chance(ring: KeyRing, text: str) -> None:
    """Any text, also one of a key's form, opens nothing and raises nothing."""
    assert ring.find(text) is None


def test_a_change_is_seen_within_a_second(tmp_path: Path) -> None:
    """A new key opens, a revoked one does not, without a restart."""
    path, clock = tmp_path / "keys.json", Clock()
    first, key = key_of("first")
    KeysFile(path).add(key)
    ring = ring_of(path, clock)
    second, another = key_of("second")
    KeysFile(path).add(another)
    KeysFile(path).revoke("first", "2024-08-30T10:30:45Z")
    clock.seconds += LOOK_EVERY_S
    assert ring.find(first) is None
    assert ring.find_by_id(key.id) is None
    assert ring.find(second) is not None


def test_a_key_ends_when_it_expires(tmp_path: Path) -> None:
    """Up to its time it opens, from then on it does not, though the file is the same."""
    path, clock = tmp_path / "keys.json", Clock()
    secret, key = key_of(expires_at="2023-11-14T22:13:30Z")  # ten seconds from NOW_US
    KeysFile(path).add(key)
    ring = ring_of(path, clock)
    clock.seconds = 9.9
    assert ring.find(secret) is not None
    clock.seconds = 10.0
    assert ring.find(secret) is None


@pytest.mark.parametrize(
    "content", [None, b"", b"{}", b'{"version": 2}', b"[]", b"\xff", b'{"version":1,"keys":[1]}']
)
def test_a_broken_file_changes_nothing(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The keys stay as they were, and the log says which file is wrong."""
    path, clock = tmp_path / "keys.json", Clock()
    secret, key = key_of()
    KeysFile(path).add(key)
    ring = ring_of(path, clock)
    path.unlink() if content is None else path.write_bytes(content)
    clock.seconds += LOOK_EVERY_S
    assert ring.find(secret) is not None
    assert str(path) in caplog.text
    # Mended, it counts again.
    path.write_text(json.dumps({"version": 1, "keys": []}))
    os.utime(path, ns=(1, 1))
    clock.seconds += LOOK_EVERY_S
    assert ring.find(secret) is None


def test_a_file_that_cannot_be_read_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once it can, it counts, though nothing about the file has changed; the log tells of it once."""
    path, clock = tmp_path / "keys.json", Clock()
    secret, key = key_of()
    KeysFile(path).add(key)
    ring = ring_of(path, clock)
    KeysFile(path).revoke("shop", "2024-08-30T10:30:45Z")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "no")))
        for _ in range(3):
            clock.seconds += LOOK_EVERY_S
            assert ring.find(secret) is not None
    clock.seconds += LOOK_EVERY_S
    assert ring.find(secret) is None
    assert caplog.text.count("the list of keys stays as it was") == 1


@pytest.mark.parametrize(
    "change",
    [{"services": [""]}, {"services": [" "]}, {"rate": "10/x"}, {"hash": "é"}, {"expires_at": "soon"}],
)
def test_a_key_that_makes_no_sense_is_none(tmp_path: Path, change: dict[str, object]) -> None:
    """A file edited by hand is refused as a whole, and named; no request is to find out later."""
    path = tmp_path / "keys.json"
    KeysFile(path).add(key_of()[1])
    document = json.loads(path.read_text())
    document["keys"][0] |= change
    path.write_text(json.dumps(document))
    with pytest.raises(KeysError, match="not a keys file"):
        ring_of(path, Clock())


def test_a_change_through_a_link_is_a_change(tmp_path: Path) -> None:
    """The file that the link leads to is changed, and the link stays."""
    path, link = tmp_path / "real" / "keys.json", tmp_path / "link.json"
    KeysFile(path).add(key_of("shop")[1])
    link.symlink_to(path)
    KeysFile(link).revoke("shop", "2024-08-30T10:30:45Z")
    assert link.is_symlink()
    assert [key.revoked_at != "" for key in KeysFile(path).read()] == [True]


def test_a_link_that_leads_elsewhere_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes renews a secret: a link on the way is replaced, and what it led to is removed."""
    clock, way, path = Clock(), tmp_path / "..data", tmp_path / "keys.json"
    secrets = []
    for name in ("old", "new"):
        secret, key = key_of(name)
        KeysFile(tmp_path / name / "keys.json").add(key)
        secrets.append(secret)
    way.symlink_to("old")
    path.symlink_to("..data/keys.json")
    ring = ring_of(path, clock)
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").replace(way)
    (tmp_path / "old" / "keys.json").unlink()
    clock.seconds += LOOK_EVERY_S
    assert [ring.find(secret) is not None for secret in secrets] == [False, True]


def test_a_ring_needs_a_file_at_first(tmp_path: Path) -> None:
    """A bridge does not start with a keys file that is missing or no keys file."""
    with pytest.raises(KeysError, match="logbridge key create"):
        ring_of(tmp_path / "none.json", Clock())
    (tmp_path / "bad.json").write_text("nonsense")
    with pytest.raises(KeysError, match="not a keys file"):
        ring_of(tmp_path / "bad.json", Clock())


def test_names_are_for_one_key_at_a_time(tmp_path: Path) -> None:
    """A name is free again once its key is revoked; both stay in the list."""
    file = KeysFile(tmp_path / "keys.json")
    file.add(key_of("shop")[1])
    with pytest.raises(KeysError, match="exists"):
        file.add(key_of("shop")[1])
    file.revoke("shop", "2024-08-30T10:30:45Z")
    file.add(key_of("shop")[1])
    assert [key.revoked_at != "" for key in file.read()] == [True, False]
    with pytest.raises(KeysError, match="no key named"):
        file.revoke("nobody", "2024-08-30T10:30:45Z")


def test_the_file_takes_no_more_than_it_may(tmp_path: Path) -> None:
    """A full file refuses one more key, and says so."""
    path = tmp_path / "keys.json"
    key = json.loads(
        json.dumps({"id": "a" * 12, "name": "n", "hash": "0" * 64, "scopes": [], "created_at": "x"})
    )
    path.write_text(json.dumps({"version": 1, "keys": [key] * KEYS_MAX}))
    with pytest.raises(KeysError, match="full"):
        KeysFile(path).add(key_of("other")[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_change_keeps_owner_and_group(tmp_path: Path) -> None:
    """A file that root changes stays its owner's, who can change it, too: the lock is theirs as well."""
    path = tmp_path / "keys.json"
    KeysFile(path).add(key_of("one")[1])
    os.chown(path, 1234, 4321)
    KeysFile(path).add(key_of("two")[1])
    for owned in (path, Path(f"{path}.lock")):
        assert (owned.stat().st_uid, owned.stat().st_gid) == (1234, 4321)


def test_a_change_keeps_the_files_mode(tmp_path: Path) -> None:
    """Whoever could read the file before a change can read it after."""
    path = tmp_path / "keys.json"
    KeysFile(path).add(key_of("one")[1])
    path.chmod(0o640)
    KeysFile(path).add(key_of("two")[1])
    assert path.stat().st_mode & 0o777 == 0o640
