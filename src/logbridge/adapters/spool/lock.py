"""Locks of a spool directory: one bridge for the directory, one process for each spool file in it.

flock(2): a lock ends with its process, however that ends, and the next one may have it at once.
"""

import errno
import fcntl
import os
import socket
from pathlib import Path

import msgspec
from msgspec import Struct

from logbridge.domain.errors import StoreError

BRIDGE_LOCK_NAME = "bridge.lock"
LOCK_NAME = "lock"


class Holder(Struct, frozen=True):
    """Who holds a directory. since: RFC 3339. token: what its workers show to share it."""

    pid: int
    host: str
    since: str
    token: str


class BridgeLock:
    """Holds a spool directory for one bridge until it is released; its workers share it by ``token``.

    Raises StoreError when another bridge holds it, or the directory cannot be used.
    """

    def __init__(self, file: int, token: str) -> None:
        self._file = file
        self.token = token

    @classmethod
    def acquire(cls, directory: Path, token: str, since: str) -> "BridgeLock":
        """Take the directory for a new bridge; it is made if it is missing."""
        file = _open(directory)
        if not _try(file, fcntl.LOCK_EX):
            holder = _holder(file)
            os.close(file)
            raise _held(directory, holder)
        body = msgspec.json.encode(Holder(os.getpid(), socket.gethostname(), since, token))
        try:
            # Written before the rest is cut: on a full disk there is still room where the last holder stood.
            os.pwrite(file, body, 0)
            os.ftruncate(file, len(body))
        except OSError as error:
            os.close(file)
            raise _unusable(directory, error) from error
        return cls._shared(directory, file, token)

    @classmethod
    def join(cls, directory: Path, token: str) -> "BridgeLock":
        """Share the directory as a worker of the bridge that took it."""
        return cls._shared(directory, _open(directory), token)

    @classmethod
    def _shared(cls, directory: Path, file: int, token: str) -> "BridgeLock":
        # Every process of the bridge shares it: as long as one lives, no other bridge gets in.
        shared = _try(file, fcntl.LOCK_SH)
        holder = _holder(file)
        if not shared or holder is None or holder.token != token:
            os.close(file)
            raise _held(directory, holder)
        return cls(file, token)

    def release(self) -> None:
        """Let go of it. A second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _open(directory: Path) -> int:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(directory / BRIDGE_LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(directory, error) from error


def _unusable(directory: Path, error: OSError) -> StoreError:
    remedy = "make room on its disk" if error.errno == errno.ENOSPC else "make it writable"
    reason = f"cannot use the spool {directory}: {error.strerror}"
    return StoreError(f"{reason}; {remedy} or choose another LOGBRIDGE_SPOOL")


def _try(file: int, operation: int) -> bool:
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(file, 4096, 0), type=Holder)
    except msgspec.DecodeError:
        return None


def _held(directory: Path, holder: Holder | None) -> StoreError:
    who = f"process {holder.pid} on {holder.host}, since {holder.since}" if holder else "another process"
    return StoreError(
        f"the spool {directory} is held by another bridge ({who}): stop it or choose another LOGBRIDGE_SPOOL"
    )


def lock_folder(folder: Path) -> int | None:
    """Take one spool file's folder: an open file to be closed to let go, None if another process has it."""
    try:
        file = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None  # its owner has just removed it
    if _try(file, fcntl.LOCK_EX) and (folder / LOCK_NAME).exists():
        return file
    os.close(file)
    return None
