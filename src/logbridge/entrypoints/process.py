"""What a process asks of the system and of Python: its end, its terminal, its open files, its garbage."""

import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
from typing import NoReturn

# New objects that outlive their makers before the collector looks at them: those of some 3,000 requests.
GARBAGE_OBJECTS = 50_000
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


class Terminal:
    """The terminal that this process began in, if there is one.

    SIGHUP has two meanings, and this tells them apart: a terminal that was closed, and "reload". Whoever had
    SIGHUP ignored (nohup) wants to outlive it. To be made before SIGHUP has a handler.
    """

    def __init__(self) -> None:
        outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._files = [] if outlives else [file for file in range(3) if os.isatty(file)]

    @property
    def hung_up(self) -> bool:
        """Whether there was one, and it is closed."""
        return bool(self._files) and not any(map(os.isatty, self._files))


def allow_open_files() -> None:
    """Raise the limit of open files as far as this user may: each request in flight is a connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems report a limit that they do not grant.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def collect_garbage_rarely() -> None:
    """Spare the garbage collector what was there at the start, and most of its visits.

    By default it comes for every 700 new objects, which a wave of requests makes at once, and finds nothing:
    it took a third of the time of a write. Rings of objects, which only it can free, are freed later.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 20, 50)
