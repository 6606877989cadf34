"""The keys that a running bridge knows: those of the file, read again when it changes."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from logbridge.adapters.keys.file import KeysFile
from logbridge.adapters.renewed import Renewed
from logbridge.domain.access import Caller, Key
from logbridge.domain.errors import KeysError

# Prefix, id, secret: the prefix lets scanners for leaked secrets know it, the id finds it without comparing.
_KEY = re.compile(r"lbk_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
_NO_HASH = "0" * 64


def new_key() -> tuple[str, str, str]:
    """A key of 256 random bits, its id and its hash. The key itself is to be shown once and forgotten."""
    key_id = secrets.token_hex(6)
    key = f"lbk_{key_id}_{secrets.token_urlsafe(32)}"
    return key, key_id, _hash_of(key)


def _hash_of(key: str) -> str:
    # Nobody can guess 256 random bits: a slow hash, as for passwords, would protect nothing.
    return hashlib.sha256(key.encode()).hexdigest()


class KeyRing:
    """Finds callers by their keys. It looks at the file when asked, not more often than once a second.

    A file that cannot be read any more leaves the keys as they were, and is told in the log: half a file must
    not lock everybody out. now_us: microseconds since 1970. Raises KeysError if it cannot be read at first.
    """

    def __init__(self, path: Path, now_us: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._path = path
        self._now_us = now_us
        self._keys = Renewed("list of keys", [path], self._read, KeysError, monotonic)

    def find(self, key: str) -> Caller | None:
        """Whom this key lets in; None if there is no such key, or it is revoked or expired."""
        match = _KEY.fullmatch(key)
        return None if match is None else self._caller(match[1], _hash_of(key))

    def find_by_id(self, key_id: str) -> Caller | None:
        """Whom the key of this id lets in, for somebody who has shown it before."""
        known = self._known(key_id)
        return None if known is None else known.caller

    def still_lets_in(self, caller: Caller) -> bool:
        """Whether the key that a caller has shown is still valid, and unchanged."""
        return self.find_by_id(caller.key_id) == caller

    def _caller(self, key_id: str, shown: str) -> Caller | None:
        known = self._known(key_id)
        # Compared even where there is nothing to compare with: the time tells nothing of which ids exist.
        right = hmac.compare_digest(shown, _NO_HASH if known is None else known.hash)
        return known.caller if known is not None and right else None

    def _known(self, key_id: str) -> Key | None:
        self._keys.renew()
        key = self._keys.current.get(key_id)
        return key if key is not None and key.state(self._now_us()) == "valid" else None

    def _read(self) -> dict[str, Key]:
        # Links are followed anew: Kubernetes replaces one on the way to a secret, and removes where it led.
        file = KeysFile(self._path)
        if not file.path.exists():
            raise KeysError(f"{file.path}: no such file; `logbridge key create` makes it")
        return {key.id: key for key in file.read()}
