"""Bodies that come compressed (RFC 9110, section 8.4): decompressed as they come, a bounded piece at a time.

Nothing here expands a body beyond what is allowed: each stage stops there, so that a few bytes that stand for
gigabytes cost no more memory and time than a body that may be as large.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli  # type: ignore[import-untyped]  # it ships none

from logbridge.domain.errors import LogbridgeError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE_BYTES_MAX = 262_144
STAGES_MAX = 2
# gzip members and zstd frames that follow one another: each costs time, and may hold nothing.
MEMBERS_MAX = 1024
# As RFC 9659 has it for zstd over HTTP: 8 MiB.
_ZSTD_WINDOW_LOG_MAX = 23
# brotli ends a piece with the first block that reaches this, and its blocks grow.
_BROTLI_PIECE_BYTES = PIECE_BYTES_MAX // 4


class NotDecompressed(LogbridgeError):
    """What was sent is not what its Content-Encoding says; the message says why."""


class Expanded(LogbridgeError):
    """It becomes larger than allowed."""


class _Member(Protocol):
    """One gzip member, zstd frame, or stream. ``decompress`` as in the standard library's zstd."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Zlib:
    """zlib's object, which wants its rest of the input back."""

    def __init__(self, window_bits: int) -> None:
        self._inner = zlib.decompressobj(window_bits)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._full

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        # A full piece may have left output behind, even where no input is left.
        self._full = len(piece) == max_length and not self._inner.eof
        return piece


class _Deflate:
    """zlib's format, as the standard has it, or without its frame, as some clients send it."""

    def __init__(self) -> None:
        self._begin = b""
        self._inner: _Zlib | None = None

    @property
    def eof(self) -> bool:
        return self._inner is not None and self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data if self._inner else b""

    @property
    def needs_input(self) -> bool:
        return self._inner is None or self._inner.needs_input

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if self._inner is None:
            self._begin += data
            if len(self._begin) < 2:
                return b""
            data, self._begin = self._begin, b""
            framed = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
            self._inner = _Zlib(zlib.MAX_WBITS if framed else -zlib.MAX_WBITS)
        return self._inner.decompress(data, max_length)


class _Brotli:
    """A brotli stream; what follows its end is an error of its own."""

    unused_data = b""

    def __init__(self) -> None:
        self._inner = brotli.Decompressor()
        self._full = False

    @property
    def eof(self) -> bool:
        return bool(self._inner.is_finished())

    @property
    def needs_input(self) -> bool:
        return not self._full and bool(self._inner.can_accept_more_data())

    def decompress(self, data: bytes, max_length: int) -> bytes:
        limit = min(max_length, _BROTLI_PIECE_BYTES)
        piece = bytes(self._inner.process(data, output_buffer_limit=limit))
        # It takes more input while it still has output to give.
        self._full = bool(piece) and not self.eof
        return piece


def _zstd() -> _Member:
    options = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG_MAX}
    return zstd.ZstdDecompressor(options=options)


# Name: what reads one member, and whether another may follow.
_KINDS: dict[str, tuple[Callable[[], _Member], bool]] = {
    "gzip": (lambda: _Zlib(zlib.MAX_WBITS | 16), True),
    "deflate": (_Deflate, False),
    "zstd": (_zstd, True),
    "br": (_Brotli, False),
}
_ERRORS = (zlib.error, zstd.ZstdError, brotli.error, EOFError)
ACCEPTED = ", ".join(("identity", *_KINDS))


class Stage:
    """Undoes one encoding. bytes_max: the most bytes that may come out of it."""

    def __init__(self, name: str, bytes_max: int) -> None:
        self._name = name
        self._open, self._repeats = _KINDS[name]
        self._member = self._open()
        self._members = 1
        self._left_bytes = bytes_max

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces of what this makes out of data. Raises NotDecompressed, Expanded."""
        while data or not (self._member.needs_input or self._member.eof):
            piece, data = self._step(data)
            if piece:
                self._left_bytes -= len(piece)
                if self._left_bytes < 0:
                    raise Expanded
                yield piece

    def _step(self, data: bytes) -> tuple[bytes, bytes]:
        """One piece, and the input that another member begins with."""
        if self._member.eof:
            if not self._repeats:
                raise NotDecompressed(f"something follows the end of its {self._name}")
            if self._members == MEMBERS_MAX:
                raise NotDecompressed(f"it has more than {MEMBERS_MAX} members of {self._name}")
            self._member = self._open()
            self._members += 1
        try:
            piece = self._member.decompress(data, PIECE_BYTES_MAX)
        except _ERRORS as error:
            raise NotDecompressed(f"it is no valid {self._name}: {error}") from None
        return piece, self._member.unused_data if self._member.eof else b""

    def end(self) -> None:
        """Raises NotDecompressed if something is missing."""
        if not self._member.eof:
            raise NotDecompressed(f"it ends before its {self._name} does")


class Decompression:
    """Undoes the encodings of a body, the last first. Raises KeyError for an unknown one.

    encodings: as in Content-Encoding, in the order in which they were applied. bytes_max: the most bytes that
    may come out, of each of them.
    """

    def __init__(self, encodings: list[str], bytes_max: int) -> None:
        self._stages = [Stage(name, bytes_max) for name in reversed(encodings)]

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces of the body that data brings. Raises NotDecompressed, Expanded."""
        return _through(self._stages, data)

    def end(self) -> None:
        """The body is complete. Raises NotDecompressed if something is missing."""
        for stage in self._stages:
            stage.end()


def _through(stages: list[Stage], data: bytes) -> Iterator[bytes]:
    first, *rest = stages
    for piece in first.feed(data):
        if rest:
            yield from _through(rest, piece)
        else:
            yield piece


def parse_encodings(value: str) -> list[str] | None:
    """Content-Encoding as the names of encodings, less identity; None for what is not known here."""
    names = [name.strip().lower().removeprefix("x-") for name in value.split(",")]
    encodings = [name for name in names if name not in ("", "identity")]
    return encodings if len(encodings) <= STAGES_MAX and all(name in _KINDS for name in encodings) else None
