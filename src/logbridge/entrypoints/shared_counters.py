"""Counters that several processes share: one file in memory, so that a limit holds for all of them."""

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from limits.storage import Storage

# 131,072 counters at once. A bucket that is full has 32 of them: its newcomers share the count of all others.
BUCKETS = 4096
SLOTS = 32
_SECRET_BYTES = 32
_DIGEST_BYTES = 16
# Of a bucket: its keys' digests, when their windows end, and their counts; slot n of each is one counter.
_DIGESTS = struct.Struct(f"{_DIGEST_BYTES * SLOTS}s")
_ENDS = struct.Struct(f"={SLOTS}d")
_END = struct.Struct("=d")
_COUNT = struct.Struct("=Q")
_COUNTS_AT = _DIGESTS.size + _ENDS.size
_BUCKET_BYTES = _COUNTS_AT + _COUNT.size * SLOTS


class SharedCounters(Storage):
    """A storage for ``limits``: fixed windows in a file, whichever of its processes counts.

    file: where it is; the first one makes it. now: gives seconds that never go back, the same to all
    processes. A hit takes the file's lock for some microseconds; the lock of a process that dies ends with
    it, and what such a process leaves half done is wrong for one key. Not for several threads.
    """

    STORAGE_SCHEME = None

    def __init__(self, file: Path, now: Callable[[], float] = time.monotonic, buckets: int = BUCKETS) -> None:
        super().__init__()
        self._now = now
        self._buckets = buckets
        self._size = _SECRET_BYTES + _BUCKET_BYTES * (buckets + 1)
        self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with self._locked():
            if os.fstat(self._file).st_size != self._size:
                # Blocks that nobody has written to take no room, neither on the disk nor in memory.
                os.ftruncate(self._file, self._size)
                # Whoever knew it could choose addresses that fill one bucket, and so share their count.
                os.pwrite(self._file, os.urandom(_SECRET_BYTES), 0)
        self._memory = mmap.mmap(self._file, self._size)
        self._secret = self._memory[:_SECRET_BYTES]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    @property
    def base_exceptions(self) -> type[Exception]:
        """See limits."""
        return OSError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """See limits."""
        digest, bucket_at = self._place_of(key)
        with self._locked():
            now_s = self._now()
            slot = self._find(digest, bucket_at)
            if slot is None:
                slot = self._expired(bucket_at, now_s)
            if slot is None:
                digest, bucket_at = expiry.to_bytes(_DIGEST_BYTES), self._others_at
                slot = self._find(digest, bucket_at)
                if slot is None:
                    # There are three lengths of windows, and each has one slot.
                    slot = self._expired(bucket_at, now_s) or 0
            return self._add(digest, bucket_at, slot, amount, now_s, expiry)

    def _add(self, digest: bytes, bucket_at: int, slot: int, amount: int, now_s: float, expiry: int) -> int:
        count, ends_s = self._read(bucket_at, slot)
        digest_at = bucket_at + slot * _DIGEST_BYTES
        count = count + amount if ends_s > now_s else amount
        _COUNT.pack_into(self._memory, bucket_at + _COUNTS_AT + slot * _COUNT.size, count)
        if ends_s <= now_s:
            _END.pack_into(self._memory, bucket_at + _DIGESTS.size + slot * _END.size, now_s + expiry)
            self._memory[digest_at : digest_at + _DIGEST_BYTES] = digest
        return count

    def _place_of(self, key: str) -> tuple[bytes, int]:
        digest = blake2b(key.encode(), key=self._secret, digest_size=_DIGEST_BYTES).digest()
        return digest, _SECRET_BYTES + _BUCKET_BYTES * (int.from_bytes(digest[:4]) % self._buckets)

    @property
    def _others_at(self) -> int:
        """The bucket of those that found no room in theirs: a count for each length of a window."""
        return _SECRET_BYTES + _BUCKET_BYTES * self._buckets

    def _find(self, digest: bytes, bucket_at: int) -> int | None:
        digests = self._memory[bucket_at : bucket_at + _DIGESTS.size]
        at = digests.find(digest)
        while at % _DIGEST_BYTES and at > 0:
            at = digests.find(digest, at + 1)  # that was the end of one and the beginning of another
        return None if at < 0 else at // _DIGEST_BYTES

    def _expired(self, bucket_at: int, now_s: float) -> int | None:
        ends_s = _ENDS.unpack_from(self._memory, bucket_at + _DIGESTS.size)
        return next((slot for slot, end_s in enumerate(ends_s) if end_s <= now_s), None)

    def _read(self, bucket_at: int, slot: int) -> tuple[int, float]:
        (count,) = _COUNT.unpack_from(self._memory, bucket_at + _COUNTS_AT + slot * _COUNT.size)
        (ends_s,) = _END.unpack_from(self._memory, bucket_at + _DIGESTS.size + slot * _END.size)
        return count, ends_s

    def get(self, key: str) -> int:
        """See limits."""
        return self._counter(key)[0]

    def get_expiry(self, key: str) -> float:
        """When its window ends, as ``now`` counts."""
        return self._counter(key)[1]

    def _counter(self, key: str) -> tuple[int, float]:
        digest, bucket_at = self._place_of(key)
        with self._locked():
            now_s = self._now()
            slot = self._find(digest, bucket_at)
            found = [] if slot is None else [self._read(bucket_at, slot)]
            found += [self._read(self._others_at, other) for other in range(SLOTS)]
        return next(((count, ends_s) for count, ends_s in found if ends_s > now_s), (0, now_s))

    def check(self) -> bool:
        """See limits."""
        return True

    def clear(self, key: str) -> None:
        """See limits."""
        digest, bucket_at = self._place_of(key)
        with self._locked():
            slot = self._find(digest, bucket_at)
            if slot is not None:
                _END.pack_into(self._memory, bucket_at + _DIGESTS.size + slot * _END.size, 0.0)

    def reset(self) -> int | None:
        """See limits."""
        with self._locked():
            self._memory[_SECRET_BYTES:] = bytes(self._size - _SECRET_BYTES)
        return None
