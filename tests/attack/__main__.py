"""make attack: good clients alone, then beside an attack; the figures, and 1 if anything gave way."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import Progress

from tests.attack.clients import GOOD_CLIENTS, Good, Tally, write_on
from tests.integration.processes import bridge, free_port, log_service
from tests.integration.test_bad_grpc import memory_kib

# How much more memory than after the first attack still counts as flat, in MiB.
GROWTH_MIB_MAX = 48.0
_TICK_S = 0.5
# Told the seconds since its stage began.
Tick = Callable[[float], None]
SETTINGS = {"LOGBRIDGE_HEAD_TIMEOUT_S": "2", "LOGBRIDGE_BODY_TIMEOUT_S": "2", "LOGBRIDGE_IDLE_TIMEOUT_S": "5"}


async def _good_for(port: int, seconds: float, until: asyncio.Event, tick: Tick) -> Good:
    good = Good()
    clients = [asyncio.ensure_future(write_on(port, until, good)) for _ in range(GOOD_CLIENTS)]
    begun_s = asyncio.get_running_loop().time()
    while (took_s := asyncio.get_running_loop().time() - begun_s) < seconds:
        tick(took_s)
        await asyncio.sleep(min(_TICK_S, seconds - took_s))
    until.set()
    await asyncio.gather(*clients)
    return good


async def _attacked(
    port: int, grpc_port: int, seconds: float, seed: int, tick: Tick
) -> tuple[Good, dict[str, Tally]]:
    # In a process of their own: what good clients measure must not be how busy their own process is.
    arguments = (str(port), str(grpc_port), str(seconds), str(seed))
    attackers = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.attack.clients", *arguments, stdout=asyncio.subprocess.PIPE
    )
    good = await _good_for(port, seconds, asyncio.Event(), tick)
    told, _ = await attackers.communicate()
    return good, msgspec.json.decode(told, type=dict[str, Tally])


def _run(seconds: float, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder, grpc_port = Path(name), free_port()
        with (
            log_service(folder, grpc_port) as service,
            bridge(folder, f"grpc://127.0.0.1:{grpc_port}", **SETTINGS) as running,
        ):
            port = running.client.base_url.port or 0

            def memory() -> dict[str, float]:
                held = {"bridge": memory_kib(running.process), "log service": memory_kib(service)}
                return {who: round(kib / 1024, 1) for who, kib in held.items()}

            with _stage("good clients alone", seconds / 4) as tick:
                alone = asyncio.run(_good_for(port, seconds / 4, asyncio.Event(), tick))
            with _stage("a first attack, until all is warm", seconds / 4) as tick:
                asyncio.run(_attacked(port, grpc_port, seconds / 4, seed, tick))
            warm = memory()
            with _stage("the attack", seconds / 2) as tick:
                beside, tallies = asyncio.run(_attacked(port, grpc_port, seconds / 2, seed + 1, tick))
            after = memory()
    return {
        "seed": seed,
        "attacks": {
            name: {"tried": each.tried, "5xx": each.faults, "hangs": each.hangs}
            for name, each in tallies.items()
        },
        "good": {
            when: {"writes": len(each.took_s), "refused": len(each.refused),
                   "p50_ms": each.quantile_ms(0.5), "p99_ms": each.quantile_ms(0.99)}
            for when, each in (("alone", alone), ("beside the attack", beside))
        },
        "memory_mib": {who: {"after the first attack": warm[who], "at the end": after[who]} for who in warm},
    }  # fmt: skip


@contextmanager
def _stage(name: str, seconds: float) -> Iterator[Tick]:
    """Tell what is done now, with a bar on a terminal."""
    console = Console(stderr=True)
    console.print(name)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=seconds)
        yield lambda took_s: bar.update(task, completed=took_s)


def _gave_way(report: dict[str, Any]) -> list[str]:
    reasons = [
        f"{name}: {each[what]} {what}"
        for name, each in report["attacks"].items()
        for what in ("5xx", "hangs")
        if each[what]
    ]
    reasons += [f"good clients {when}: {each['refused']} refused" for when, each in report["good"].items()
                if each["refused"]]  # fmt: skip
    for who, held in report["memory_mib"].items():
        before, after = held.values()
        if after - before > GROWTH_MIB_MAX:
            reasons.append(f"{who}: from {before} to {after} MiB")
    return reasons


def _show(report: dict[str, Any]) -> None:
    print(f"{'attack':24}{'tried':>8}{'5xx':>6}{'hangs':>7}")
    for name, each in report["attacks"].items():
        print(f"{name:24}{each['tried']:>8}{each['5xx']:>6}{each['hangs']:>7}")
    print(f"\n{'good clients':24}{'writes':>8}{'refused':>9}{'p50 ms':>8}{'p99 ms':>8}")
    for when, each in report["good"].items():
        print(f"{when:24}{each['writes']:>8}{each['refused']:>9}{each['p50_ms']:>8}{each['p99_ms']:>8}")
    print(f"\n{'memory, MiB':24}{'after the first attack':>24}{'at the end':>12}")
    for who, held in report["memory_mib"].items():
        before, after = held.values()
        print(f"{who:24}{before:>24}{after:>12}")


def main() -> int:
    """Attack, print what came of it."""
    parser = argparse.ArgumentParser(prog="make attack", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    report = _run(asked.seconds, asked.seed)
    reasons = _gave_way(report)
    if asked.json:
        print(json.dumps(report | {"gave_way": reasons}))
    else:
        _show(report)
    for reason in reasons:
        print(f"gave way: {reason}", file=sys.stderr)
    return 1 if reasons else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
