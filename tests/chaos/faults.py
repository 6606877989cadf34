"""The faults: each does its harm for a while and undoes it. Their names are those of the report."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from tests.chaos.disk import damage
from tests.chaos.processes import ChaosError, until
from tests.chaos.proxy import Mode
from tests.chaos.scene import Leg, Scene
from tests.chaos.script import Act

_DAY_S = 86_400
_OBLIGATIONS_AT_RISK = 25
_AT_RISK_DEADLINE_S = 3.0


class Fault(Struct, frozen=True):
    """A kind of fault. weight: how often it is drawn. needs: "spool", "ours", "disk" or "clock"."""

    name: str
    run: Callable[[Scene], Awaitable[None]]
    weight: float = 1
    needs: frozenset[str] = frozenset()


async def _hold(scene: Scene, low_s: float = 0.3, high_s: float = 0.8) -> None:
    """How long a fault lasts."""
    await asyncio.sleep(scene.rng.uniform(low_s, high_s))


async def bridge_killed(scene: Scene) -> None:
    await scene.bridge.kill()
    await scene.start_bridge()


async def bridge_killed_at_work(scene: Scene) -> None:
    """While the log service has stored and not yet answered: what it has then, only it knows."""
    scene.tell(Act(kind="late", pause_s=1.0))
    await _hold(scene, 0.3, 0.6)
    await bridge_killed(scene)
    scene.tell(Act())


async def bridge_stopped(scene: Scene) -> None:
    code = await scene.bridge.stop()
    if code:
        scene.notes.append(f"the bridge ended with exit code {code} after SIGTERM")
    await scene.start_bridge()


async def both_killed(scene: Scene) -> None:
    """The bridge comes back first, and finds no log service."""
    await scene.service.kill()
    await scene.bridge.kill()
    await scene.start_bridge()
    await _hold(scene)
    await scene.start_service()


async def service_killed(scene: Scene) -> None:
    await scene.service.kill()
    await _hold(scene)
    await scene.start_service()


async def service_restarted(scene: Scene) -> None:
    await scene.service.stop()
    await scene.start_service()


async def service_frozen(scene: Scene) -> None:
    """Longer than an attempt may take, sometimes longer than a request."""
    scene.service.send(signal.SIGSTOP)
    try:
        await _hold(scene, 1.2, 3.5)
    finally:
        scene.service.send(signal.SIGCONT)


async def service_away(scene: Scene) -> None:
    """Long enough that a small spool is full."""
    await scene.proxy.become("refuse")
    await _hold(scene, 3, 5)
    await scene.proxy.become("pass")


def _act(act: Act, low_s: float = 0.4, high_s: float = 0.8) -> Callable[[Scene], Awaitable[None]]:
    async def play(scene: Scene) -> None:
        seed = scene.rng.getrandbits(32)
        share = scene.rng.choice((0.3, 0.7, 1.0))
        scene.tell(replace(act, seed=seed, share=share))
        await _hold(scene, low_s, high_s)
        scene.tell(Act())

    return play


def _network(mode: Mode) -> Callable[[Scene], Awaitable[None]]:
    async def be(scene: Scene) -> None:
        await scene.proxy.become(mode)
        await _hold(scene, 0.5, 1.8)
        await scene.proxy.become("pass")

    return be


async def store_disk_full(scene: Scene) -> None:
    scene.store_disk.fill(scene.rng.choice((0, 16_384, 200_000)))
    await _hold(scene, 0.8, 1.5)
    scene.store_disk.empty()


async def spool_disk_full(scene: Scene) -> None:
    """With the log service away, so that the spool has to grow."""
    await scene.proxy.become("refuse")
    scene.spool_disk.fill(scene.rng.choice((0, 16_384, 200_000, 1_200_000)))
    await _hold(scene, 0.8, 1.5)
    scene.spool_disk.empty()
    await scene.proxy.become("pass")


def _spool_damaged(name: str, how: str) -> Callable[[Scene], Awaitable[None]]:
    async def harm(scene: Scene) -> None:
        await scene.proxy.become("refuse")
        await _more_obligations(scene)
        await scene.bridge.kill()
        if done := damage(scene.spool_folder, name, how, scene.rng):
            scene.notes.append(done)
        await scene.start_bridge()
        await scene.proxy.become("pass")

    return harm


async def _more_obligations(scene: Scene) -> None:
    """Some more promises, which only the spool can keep; none come if it is full."""
    wanted = len(scene.oracle.obligations) + _OBLIGATIONS_AT_RISK

    async def are_there() -> bool:
        return len(scene.oracle.obligations) >= wanted

    with contextlib.suppress(ChaosError):
        await until("more obligations", are_there, _AT_RISK_DEADLINE_S)


def _clock_stepped(sign: int) -> Callable[[Scene], Awaitable[None]]:
    async def step(scene: Scene) -> None:
        scene.clock.step(sign * scene.rng.choice((90, 3600, 400 * _DAY_S)))
        await _hold(scene, 1.2, 2)
        if scene.rng.random() < 0.5:
            await bridge_killed(scene)
        scene.clock.step(0)

    return step


_UNKNOWN = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED", "UNKNOWN", "INTERNAL", "DATA_LOSS")
_NOT_STORED = (
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "UNAUTHENTICATED",
    "UNIMPLEMENTED",
    "ALREADY_EXISTS",
)
_TOO_LARGE = "Received message larger than max (1000000 vs. 1000)"


def _statuses() -> Iterator[Fault]:
    """Statuses that leave it open whether the log was stored come before and after it was."""
    for code in _UNKNOWN:
        yield Fault(f"{code} before storing", _act(Act(kind="status", code=code)))
        yield Fault(f"{code} after storing", _act(Act(kind="status", code=code, after=True)))
    for code in _NOT_STORED:
        yield Fault(code, _act(Act(kind="status", code=code)), 0.5)
    exhausted = Act(kind="status", code="RESOURCE_EXHAUSTED", details="queue is full")
    yield Fault("RESOURCE_EXHAUSTED queue is full", _act(exhausted))
    with_pause = Act(kind="status", code="RESOURCE_EXHAUSTED", details="pause", retry_s=0.2)
    yield Fault("RESOURCE_EXHAUSTED with RetryInfo", _act(with_pause))
    too_large = Act(kind="status", code="RESOURCE_EXHAUSTED", details=_TOO_LARGE, methods=("BatchWriteLog",))
    yield Fault("RESOURCE_EXHAUSTED batch too large", _act(too_large))
    no_batches = Act(kind="status", code="UNIMPLEMENTED", methods=("BatchWriteLog",))
    yield Fault("UNIMPLEMENTED for batches", _act(no_batches), 0.5)


FAULTS: tuple[Fault, ...] = (
    Fault("bridge killed", bridge_killed, 3),
    Fault("bridge killed at work", bridge_killed_at_work, 2),
    Fault("bridge stopped", bridge_stopped, 2),
    Fault("bridge and log service killed", both_killed),
    Fault("log service killed", service_killed, 3),
    Fault("log service restarted", service_restarted),
    Fault("log service frozen", service_frozen, 2),
    Fault("log service away", service_away),
    Fault("log service slow", _act(Act(kind="slow", pause_s=1.5), 1, 2)),
    Fault("partial answers", _act(Act(kind="partial")), 2),
    Fault("answers of garbage", _act(Act(kind="garbage"))),
    *_statuses(),
    Fault("connections refused", _network("refuse")),
    Fault("connections reset", _network("reset"), 2),
    Fault("connections delayed", _network("delay")),
    Fault("connections half open", _network("half open"), 2),
    Fault("answers cut off", _network("cut"), 2),
    Fault("store's disk full", store_disk_full, needs=frozenset(("disk", "ours"))),
    Fault("spool's disk full", spool_disk_full, needs=frozenset(("disk", "spool"))),
    *(
        Fault(f"{name} {how}", _spool_damaged(name, how), 0.7, frozenset(("spool",)))
        for name in ("spool.db", "spool.db-wal", "tally")
        for how in ("truncated", "bit-flipped")
    ),
    Fault("clock stepped forward", _clock_stepped(1), needs=frozenset(("clock",))),
    Fault("clock stepped back", _clock_stepped(-1), needs=frozenset(("clock",))),
)


def choose(leg: Leg, have: frozenset[str]) -> tuple[list[Fault], list[str]]:
    """The faults of a leg, and the names of those that this machine cannot make.

    have: "disk" where tmpfs can be mounted, "clock" where libfaketime is installed.
    """
    of_leg = have | ({"spool"} if leg.has_spool else set()) | ({"ours"} if leg.honours_ids else set())
    chosen = [fault for fault in FAULTS if fault.needs <= of_leg]
    left_out = [fault.name for fault in FAULTS if fault.needs - of_leg & {"disk", "clock"}]
    return chosen, left_out


def schedule(faults: list[Fault], seed: int, start: float, rng: Random) -> Iterator[Fault]:
    """Each fault once, in the order of the seed, then by weight without end.

    start: where in that order to begin, 0 to 1: what one leg has no time for, another one begins with.
    """
    order = list(FAULTS)
    Random(seed).shuffle(order)
    begin = int(start * len(order))
    yield from (fault for fault in order[begin:] + order[:begin] if fault in faults)
    while True:
        yield rng.choices(faults, [fault.weight for fault in faults])[0]
