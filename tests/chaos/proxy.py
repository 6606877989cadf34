"""A small TCP proxy between the bridge and the log service, which can be a bad network."""

import asyncio
import contextlib
import socket
import struct
from random import Random
from typing import Literal

Mode = Literal["pass", "refuse", "reset", "delay", "half open", "cut"]
_CHUNK_BYTES = 16_384
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """Listens on ``port`` of 127.0.0.1 and hands on to ``target_port`` there.

    refuse: nobody listens. reset: every connection is reset soon after it was made. delay: each piece waits
    up to 0.3 s. half open: what is sent vanishes and the connection stays. cut: reset within an answer.
    """

    def __init__(self, port: int, target_port: int, rng: Random) -> None:
        self._port = port
        self._target_port = target_port
        self._rng = rng
        self._mode: Mode = "pass"
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)

    async def become(self, mode: Mode) -> None:
        """From now on the network is like this. Connections that were refused or half open end."""
        if mode == "refuse":
            await self._stop_listening()
        elif self._server is None:
            await self.start()
        if self._mode == "half open" or mode == "refuse":
            await self._end_connections()
        if mode == "reset":
            self._reset_all()
        self._mode = mode

    async def aclose(self) -> None:
        """End everything."""
        await self._stop_listening()
        await self._end_connections()

    async def _stop_listening(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            for listener in server.sockets:
                asyncio.get_running_loop().remove_reader(listener)
            # Whoever was accepted in this turn gets a transport first: asyncio would leave the socket open.
            # https://github.com/python/cpython/issues/109564
            await asyncio.sleep(0)
            server.close()

    async def _end_connections(self) -> None:
        self._reset_all()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _reset_all(self) -> None:
        for writers in self._connections.values():
            for writer in writers:
                _reset(writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # it came while the listening ended
            _reset(writer)
            return
        task = asyncio.current_task()
        assert task is not None
        writers = self._connections[task] = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
            writers.append(back)
            if self._mode == "reset":
                await asyncio.sleep(self._rng.uniform(0, 0.05))
                return
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, back, answers=False))
                pumps.create_task(self._pump(there, writer, answers=True))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass  # an end like any other: both sides are reset below
        finally:
            del self._connections[task]
            for each in writers:
                _reset(each)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            if self._mode == "half open":
                continue
            if self._mode == "delay":
                await asyncio.sleep(self._rng.uniform(0, 0.3))
            if self._mode == "cut" and answers:
                writer.write(data[: self._rng.randrange(len(data))])
                with contextlib.suppress(OSError):
                    await writer.drain()
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, so that neither side takes it for a friendly close."""
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
