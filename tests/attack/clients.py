"""Who attacks, and who only wants to write: each goes on until the event is set, and counts.

``python -m tests.attack.clients PORT GRPC_PORT SECONDS SEED`` is a process of attackers; it prints their
tallies as JSON.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import httpx
import msgspec
from msgspec import Struct

from tests.integration.served import API, Closed, connected
from tests.integration.test_bad_grpc import BAD, send
from tests.integration.test_slow_clients import DRIPS, HEAD, drip, zeros
from tests.integration.test_smuggling import SHAPES, ask

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus"
HANG_S = 60.0
GOOD_CLIENTS = 8
GOOD_PAUSE_S = 0.01
DRIPS_OF_EACH = 25
_BOMB_MIB = 256
# Between two attacks of one kind: the load is bounded, or two cores would measure the attackers.
PAUSE_S = 0.02
PAUSES_S = {"bombs of 256 MiB": 1.0}


class Tally(Struct):
    """What one kind of attacker did. faults: answers of 5xx. hangs: no end within a minute."""

    tried: int = 0
    faults: int = 0
    hangs: int = 0


class Good(Struct):
    """What good clients saw: seconds of each write, and what was not acknowledged."""

    took_s: list[float] = []
    refused: list[str] = []

    def quantile_ms(self, part: float) -> float:
        """A quantile of the times, in milliseconds."""
        times_s = sorted(self.took_s)
        return round(times_s[min(len(times_s) - 1, int(len(times_s) * part))] * 1000, 1)


async def write_on(port: int, until: asyncio.Event, good: Good) -> None:
    """A good client: one write after the other, with a pause."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=HANG_S) as client:
        while not until.is_set():
            began_s = time.perf_counter()
            answer = await client.post(f"{API}/write", json={"message": "good", "service_name": "good"})
            good.took_s.append(time.perf_counter() - began_s)
            if answer.status_code != 200:
                good.refused.append(answer.text)
            await _pause(until, GOOD_PAUSE_S)


async def _pause(until: asyncio.Event, pause_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(until.wait(), pause_s)


async def _again(
    once: Callable[[int], Awaitable[list[int]]], until: asyncio.Event, tally: Tally, pause_s: float
) -> None:
    """Attack again and again. once: one attack by its number; the statuses that it was answered."""
    while not until.is_set():
        await _pause(until, pause_s)
        tally.tried += 1
        try:
            statuses = await asyncio.wait_for(once(tally.tried), HANG_S)
        except TimeoutError:
            tally.hangs += 1
        else:
            tally.faults += sum(status >= 500 for status in statuses)


def attackers(port: int, grpc_port: int, random: Random) -> dict[str, Callable[[int], Awaitable[list[int]]]]:
    """One attack of each kind."""
    shapes, bad = list(SHAPES.values()), list(BAD.values())
    inputs = [file.read_bytes() for file in sorted(CORPUS.glob("json_*/*"))]
    bomb = zeros(_BOMB_MIB)
    bomb_head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)

    async def smuggle(number: int) -> list[int]:
        return await asyncio.to_thread(ask, port, shapes[number % len(shapes)])

    async def break_grpc(number: int) -> list[int]:
        await asyncio.to_thread(send, grpc_port, bad[number % len(bad)])
        return []

    async def send_nonsense(_number: int) -> list[int]:
        body = bytearray(random.choice(inputs))
        for _ in range(random.randrange(8)):
            body[random.randrange(len(body) or 1) : 0] = random.randbytes(2)
        path = random.choice(("write", "batch"))
        head = f"POST {API}/{path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        return await asyncio.to_thread(
            ask, port, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        )

    async def bomb_once(_number: int) -> list[int]:
        async with connected(port) as connection:
            connection.write(bomb_head + bomb)
            try:
                return [(await connection.read()).status]
            except (Closed, ConnectionError):
                return []

    return {"request smuggling": smuggle, "malformed gRPC": break_grpc, "mutated JSON": send_nonsense,
            "bombs of 256 MiB": bomb_once}  # fmt: skip


async def drip_on(port: int, until: asyncio.Event, tally: Tally) -> None:
    """Clients that drip, by the hundred; a new one for each that was cut off."""

    async def one(kind: str) -> None:
        while not until.is_set():
            tally.tried += 1
            try:
                told = await asyncio.wait_for(drip(port, kind), HANG_S)
            except TimeoutError:
                tally.hangs += 1
            except ConnectionError:
                continue
            else:
                tally.faults += " 5" in told

    await asyncio.gather(*(one(kind) for kind in DRIPS for _ in range(DRIPS_OF_EACH)))


async def attack(port: int, grpc_port: int, until: asyncio.Event, random: Random) -> dict[str, Tally]:
    """All of them at once, until the event is set."""
    kinds = attackers(port, grpc_port, random)
    tallies = {name: Tally() for name in (*kinds, "dripping clients")}
    await asyncio.gather(
        drip_on(port, until, tallies["dripping clients"]),
        *(_again(once, until, tallies[name], PAUSES_S.get(name, PAUSE_S)) for name, once in kinds.items()),
    )
    return tallies


async def _main(port: int, grpc_port: int, seconds: float, seed: int) -> None:
    until = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, until.set)
    tallies = await attack(port, grpc_port, until, Random(seed))
    print(msgspec.json.encode(tallies).decode())


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
