"""What a process asks of the operating system: its end, and how many files it may open."""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """In a child: be sent this signal when the parent dies without a word (kill -9), on Linux.

    So that no orphan keeps its port. A parent that died before this call is not noticed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def end_at_once(number: int) -> NoReturn:
    """End this process by a signal, as if nobody handled it."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    # The first process of a container outlives its own signals.
    os._exit(128 + number)


def allow_open_files() -> None:
    """Raise the limit of open files as far as this user may: each request in flight is a connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems report a limit that they do not grant.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
