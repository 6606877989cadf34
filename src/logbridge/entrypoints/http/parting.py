"""How a connection ends: in stages, so that the client sees its answer and no reset (RFC 9112, 9.6)."""

import asyncio
import contextlib
import fcntl
import sys
import termios
from typing import Protocol

# How long a connection that is to end waits: first for a request under way, then for the client's goodbye.
PARTING_S = 0.25
# While the client still sends, it has not seen its answer: it is listened to for so long at the most.
LINGER_S = 5.0


class Ending(Protocol):
    """A connection that ends in stages."""

    transport: asyncio.Transport

    def part(self) -> None:
        """Say goodbye, and close when the client has heard it."""


def unsent_bytes(transport: asyncio.Transport) -> int:
    """Bytes that wait here, or on their way to the client (that only Linux tells)."""
    waiting = transport.get_write_buffer_size()
    connection = transport.get_extra_info("socket")
    if sys.platform == "linux" and connection is not None:
        with contextlib.suppress(OSError):  # it has ended just now
            sent = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
            waiting += int.from_bytes(sent, sys.byteorder)
    return waiting


class Voice:
    """What answers are written to: the transport, but to close it is to part. One for each connection."""

    __slots__ = ("connection", "is_closing", "write")

    def __init__(self, connection: Ending) -> None:
        # None once it is lost: else each would hold the other until the garbage collector comes.
        self.connection: Ending | None = connection
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing

    def close(self) -> None:
        """The answer was the last one."""
        if self.connection is not None:
            self.connection.part()
