"""Bytes as they come, cut into lines; what is kept of a line is bounded."""

from collections.abc import Iterator

from msgspec import Struct

_BOM = b"\xef\xbb\xbf"
# What JSON allows around a value (RFC 8259, section 2), less the end of the line.
_BLANK = b" \t\r"


class Line(Struct, frozen=True):
    """A line that is not blank. number: from 1. content: without its end; None: it is too long."""

    number: int
    content: bytes | None


class LineSplitter:
    """Cuts at ``\\n``; ``\\r`` before it, and a byte order mark at the very start, are no part of a line.

    line_bytes_max: of a line that is longer nothing is kept. count: int, lines that came to their end so far,
    blank ones too.
    """

    def __init__(self, line_bytes_max: int) -> None:
        self.count = 0
        self._line_bytes_max = line_bytes_max
        # Of a line without its end yet; None once it is too long.
        self._begun: list[bytes] | None = []
        self._begun_bytes = 0

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that end in data. Take them all before the next call."""
        *ends, rest = data.split(b"\n")
        for end in ends:
            if end or self._begun_bytes:
                yield from self._ended(end)
            else:
                self.count += 1
        self._keep(rest)

    def end(self) -> Iterator[Line]:
        """The last line, where it has no end."""
        if self._begun_bytes:
            yield from self._ended(b"")

    def _keep(self, part: bytes) -> None:
        self._begun_bytes += len(part)
        # Room for the \r and the mark, which are no part of it.
        if self._begun_bytes > self._line_bytes_max + len(_BOM) + 1:
            self._begun = None
        elif self._begun is not None and part:
            self._begun.append(part)

    def _ended(self, part: bytes) -> Iterator[Line]:
        self._keep(part)
        begun, self._begun, self._begun_bytes = self._begun, [], 0
        self.count += 1
        content = None if begun is None else self._bare(b"".join(begun))
        if content is None or content:
            yield Line(self.count, content)

    def _bare(self, line: bytes) -> bytes | None:
        if self.count == 1:
            line = line.removeprefix(_BOM)
        line = line.strip(_BLANK)
        return line if len(line) <= self._line_bytes_max else None
