"""What a service manager and its services say to each other: sockets handed over, and "I am ready".

The protocols of sd_listen_fds(3) and sd_notify(3) of systemd, which others speak, too.
"""

import contextlib
import os
import socket
from collections.abc import MutableMapping

from logbridge.domain.errors import InvalidSetting

_FIRST = 3  # SD_LISTEN_FDS_START
READY = "READY=1"
STOPPING = "STOPPING=1"


def inherited_listener(environ: MutableMapping[str, str] = os.environ) -> socket.socket | None:
    """The listening TCP socket that this process was handed, None if it was handed none.

    What names it is removed from the environment: children are not to take it for theirs.
    Raises InvalidSetting for several sockets, and for what is no listening TCP socket.
    """
    pid, count = environ.get("LISTEN_PID"), environ.get("LISTEN_FDS")
    if count is None or pid != str(os.getpid()):
        return None
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environ.pop(name, None)
    if count != "1":
        raise InvalidSetting("LISTEN_FDS", count, "the bridge takes one socket; hand over one address")
    return _listening(_FIRST)


def _listening(number: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=number)
        kind = listener.family, listener.type
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise InvalidSetting(
            "LISTEN_FDS", "1", f"descriptor {number} is no socket: {error.strerror}"
        ) from None
    if kind not in ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET6, socket.SOCK_STREAM)):
        raise InvalidSetting("LISTEN_FDS", "1", f"descriptor {number} is no TCP socket")
    if not listens:
        raise InvalidSetting("LISTEN_FDS", "1", f"descriptor {number} does not listen")
    return listener


def tell_manager(state: str, environ: MutableMapping[str, str] = os.environ) -> None:
    """Tell the service manager READY or STOPPING, if there is one that wants to know."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    # Nothing depends on it here: a manager that is away waits for nobody.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
        speaker.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        speaker.send(state.encode())
