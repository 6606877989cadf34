"""Which store, and which file of keys, a setting means."""

import time
from pathlib import Path

from logbridge.adapters.keys.file import KeysFile
from logbridge.adapters.keys.ring import KeyRing
from logbridge.adapters.memory import MemorySink
from logbridge.adapters.sqlite.store import SqliteStore
from logbridge.adapters.sqlite.upkeep import StoreFile
from logbridge.domain.errors import InvalidSetting
from logbridge.domain.policy import RetentionPolicy
from logbridge.domain.ports import LogStore
from logbridge.entrypoints.clock import now_us
from logbridge.entrypoints.settings import Settings, check_store_url


def open_store(settings: Settings) -> LogStore:
    """The store of ``settings.store``. Raises StoreError."""
    scheme, path = check_store_url(settings.store)
    if scheme == "memory":
        return MemorySink()
    retention = RetentionPolicy(settings.store_age_days_max, settings.store_bytes_max)
    return SqliteStore(Path(path), retention=retention)


def store_file(settings: Settings) -> StoreFile:
    """The file of ``settings.store``, for its upkeep. Raises InvalidSetting where there is none."""
    scheme, path = check_store_url(settings.store)
    if scheme == "memory":
        allowed = "logs in memory have no file; name the store's file as sqlite:///path"
        raise InvalidSetting("LOGBRIDGE_STORE", settings.store, allowed)
    return StoreFile(Path(path))


def open_keys(settings: Settings) -> KeyRing | None:
    """The keys of LOGBRIDGE_KEYS_FILE, None without one. Raises KeysError."""
    if not settings.keys_file:
        return None
    return KeyRing(Path(settings.keys_file), now_us, time.monotonic)


def keys_file(settings: Settings) -> KeysFile:
    """The file of keys, for its upkeep."""
    return KeysFile(Path(settings.keys_file))
