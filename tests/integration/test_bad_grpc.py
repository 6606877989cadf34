"""Bytes that are no gRPC, or gRPC that lies, at the log service: it serves on, and its memory stays flat."""

import contextlib
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import grpc
import pytest

from logbridge.adapters.grpc import logservice_pb2 as pb
from tests.integration.processes import end, free_port, log_service, tells_of_a_fault

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
METHOD = "/logservice.LogService/WriteLog"
DEADLINE_S = 30.0
# What is to be answered is answered in this time; for what waits for more, the client then hangs up.
ANSWER_S = 0.1
ENTRY = pb.WriteLogRequest(log_entry=pb.LogEntry(message="good", service_name="s")).SerializeToString()


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame of HTTP/2 (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def field(name: str, value: str) -> bytes:
    """A header as a literal that nobody is to index (RFC 7541, section 6.2.2)."""
    return b"\0" + b"".join(_length(len(text)) + text for text in (name.encode(), value.encode()))


def _length(size: int) -> bytes:
    if size < 127:
        return bytes([size])
    rest, size = [127], size - 127
    while size >= 128:
        rest.append(size % 128 + 128)
        size //= 128
    return bytes([*rest, size])


CALL = b"".join(
    field(name, value)
    for name, value in {
        ":method": "POST",
        ":scheme": "http",
        ":path": METHOD,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }.items()
)
HELLO = PREFACE + frame(SETTINGS, 0, 0)


def call(body: bytes, *, ended: bool = True, headers: bytes = CALL) -> bytes:
    """A connection's beginning with one call, whose body is these bytes."""
    end_stream = END_STREAM if ended else 0
    return HELLO + frame(HEADERS, END_HEADERS, 1, headers) + frame(DATA, end_stream, 1, body)


def message(raw: bytes, *, compressed: int = 0, size: int | None = None) -> bytes:
    """A message of gRPC with its prefix, which may lie about size and compression."""
    return struct.pack(">BI", compressed, len(raw) if size is None else size) + raw


def endless_metadata() -> bytes:
    """Headers that go on and on, in frames that each promise another one."""
    piece = b"".join(field(f"x-{number}", "v" * 100) for number in range(100))
    first = HELLO + frame(HEADERS, 0, 1, CALL)
    return first + b"".join(frame(CONTINUATION, 0, 1, piece) for _ in range(200))


def rapid_resets() -> bytes:
    """Calls that are taken back as soon as they are made (CVE-2023-44487)."""
    made = [
        frame(HEADERS, END_HEADERS, stream, CALL) + frame(RST, 0, stream, struct.pack(">I", 8))
        for stream in range(1, 2000, 2)
    ]
    return HELLO + b"".join(made)


def noise(seed: int, before: bytes = b"") -> bytes:
    return before + Random(seed).randbytes(4096)


BAD: dict[str, bytes] = {
    "HTTP/1.1": b"POST /logservice.LogService/WriteLog HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "noise": noise(1),
    "noise after the preface": noise(2, PREFACE),
    "noise after the settings": noise(3, HELLO),
    "half a preface": PREFACE[:11],
    "TLS": bytes.fromhex("16030100a5010000a10303") + noise(4)[:160],
    "a frame of 16 MiB": HELLO + b"\xff\xff\xff" + bytes([DATA, 0]) + struct.pack(">I", 1) + b"x" * 65536,
    "a frame that breaks off": HELLO + frame(HEADERS, END_HEADERS, 1, CALL)[:-20],
    "an unknown frame": HELLO + frame(0x77, 0xFF, 1, b"x" * 100),
    "data without a stream": HELLO + frame(DATA, END_STREAM, 7, message(ENTRY)),
    "data on stream 0": HELLO + frame(DATA, END_STREAM, 0, message(ENTRY)),
    "an even stream": HELLO + frame(HEADERS, END_HEADERS, 2, CALL),
    "a window of nothing": HELLO + frame(WINDOW, 0, 0, struct.pack(">I", 0)),
    "windows beyond the limit": HELLO + frame(WINDOW, 0, 0, struct.pack(">I", 2**31 - 1)) * 3,
    "settings of a wrong size": PREFACE + frame(SETTINGS, 0, 0, b"12345"),
    "a storm of settings": PREFACE + frame(SETTINGS, 0, 0) * 5000,
    "a storm of pings": HELLO + frame(PING, 0, 0, b"12345678") * 5000,
    "a continuation of nothing": HELLO + frame(CONTINUATION, END_HEADERS, 1, CALL),
    "headers that are no HPACK": HELLO + frame(HEADERS, END_HEADERS, 1, b"\xff" * 200),
    "no pseudo-headers": call(message(ENTRY), headers=field("content-type", "application/grpc")),
    "another content type": call(
        message(ENTRY), headers=CALL.replace(b"application/grpc", b"application/json")
    ),
    "a method of nobody": call(message(ENTRY), headers=CALL.replace(b"WriteLog", b"NoSuchOn")),
    "a goodbye at once": HELLO + frame(GOAWAY, 0, 0, struct.pack(">II", 0, 11)) + noise(5),
    "a message that breaks off": call(message(ENTRY, size=len(ENTRY) + 100)),
    "a message longer than it says": call(message(ENTRY, size=3)),
    "a message of 4 GiB": call(message(ENTRY, size=2**32 - 1), ended=False),
    "half a prefix": call(b"\0\0"),
    "no message": call(b""),
    "compressed without a name": call(message(ENTRY, compressed=1)),
    "compressed in an unknown way": call(
        message(ENTRY, compressed=1), headers=CALL + field("grpc-encoding", "lzma")
    ),
    "compressed, but it is not": call(
        message(ENTRY, compressed=1), headers=CALL + field("grpc-encoding", "gzip")
    ),
    "a wrong flag": call(message(ENTRY, compressed=77)),
    "a message that is no protobuf": call(message(b"\xff" * 300)),
    "text that is not UTF-8": call(message(b"\x0a\x04\x22\x02\xff\xfe")),
    "groups without end": call(message(b"\x0b" * 5000)),
    "two messages in a unary call": call(message(ENTRY) * 2),
    "a deadline that is none": call(message(ENTRY), headers=CALL + field("grpc-timeout", "99999999999999Z")),
    "metadata of 1 MiB": call(message(ENTRY), headers=CALL + field("x-big", "v" * 16000))
    + endless_metadata(),
    "endless metadata": endless_metadata(),
    "rapid resets": rapid_resets(),
}


def send(port: int, data: bytes, *, listen: bool = False) -> bytes:
    """Send these bytes, say no more, and read to the end. listen: before that, hear what is answered soon."""
    told = []
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    with connection, contextlib.suppress(OSError):
        connection.sendall(data)
        if listen:
            connection.settimeout(ANSWER_S)
            with contextlib.suppress(TimeoutError):
                told += iter(lambda: connection.recv(65536), b"")
            connection.settimeout(DEADLINE_S)
        connection.shutdown(socket.SHUT_WR)
        told += iter(lambda: connection.recv(65536), b"")
    return b"".join(told)


def serves(port: int, ask: Callable[[grpc.Channel], None]) -> None:
    """Returns once a good client was served."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask(channel)


def write(channel: grpc.Channel) -> None:
    answer = channel.unary_unary(METHOD)(ENTRY, timeout=DEADLINE_S)
    assert pb.WriteLogResponse.FromString(answer).success


def memory_kib(process: "subprocess.Popen[str]") -> int:
    """What a process holds in memory."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[tuple[subprocess.Popen[str], int]]":
    """A log service in a process of its own, and its port. At the end it must have told of no fault."""
    port = free_port()
    with log_service(tmp_path_factory.mktemp("grpc"), port) as process:
        yield process, port
        code, err = end(process, signal.SIGTERM)
        assert (code, tells_of_a_fault(err)) == (0, False), err


@pytest.mark.parametrize("name", BAD)
def test_bad_bytes_end_alone(service: "tuple[subprocess.Popen[str], int]", name: str) -> None:
    """The connection ends or is answered, never hangs; beside it and after it good clients are served."""
    process, port = service
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        write(channel)
        told = send(port, BAD[name], listen=True)
        write(channel)
    serves(port, write)
    assert process.poll() is None
    assert b"Traceback" not in told
    assert b".py" not in told


def test_half_open_streams_starve_nobody(service: "tuple[subprocess.Popen[str], int]") -> None:
    """Hundreds of connections that stop in the middle of something: good clients are served meanwhile."""
    process, port = service
    halves = [PREFACE[:5], HELLO, call(b"\0\0\0", ended=False), call(message(ENTRY)[:-1], ended=False)]
    with contextlib.ExitStack() as open_ones:
        for number in range(200):
            connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
            open_ones.enter_context(connection)
            connection.sendall(halves[number % len(halves)])
        serves(port, write)
    assert process.poll() is None


def test_memory_stays_flat(service: "tuple[subprocess.Popen[str], int]") -> None:
    """All of it, again and again: what the service holds does not grow with the number of attacks."""
    process, port = service

    def attack() -> None:
        for data in BAD.values():
            send(port, data)
        serves(port, write)

    # Until the pools of grpc and of the allocator are as large as they get.
    for _ in range(10):
        attack()
    before_kib = memory_kib(process)
    for _ in range(10):
        attack()
    assert memory_kib(process) - before_kib < 24 * 1024
