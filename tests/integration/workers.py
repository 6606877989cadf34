"""The worker processes of a bridge, as the system knows them."""

from collections.abc import Sequence
from pathlib import Path


def workers_of(pid: int) -> list[int]:
    """The process ids of a bridge's workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in _command_line(child)]


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return b""


def gone(pids: Sequence[int]) -> bool:
    """Whether all of these processes have ended."""
    return not any(Path(f"/proc/{pid}/exe").exists() for pid in pids)
