"""A log service that only counts and answers: as little as HTTP/2 and gRPC allow; the gateway is measured.

It speaks to gRPC clients without looking at their headers: a request is a stream that ends, its answer is
"success" with the ids that were sent. WriteLogResponse and BatchWriteLogResponse look the same on the wire.
"""

import argparse
import asyncio
import os
import struct
import sys
from collections.abc import Iterator

import uvloop

PREFACE_BYTES = 24
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
FRAME_BYTES_MAX = 16_384
WINDOW_BYTES = 2**31 - 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame (RFC 9113, section 4.1)."""
    return struct.pack("!I", len(payload))[1:] + bytes((kind, flags)) + struct.pack("!I", stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header that neither side remembers (RFC 7541, section 6.2.2)."""
    return bytes((0, len(name))) + name + bytes((len(value),)) + value


# 0x88 is ":status: 200" in the table that every peer knows.
HEAD = b"\x88" + literal(b"content-type", b"application/grpc")
TRAILERS = literal(b"grpc-status", b"0")
GREETING = (
    frame(SETTINGS, 0, 0, struct.pack("!HIHI", 3, 2**31 - 1, 4, WINDOW_BYTES))
    + frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", WINDOW_BYTES - 65_535))
)  # fmt: skip


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number at a place, and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def ids_of(message: bytes) -> Iterator[bytes]:
    """The ids of a WriteLogRequest or BatchWriteLogRequest: field 1 of each entry, which comes first."""
    at = 0
    while at < len(message):
        size, at = varint(message, at + 1)
        if message[at] != 0x0A:
            raise ValueError("an entry without an id")
        yield message[at + 2 : at + 2 + message[at + 1]]
        at += size


def answer_to(message: bytes) -> tuple[bytes, int]:
    """The answer that says success with every id, and how many there are."""
    ids = [b"\x1a%c%b" % (len(log_id), log_id) for log_id in ids_of(message)]
    return b"\x08\x01" + b"".join(ids), len(ids)


class Counted:
    """What has come in so far. ids: those that came, None where nobody asks. stalled: no more answers."""

    def __init__(self, *, distinct: bool, stalled: bool) -> None:
        self.calls = 0
        self.entries = 0
        self.ids: set[bytes] | None = set() if distinct else None
        self.stalled = stalled


class Peer(asyncio.Protocol):
    """One connection of a gRPC client. delay_s: before each answer."""

    def __init__(self, counted: Counted, delay_s: float) -> None:
        self._counted = counted
        self._delay_s = delay_s
        self._buffer = b""
        self._greeted = False
        self._bodies: dict[int, list[bytes]] = {}
        self._unsaid_bytes = 0
        self._window_bytes = 65_535
        self._waiting: list[tuple[int, bytes]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as asyncio calls it
        self._transport = transport
        transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        at = 0
        if not self._greeted:
            if len(data) < PREFACE_BYTES:
                self._buffer = data
                return
            self._greeted, at = True, PREFACE_BYTES
        out: list[bytes] = []
        while len(data) - at >= 9:
            size = int.from_bytes(data[at : at + 3], "big")
            end = at + 9 + size
            if len(data) < end:
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            self._frame(data[at + 3], data[at + 4], stream, data[at + 9 : end], out)
            at = end
        self._buffer = data[at:]
        if out:
            self._transport.write(b"".join(out))

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes, out: list[bytes]) -> None:
        if kind == HEADERS:
            self._bodies[stream] = []
        elif kind == DATA:
            self._bodies[stream].append(payload)
            self._take(len(payload), out)
            if flags & END_STREAM:
                self._called(stream, b"".join(self._bodies.pop(stream))[5:], out)
        elif kind == SETTINGS and not flags & ACK:
            out.append(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            out.append(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window_bytes += int.from_bytes(payload, "big")
            self._send_waiting(out)

    def _take(self, size: int, out: list[bytes]) -> None:
        """Give the client room for as much again as it has sent."""
        self._unsaid_bytes += size
        if self._unsaid_bytes > 1_000_000:
            out.append(frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", self._unsaid_bytes)))
            self._unsaid_bytes = 0

    def _called(self, stream: int, message: bytes, out: list[bytes]) -> None:
        answer, count = answer_to(message)
        counted = self._counted
        counted.calls += 1
        counted.entries += count
        if counted.ids is not None:
            counted.ids.update(ids_of(message))
        if counted.stalled:
            return
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._answer_late, stream, answer)
        else:
            self._waiting.append((stream, answer))
            self._send_waiting(out)

    def _answer_late(self, stream: int, answer: bytes) -> None:
        out: list[bytes] = []
        self._waiting.append((stream, answer))
        self._send_waiting(out)
        self._transport.write(b"".join(out))

    def _send_waiting(self, out: list[bytes]) -> None:
        while self._waiting and len(self._waiting[0][1]) + 5 <= self._window_bytes:
            stream, answer = self._waiting.pop(0)
            body = b"\0" + struct.pack("!I", len(answer)) + answer
            self._window_bytes -= len(body)
            out.append(frame(HEADERS, END_HEADERS, stream, HEAD))
            for at in range(0, len(body), FRAME_BYTES_MAX):
                out.append(frame(DATA, 0, stream, body[at : at + FRAME_BYTES_MAX]))
            out.append(frame(HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS))


async def serve(counted: Counted, delay_s: float) -> None:
    """Listen on a free port, print it, and answer each line of stdin with the counts until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Peer(counted, delay_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while order := await reader.readline():
        counted.stalled |= order.strip() == b"stall"
        print(counted.calls, counted.entries, len(counted.ids or ()), flush=True)


def main() -> None:
    """Run until stdin ends: the benchmark holds it open."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="before each answer")
    parser.add_argument("--stall", action="store_true", help="take everything and answer nothing")
    parser.add_argument("--distinct", action="store_true", help="count distinct ids, too")
    parser.add_argument("--core", type=int, help="the core to run on")
    asked = parser.parse_args()
    if asked.core is not None:
        os.sched_setaffinity(0, {asked.core})
    uvloop.run(serve(Counted(distinct=asked.distinct, stalled=asked.stall), asked.delay_ms / 1000))


if __name__ == "__main__":
    main()
