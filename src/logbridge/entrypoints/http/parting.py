"""How a connection ends: in stages, so that the client sees its answer and no reset (RFC 9112, 9.6)."""

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from typing import Protocol

from logbridge.entrypoints.http.lifecycle import Lifecycle

# How long a connection that is to end waits: first for a request under way, then for the client's goodbye.
PARTING_S = 0.25
# While the client still sends, it has not seen its answer: for so long at the most it is listened to, and may
# it read nothing of what it was sent.
LINGER_S = 5.0


class Ending(Protocol):
    """A connection that ends in stages."""

    transport: asyncio.Transport

    def part(self) -> None:
        """Say goodbye, and close when the client has heard it."""

    def is_over(self) -> bool:
        """Whether it has ended."""

    def has_heard(self) -> bool:
        """Whether something came since it was asked last."""


class Farewell:
    """The end of a connection (RFC 9112, section 9.6): nothing more is sent, what still comes is thrown away.

    To close with bytes unread would reset the connection, and with it an answer that is on its way.
    """

    def __init__(self, connection: Ending, lifecycle: Lifecycle) -> None:
        self._connection = connection
        self._transport = connection.transport
        self._lifecycle = lifecycle
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        """Say goodbye."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._loop.call_later(PARTING_S, self._hang_up, self._loop.time() + LINGER_S)
        else:
            # TLS has no half: a transport that closes says so, throws away what comes, and waits likewise.
            self._transport.close()
            self._loop.call_later(PARTING_S, self._let_go)

    def _hang_up(self, until_s: float) -> None:
        """Close, unless the client still sends, and so has not seen the end."""
        heard = self._connection.has_heard()
        if heard and not self._lifecycle.draining and self._loop.time() < until_s:
            self._loop.call_later(PARTING_S, self._hang_up, until_s)
        else:
            self._transport.close()
            self._let_go()

    def _let_go(self, unsent_before: int = 0, since_s: float = 0.0) -> None:
        """Wait no longer for a client that has all that it was sent, or has read none of it for LINGER_S."""
        if self._connection.is_over():
            return
        unsent, now_s = unsent_bytes(self._transport), self._loop.time()
        if unsent != unsent_before:
            since_s = now_s
        if not unsent or now_s - since_s > LINGER_S:
            self._transport.abort()
        else:
            self._loop.call_later(PARTING_S, self._let_go, unsent, since_s)


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

    def reset(self) -> None:
        """Break the connection so that the client sees it: with a reset, where it is one of TCP."""
        if self.connection is None:
            return
        transport = self.connection.transport
        connection = transport.get_extra_info("socket")
        if connection is not None and transport.can_write_eof():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
