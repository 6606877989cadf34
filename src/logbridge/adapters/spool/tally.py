"""The tally: which entries a spool file should hold, in a file beside it.

A damaged database does not say what it lost, and a damaged write-ahead log loses its end without a word. With
the tally the loss is counted and named. Lines of text: "= 9 crc" (which tally it is), "+ 7 "id" crc" (kept),
"- 5 6 crc" (settled), "> 7 crc" (handed on), "< 7 crc" (it stays, and what became of it is known or counted).
"""

import errno
import json
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

TALLY_NAME = "tally"
_KINDS = (b"= ", b"+ ", b"- ", b"> ", b"< ")


class Tallied(NamedTuple):
    """What a tally says. live: sequences that should be there. removed: those that were settled.

    last: the highest sequence ever. sound: no line is damaged, none was cut off. sent: sequences that were
    handed on by a process that did not live to hear the answer.
    """

    live: set[int]
    removed: set[int]
    last: int
    sound: bool
    sent: set[int]


class Seen(NamedTuple):
    """A tally when it was last seen whole: which one (each has a number of its own), and its bytes."""

    generation: int
    size_bytes: int


NEVER_SEEN = Seen(0, 0)


class Tally:
    """An open tally, for appending. Lines are whole or not there: each append is one write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if not self.size_bytes:
            self._append(_line(f"= {secrets.randbits(62)}"))

    @property
    def size_bytes(self) -> int:
        return os.fstat(self._file).st_size

    @property
    def seen(self) -> Seen:
        """What a reader must find at least, unless this tally was begun anew since."""
        return Seen(_generation(self._path), self.size_bytes)

    def add(self, kept: Iterable[tuple[int, str]]) -> None:
        """Note entries that are on the disk; not fsynced: it counts only when the disk itself is damaged."""
        self._append("".join(_line(f"+ {sequence} {json.dumps(log_id)}") for sequence, log_id in kept))

    def remove(self, sequences: Iterable[int]) -> None:
        """Note entries that are about to be removed, fsynced: none of them must be called lost later."""
        words = " ".join(map(str, sequences))
        if words:
            self._append(_line(f"- {words}"))
            os.fdatasync(self._file)

    def send(self, sequences: Iterable[int]) -> None:
        """Note entries that are about to be handed on; not fsynced, as it is for a crash of this process."""
        self._append(_line("> " + " ".join(map(str, sequences))))

    def answered(self, sequences: Iterable[int]) -> None:
        """Note that entries handed on stay, and that what became of them is known or counted."""
        self._append(_line("< " + " ".join(map(str, sequences))))

    def _append(self, lines: str) -> None:
        data = lines.encode()
        written = os.write(self._file, data)
        if written != len(data):
            # A disk that is full took a part of it, and half a line would read as damage.
            os.ftruncate(self._file, self.size_bytes - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def rewrite(self, kept: Iterable[tuple[int, str]]) -> None:
        """Begin anew with these entries; all of them or, after a crash, the tally as it was."""
        fresh = self._path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        tally = Tally(fresh)
        tally.add(kept)
        os.fdatasync(tally._file)
        os.replace(fresh, self._path)
        os.close(self._file)
        self._file = tally._file

    def close(self) -> None:
        os.close(self._file)


def read_tally(path: Path, seen: Seen) -> Tallied:
    """What the tally says; a smaller one than was seen is cut.

    One of another generation is newer than the database, which has lost its end: then the tally is believed.
    """
    live: set[int] = set()
    removed: set[int] = set()
    sent: set[int] = set()
    last = 0
    generation = _generation(path)
    sound = bool(generation) and (generation != seen.generation or path.stat().st_size >= seen.size_bytes)
    for text in _checked_lines(path):
        if text is None:
            sound = False
            continue
        # Whoever removes may be another process, so a removal may stand before its addition.
        kind, *words = text.split(" ", 2) if text[0] == "+" else text.split(" ")
        if kind == "+":
            live.add(int(words[0]))
            last = max(last, int(words[0]))
        elif kind == "-":
            removed.update(map(int, words))
        elif kind == ">":
            sent.update(map(int, words))
        elif kind == "<":
            sent.difference_update(map(int, words))
    return Tallied(live - removed, removed, max([last, *removed]), sound, sent - removed)


def ids_of(path: Path, sequences: set[int]) -> dict[int, str]:
    """The ids under which these entries were noted."""
    ids: dict[int, str] = {}
    for text in _checked_lines(path):
        if text is not None and text[0] == "+":
            _, sequence, log_id = text.split(" ", 2)
            if int(sequence) in sequences:
                ids[int(sequence)] = json.loads(log_id)
    return ids


def _generation(path: Path) -> int:
    """The number in its first line, 0 without a sound one."""
    first = next(_checked_lines(path), None)
    return int(first[2:]) if first and first[0] == "=" else 0


def _line(text: str) -> str:
    return f"{text} {zlib.crc32(text.encode()):08x}\n"


def _checked_lines(path: Path) -> Iterator[str | None]:
    """The text of each line, None for one whose checksum does not match."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for raw in file:
            line, _, checksum = raw.rstrip(b"\n").rpartition(b" ")
            whole = line[:2] in _KINDS and f"{zlib.crc32(line):08x}".encode() == checksum
            yield line.decode() if whole else None
