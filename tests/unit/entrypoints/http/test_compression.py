"""Compressed bodies: the same bytes come out however they went in, and never more than are allowed."""

import contextlib
import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logbridge.entrypoints.http import compression
from logbridge.entrypoints.http.compression import (
    MEMBERS_MAX,
    PIECE_BYTES_MAX,
    Decompression,
    Expanded,
    NotDecompressed,
    parse_encodings,
    zstd,
)
from logbridge.entrypoints.settings import Settings
from tests.unit.entrypoints.http.serving import API, serving

MIB = 2**20


def raw_deflate(body: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(body) + deflate.flush()


def quick_brotli(body: bytes) -> bytes:
    return bytes(brotli.compress(body, quality=1))


# Content-Encoding, and what makes it.
WAYS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("zstd", zstd.compress),
    ("br", quick_brotli),
    ("gzip", lambda body: gzip.compress(body[:10]) + gzip.compress(body[10:])),
    ("zstd", lambda body: zstd.compress(body[:10]) + zstd.compress(body[10:])),
    ("gzip, br", lambda body: quick_brotli(gzip.compress(body))),
    ("zstd,identity , deflate", lambda body: zlib.compress(zstd.compress(body))),
]
PLAIN = [way for way in WAYS if "," not in way[0]]


def decompressed(encoding: str, parts: list[bytes], bytes_max: int = 64 * MIB) -> Iterator[bytes]:
    """The pieces of a body that came in these parts."""
    encodings = parse_encodings(encoding)
    assert encodings is not None
    undo = Decompression(encodings, bytes_max)
    for part in parts:
        yield from undo.feed(part)
    undo.end()


@given(
    body=st.binary(max_size=5000)
    | st.builds(lambda one, count: one * count, st.binary(), st.integers(0, 9**5)),
    way=st.sampled_from(WAYS),
    cuts=st.lists(st.integers(0, 6000), max_size=10),
)
@settings(max_examples=300)
def test_whatever_goes_in_comes_out(
    body: bytes, way: tuple[str, Callable[[bytes], bytes]], cuts: list[int]
) -> None:
    """Any body, in any encoding, cut anywhere, comes out as it was, in pieces of bounded size."""
    encoding, compress = way
    sent = compress(body)
    cuts = sorted(cuts)
    parts = [sent[begin:end] for begin, end in zip([0, *cuts], [*cuts, None], strict=True)]
    pieces = list(decompressed(encoding, parts))
    assert b"".join(pieces) == body
    assert all(0 < len(piece) <= PIECE_BYTES_MAX for piece in pieces)


@given(junk=st.binary(min_size=1, max_size=200), way=st.sampled_from(WAYS), end=st.integers(0, 200))
@settings(max_examples=300)
def test_whatever_is_wrong_has_a_reason(
    junk: bytes, way: tuple[str, Callable[[bytes], bytes]], end: int
) -> None:
    """Broken bytes give other bytes or NotDecompressed, and nothing else."""
    encoding, compress = way
    sent = compress(b"a log line, and a log line, and another log line")
    with contextlib.suppress(NotDecompressed):
        list(decompressed(encoding, [sent[:end] + junk]))


@pytest.mark.parametrize(("encoding", "compress"), PLAIN)
def test_what_is_cut_off_is_refused(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    """A body that ends too early is not taken for a shorter one, whether its last byte is missing or all."""
    sent = compress(b"a log line")
    for part in (b"", sent[:1], sent[:-1]):
        with pytest.raises(NotDecompressed, match="ends before"):
            list(decompressed(encoding, [part]))


@pytest.mark.parametrize(("encoding", "compress"), PLAIN)
def test_what_follows_is_refused(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    """Bytes after the end are an error, in the same part or in the next one."""
    sent = compress(b"a log line")
    for parts in ([sent + b"\0"], [sent, b"\0"], [sent + b"junk"], [sent, b"junk"]):
        with pytest.raises(NotDecompressed):
            list(decompressed(encoding, parts))


def deflated_zeros(window_bits: int, mib: int) -> list[bytes]:
    """Without its end, which nobody is to reach: a MiB of zeros, and the same bytes of it again and again."""
    deflate = zlib.compressobj(wbits=window_bits)
    first, again = (deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return [first, *[again] * (mib - 1)]


def zstd_zeros(mib: int) -> list[bytes]:
    compressor = zstd.ZstdCompressor()
    return [*(compressor.compress(bytes(MIB)) for _ in range(mib)), compressor.flush()]


def brotli_zeros(mib: int) -> list[bytes]:
    compressor = brotli.Compressor(quality=1)
    return [*(compressor.process(bytes(MIB)) for _ in range(mib)), compressor.finish()]


def twice(encoded: list[bytes]) -> list[bytes]:
    return [gzip.compress(b"".join(encoded))]


BOMBS: list[tuple[str, Callable[[], list[bytes]]]] = [
    ("gzip", lambda: deflated_zeros(zlib.MAX_WBITS | 16, 1024)),
    ("deflate", lambda: deflated_zeros(-zlib.MAX_WBITS, 1024)),
    ("zstd", lambda: zstd_zeros(1024)),
    ("br", lambda: brotli_zeros(1024)),
    ("gzip, gzip", lambda: twice(deflated_zeros(zlib.MAX_WBITS | 16, 1024))),
    ("br, gzip", lambda: twice(brotli_zeros(1024))),
]


@pytest.mark.parametrize(("encoding", "make"), BOMBS)
def test_a_bomb_does_not_expand(encoding: str, make: Callable[[], list[bytes]]) -> None:
    """Of a GiB of zeros no more comes out than is allowed, and no more memory is taken."""
    sent = b"".join(make())
    size_bytes = 0
    coming = decompressed(encoding, [sent], 20 * MIB)
    tracemalloc.start()
    try:
        while size_bytes < 19 * MIB:
            size_bytes += len(next(coming))
        with pytest.raises(Expanded):
            _ = [None for _ in coming]
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < len(sent) + 4 * MIB


def test_a_stage_between_is_bounded_too() -> None:
    """What expands and then shrinks again is held to the limit where it is large."""
    # Empty blocks of deflate: five bytes each, of which nothing comes out.
    blocks = b"\0\0\0\xff\xff" * MIB + raw_deflate(b"a log line")
    assert list(decompressed("deflate, gzip", [gzip.compress(blocks)])) == [b"a log line"]
    with pytest.raises(Expanded):
        list(decompressed("deflate, gzip", [gzip.compress(blocks)], MIB))


def test_members_without_content_are_counted() -> None:
    """A body of many empty members is refused: each would cost time and bring nothing."""
    for encoding, member in (("gzip", gzip.compress(b"")), ("zstd", zstd.compress(b""))):
        assert list(decompressed(encoding, [member * MEMBERS_MAX])) == []
        with pytest.raises(NotDecompressed, match=str(MEMBERS_MAX)):
            list(decompressed(encoding, [member * (MEMBERS_MAX + 1)]))


def test_a_zstd_window_is_bounded() -> None:
    """A frame whose window is larger than 8 MiB is refused: it would be kept in memory."""
    options = {int(zstd.CompressionParameter.window_log): 25}
    sent = zstd.ZstdCompressor(options=options)
    parts = [sent.compress(bytes(MIB)), sent.flush()]
    with pytest.raises(NotDecompressed, match="memory"):
        list(decompressed("zstd", parts))


@pytest.mark.parametrize("encoding", ["compress", "gzip, gzip, gzip", "gzip br", "*", "gzip;q=1"])
def test_what_is_not_known(encoding: str) -> None:
    """Another encoding, or more than two of them, is not known."""
    assert parse_encodings(encoding) is None


@pytest.mark.parametrize(("encoding", "compress"), WAYS)
async def test_a_compressed_log_is_written(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    """Each encoding is read, named in any letter case; its answer is that of the same body without it."""
    async with serving() as client:
        answer = await client.post(
            f"{API}/write",
            content=compress(b'{"message":"compressed"}'),
            headers={"content-encoding": encoding.upper()},
        )
        logs = (await client.get(f"{API}/query")).json()["logs"]
    assert answer.status_code == 200
    assert [log["message"] for log in logs] == ["compressed"]


async def test_a_bomb_is_answered() -> None:
    """It gets 413 that names the limit; a body that is broken gets 400 that says how."""
    async with serving(settings=Settings(body_bytes_max=MIB)) as client:

        async def post(content: bytes, encoding: str = "gzip") -> tuple[int, str]:
            headers = {"content-encoding": encoding}
            answer = await client.post(f"{API}/write", content=content, headers=headers)
            return answer.status_code, answer.json()["detail"]

        status, detail = await post(b"".join(deflated_zeros(zlib.MAX_WBITS | 16, 100)))
        assert (status, "LOGBRIDGE_BODY_BYTES_MAX=1048576 bytes when decompressed" in detail) == (413, True)
        status, detail = await post(b'{"message":"plain"}')
        assert (status, "gzip" in detail) == (400, True)
        status, detail = await post(b"", "gzip, br, zstd")
        assert (status, "gzip, deflate, zstd, br" in detail) == (415, True)


def test_every_encoding_is_told() -> None:
    """Accept-Encoding names all that is read."""
    assert compression.ACCEPTED == "identity, gzip, deflate, zstd, br"
