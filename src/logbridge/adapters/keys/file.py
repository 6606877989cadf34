"""The keys file: JSON that one command changes at a time, and that a bridge never sees half written."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from logbridge.domain.access import Key
from logbridge.domain.errors import KeysError

VERSION = 1
KEYS_MAX = 10_000
FILE_BYTES_MAX = 16 * 1024 * 1024


class _Document(Struct):
    version: int
    keys: list[Key] = []


class KeysFile:
    """The keys at ``path``; a file that is missing holds none."""

    def __init__(self, path: Path) -> None:
        # The file itself: a change through a link must not put another file in its place.
        self.path = path.resolve()

    def read(self) -> list[Key]:
        """All keys, revoked and expired ones too. Raises KeysError that says what is wrong with the file."""
        try:
            with self.path.open("rb") as opened:
                content = opened.read(FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise KeysError(f"{self.path}: cannot be read: {error.strerror}") from None
        return self._decoded(content)

    def _decoded(self, content: bytes) -> list[Key]:
        if len(content) > FILE_BYTES_MAX:
            raise KeysError(f"{self.path}: larger than {FILE_BYTES_MAX} bytes, no keys file of ours")
        try:
            document = msgspec.json.decode(content, type=_Document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise KeysError(f"{self.path}: not a keys file: {error}") from None
        if document.version != VERSION:
            raise KeysError(f"{self.path}: version {document.version}, this logbridge reads {VERSION}")
        return document.keys

    def add(self, key: Key) -> None:
        """Keep one more. Raises KeysError if a key that is not revoked has its name, or the file is full."""
        with self._changing() as keys:
            if any(other.name == key.name and not other.revoked_at for other in keys):
                raise KeysError(f"a key named {key.name!r} exists: revoke it first, or choose another name")
            if len(keys) >= KEYS_MAX:
                raise KeysError(f"{self.path}: full, it holds {KEYS_MAX} keys")
            keys.append(key)

    def revoke(self, name: str, revoked_at: str) -> Key:
        """Let the key of this name open nothing any more; gives it. Raises KeysError if there is none."""
        with self._changing() as keys:
            for index, key in enumerate(keys):
                if key.name == name and not key.revoked_at:
                    keys[index] = msgspec.structs.replace(key, revoked_at=revoked_at)
                    return keys[index]
        raise KeysError(
            f"{self.path}: no key named {name!r} that is not revoked; `logbridge key list` shows all"
        )

    @contextmanager
    def _changing(self) -> Iterator[list[Key]]:
        """The keys, to be changed; written when the block ends without an error."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                keys = self.read()
                yield keys
                self._replace(msgspec.json.encode(_Document(VERSION, keys)))
        except OSError as error:
            raise KeysError(f"{self.path}: cannot be changed: {error.strerror}") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Beside the file: the file itself is another one after each change.
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.geteuid() == 0 and self.path.exists():
                # Whoever owns the file may want to change it, too.
                owner = self.path.stat()
                os.fchown(lock, owner.st_uid, owner.st_gid)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _replace(self, content: bytes) -> None:
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.format(content, indent=2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            if self.path.exists():
                _take_over(self.path, Path(name))
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _take_over(old: Path, new: Path) -> None:
    """Owner and mode of the file before: whoever could read it, such as the bridge's own user, still can."""
    before, after = old.stat(), new.stat()
    if (before.st_uid, before.st_gid) != (after.st_uid, after.st_gid):
        # The owner may give it to a group of his own; the owner himself only root can change.
        os.chown(new, before.st_uid if os.geteuid() == 0 else -1, before.st_gid)
    new.chmod(before.st_mode & 0o777)
