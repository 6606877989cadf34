"""The load: so many connections, each sends its next request when the last one is answered.

Each answer is checked. A request counts for the part of its time that lies within the measured seconds, since
a batch may take as long as those.
"""

import argparse
import asyncio
import json
import math
import os
import resource
import sys
import time
from array import array
from pathlib import Path

import uvloop

ANSWER_S = 60.0
GOOD = (b"HTTP/1.1 200", b"HTTP/1.1 202")


class Run:
    """One run: what is sent, and what has come back. request: the bytes of a whole HTTP request.

    from_s, until_s: the measured time, on the clock of time.perf_counter. requests: answered in it. answered:
    in all.
    """

    def __init__(self, request: bytes, expected: bytes) -> None:
        self.request = request
        self.expected = expected
        self.going = True
        self.ended = False
        self.from_s = self.until_s = math.inf
        self.requests = 0.0
        self.answered = 0
        self.latencies_s = array("d")
        self.failures = 0
        self.first_failure = ""

    def count(self, answer: bytes, began_s: float, now_s: float) -> None:
        """Count one answer."""
        if not (answer.startswith(GOOD) and self.expected in answer):
            self.fail(answer[:500].decode("latin-1"))
            return
        self.answered += 1
        if now_s > self.from_s and began_s < self.until_s:
            self.latencies_s.append(now_s - began_s)
            if began_s >= self.from_s and now_s <= self.until_s:
                self.requests += 1
            else:
                within_s = min(now_s, self.until_s) - max(began_s, self.from_s)
                self.requests += within_s / (now_s - began_s)

    def fail(self, why: str) -> None:
        """Count a request that got no good answer."""
        self.failures += 1
        self.first_failure = self.first_failure or why


class Client(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._answer = b""
        self._size = 0
        self._began_s = 0.0
        self.waiting = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as asyncio calls it
        self._transport = transport

    def send(self) -> None:
        """Begin a request."""
        self._began_s = time.perf_counter()
        self.waiting = True
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        answer = self._answer = self._answer + data if self._answer else data
        if not self._size:
            end = answer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._size = end + 4 + _content_length(answer[:end])
        if len(answer) < self._size:
            return
        self._run.count(answer, self._began_s, time.perf_counter())
        self._answer, self._size, self.waiting = b"", 0, False
        if self._run.going:
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting and not self._run.ended:
            self._run.fail(f"a connection was lost: {exc}")


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError(f"an answer without a length: {head!r}")
    return int(head[at + 17 :].split(b"\r\n", 1)[0])


def whole_request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """The bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def connect(run: Run, port: int, connections: int) -> list[Client]:
    """Open the connections, some at a time: a backlog has room for so many."""
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    while len(clients) < connections:
        some = min(100, connections - len(clients))
        made = await asyncio.gather(
            *(loop.create_connection(lambda: Client(run), "127.0.0.1", port) for _ in range(some))
        )
        clients += [client for _, client in made]
    return clients


async def load(run: Run, port: int, connections: int, warmup_s: float, measured_s: float) -> None:
    """Load the gateway. A line on stdout says when measuring begins, and one when it has ended."""
    clients = await connect(run, port, connections)
    for client in clients:
        client.send()
    await asyncio.sleep(warmup_s)
    print("measuring", flush=True)
    run.from_s = time.perf_counter()
    await asyncio.sleep(measured_s)
    run.until_s = time.perf_counter()
    print("measured", flush=True)
    run.going = False
    await _drain(run, clients)


async def _drain(run: Run, clients: list[Client]) -> None:
    """Wait for what is on its way: it counts in part."""
    end_s = time.perf_counter() + ANSWER_S
    # Ten thousand events would cost more than a look.
    while (left := sum(client.waiting for client in clients)) and time.perf_counter() < end_s:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    if left:
        run.fail(f"{left} requests got no answer in {ANSWER_S:g} s")
    run.ended = True


async def hold(run: Run, port: int, connections: int) -> None:
    """One write on each connection, which nobody answers. A line on stdout says that all are sent; then wait
    until stdin ends. An answer is counted as if it were measured."""
    clients = await connect(run, port, connections)
    run.from_s = time.perf_counter()
    for client in clients:
        client.send()
    print("holding", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    run.going, run.ended, run.until_s = False, True, time.perf_counter()


def quantile_ms(sorted_s: list[float], part: float) -> float:
    """A quantile of sorted seconds, in milliseconds."""
    return round(sorted_s[min(len(sorted_s) - 1, int(len(sorted_s) * part))] * 1000, 4) if sorted_s else 0.0


def main() -> None:
    """Print one line of JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/api/v1/logs/write")
    parser.add_argument("--body", type=Path, required=True, help="file with the body of each request")
    parser.add_argument("--header", action="append", default=[], help="NAME=VALUE")
    parser.add_argument("--expect", default="", help="text that every answer must hold")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--warmup-s", type=float, default=1.0)
    parser.add_argument("--measured-s", type=float, default=3.0)
    parser.add_argument("--hold", action="store_true", help="one write on each connection, held open")
    parser.add_argument("--core", type=int, help="the core to run on")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    if asked.core is not None:
        os.sched_setaffinity(0, {asked.core})
    headers = dict(header.split("=", 1) for header in asked.header)
    run = Run(whole_request(asked.path, asked.body.read_bytes(), headers), asked.expect.encode())
    if asked.hold:
        uvloop.run(hold(run, asked.port, asked.connections))
    else:
        uvloop.run(load(run, asked.port, asked.connections, asked.warmup_s, asked.measured_s))
    latencies_s = sorted(run.latencies_s)
    result = {
        "requests": run.requests,
        "answered": run.answered,
        "seconds": run.until_s - run.from_s,
        "p50_ms": quantile_ms(latencies_s, 0.5),
        "p99_ms": quantile_ms(latencies_s, 0.99),
        "failures": run.failures,
        "first_failure": run.first_failure,
    }
    print(json.dumps(result), flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
