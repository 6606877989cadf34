"""Where an import of a file stands: a small file under XDG_STATE_HOME, written after each batch."""

import os
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

_SEAM_BYTES = 1024


class Progress(Struct, frozen=True):
    """How far a file is imported.

    offset: bytes done. lines: lines done. seam: a hash of the bytes before the offset, which tells whether
    it is still the same file. generation: how often another file has taken this path: part of the ids, since
    a rotated log may begin with the very line that the one before it began with.
    """

    offset: int = 0
    lines: int = 0
    seam: str = ""
    generation: int = 0


def state_folder() -> Path:
    """Where states are kept (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "logbridge" / "import"


def state_file(path: Path, url: str, service_name: str | None) -> Path:
    """The state of importing this file into this bridge under this service."""
    key = "\0".join((str(path.resolve()), url, service_name or ""))
    return state_folder() / f"{sha256(os.fsencode(key)).hexdigest()[:32]}.json"


def load_progress(state: Path, stream: BinaryIO) -> Progress:
    """The progress that was saved; for another file at the same path, the start of a new generation."""
    try:
        saved = msgspec.json.decode(state.read_bytes(), type=Progress)
    except (OSError, msgspec.DecodeError):
        return Progress()
    if seam_of(stream, saved.offset) != saved.seam:
        return Progress(generation=saved.generation + 1)
    return saved


def save_progress(state: Path, progress: Progress) -> None:
    """Save it whole or not at all. Raises OSError."""
    state.parent.mkdir(parents=True, exist_ok=True)
    fresh = state.with_suffix(f".{os.getpid()}.tmp")
    fresh.write_bytes(msgspec.json.encode(progress))
    fresh.replace(state)


def seam_of(stream: BinaryIO, offset: int) -> str:
    """A hash of the bytes before the offset; the stream is left standing at the offset."""
    length = min(offset, _SEAM_BYTES)
    stream.seek(offset - length)
    before = stream.read(length)
    stream.seek(offset)
    return sha256(before).hexdigest()[:32] if len(before) == length else "shorter"
