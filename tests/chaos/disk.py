"""Disks that can be full, files that get damaged, and a wall clock that can be stepped."""

import os
import shutil
import subprocess
from pathlib import Path
from random import Random

SIZE_BYTES = 1 << 30
_PAGE_BYTES = 4096
_SET_ASIDE = "damaged"  # where the bridge puts files that are damaged already
_FAKETIME = "faketime/libfaketime.so.1"


class SmallDisk:
    """A tmpfs at ``folder``; where mounting is not allowed a plain folder, which is never full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.mounted = _mount("-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(folder))

    def fill(self, leave_bytes: int) -> None:
        """Leave so many bytes free and no more."""
        found = os.statvfs(self.folder)
        used_bytes = (found.f_blocks - found.f_bfree) * found.f_frsize
        # A smaller tmpfs is as full as one with a ballast file in it, and costs no memory. What is written
        # between the look and the mount can make the size too small to be taken: then a look later.
        if not self._resize(used_bytes + leave_bytes):
            self._resize(used_bytes + leave_bytes + 64 * _PAGE_BYTES)

    def empty(self) -> None:
        """Give the room back."""
        if self.mounted:
            self._resize(SIZE_BYTES)

    def _resize(self, size_bytes: int) -> bool:
        return _mount("-o", f"remount,size={max(size_bytes, _PAGE_BYTES)}", str(self.folder))

    def unmount(self, *, keep: bool) -> None:
        """Let go of it; what uses it must have ended. keep: put a copy of what is in it beside it."""
        if self.mounted:
            if keep:
                shutil.copytree(self.folder, self.folder.with_name(f"{self.folder.name}-kept"))
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
            self.mounted = False


def _mount(*arguments: str) -> bool:
    program = shutil.which("mount")
    if program is None or os.geteuid() != 0:
        return False
    return subprocess.run([program, *arguments], capture_output=True, check=False).returncode == 0


def damage(folder: Path, name: str, how: str, rng: Random) -> str:
    """Truncate the largest file of this name below ``folder``, or flip bits in it.

    Says what was done, "" if there is no such file.
    """
    found = [file for file in folder.rglob(name) if _SET_ASIDE not in file.parts]
    files = [file for file in found if file.stat().st_size]
    if not files:
        return ""
    file = max(files, key=lambda each: each.stat().st_size)
    size_bytes = file.stat().st_size
    if how == "truncated":
        kept_bytes = rng.randrange(size_bytes)
        os.truncate(file, kept_bytes)
        return f"{name} truncated from {size_bytes} to {kept_bytes} bytes"
    places = sorted(rng.randrange(size_bytes) for _ in range(rng.choice((1, 3, 20))))
    with file.open("r+b") as opened:
        for place in places:
            opened.seek(place)
            byte = opened.read(1)[0]
            opened.seek(place)
            opened.write(bytes((byte ^ 1 << rng.randrange(8),)))
    return f"{name}: a bit flipped at {places} of {size_bytes} bytes"


class Clock:
    """The wall clock of a process that runs with ``variables``, where libfaketime is installed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        library = next(iter(sorted(Path("/usr/lib").glob(f"*/{_FAKETIME}"))), None)
        self.steppable = library is not None
        self.step(0)
        self.variables: dict[str, str] = {}
        if library is not None:
            self.variables = {
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(file),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DISABLE_SHM": "1",
            }

    def step(self, offset_s: int) -> None:
        """From about a second from now, the clock is this far from the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset_s:+d}\n")
        new.replace(self._file)
