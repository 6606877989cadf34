"""A leg from its start to its ledger: load and faults, then a quiet phase, then the counting."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random

from msgspec import Struct

from tests.chaos.faults import Fault, choose, schedule
from tests.chaos.ledger import Ledger, settle
from tests.chaos.load import Load, fresh_write
from tests.chaos.peers import read_store
from tests.chaos.processes import ChaosError, until
from tests.chaos.scene import Leg, Scene, SpoolStatus, set_up

LEGS = (
    Leg("durable", "ours"),
    Leg("delivered", "ours"),
    Leg("durable", "field"),
    Leg("delivered", "field"),
)
# Of each leg its part of the time, and where in the order of the faults it begins.
_SHARES = {LEGS[0]: 0.4, LEGS[1]: 0.25, LEGS[2]: 0.2, LEGS[3]: 0.15}
_STARTS = {LEGS[0]: 0.0, LEGS[1]: 0.5, LEGS[2]: 0.62, LEGS[3]: 0.25}
# Starting, healing and counting take about so long; load and faults get the rest.
_AROUND_S = 12.0
_FAULTS_S_MIN = 2.0
_QUIET_DEADLINE_S = 120.0
_PACE_S = 0.12
_RECOVERS = 0.7  # of the faults; the next of the others comes on top
_RECOVERY_S = 2.0
_REQUESTS_MAX = 1500  # of one client
_RIGHT_STATUS = {"durable": 202, "delivered": 200}

Told = Callable[[str], None]


class LegReport(Struct, frozen=True):
    """What came out of one leg. answers: HTTP statuses, 0 for none. reasons: what failures said."""

    leg: Leg
    ledger: Ledger
    refused: int
    unknown: int
    answers: dict[int, int]
    reasons: dict[str, int]
    faults: dict[str, int]
    left_out: list[str]
    not_reached: list[str]
    notes: list[str]

    @property
    def clean(self) -> bool:
        return not self.ledger.problems


def seconds_of(leg: Leg, total_s: float) -> float:
    """How long the load and the faults of a leg last."""
    return max(total_s * _SHARES[leg] - _AROUND_S, _FAULTS_S_MIN)


async def run_leg(
    leg: Leg, folder: Path, seed: int, faults_s: float, told: Told, only: Sequence[str] = ()
) -> LegReport:
    """Run one leg in ``folder``.

    seed: decides the faults and the load. faults_s: how long they last. only: names of the only faults to
    run; then each of them runs once, however long it takes. told: is called with what happens now.
    """
    rng = Random(f"{seed} {leg.ack} {leg.peer}")
    async with set_up(leg, folder, rng) as scene:
        have = frozenset(("disk",)) if scene.store_disk.mounted else frozenset()
        have |= frozenset(("clock",)) if scene.clock.steppable else frozenset()
        chosen, left_out = choose(leg, have)
        if only:
            chosen = [fault for fault in chosen if fault.name in only]
        ran, problems, status = Counter[str](), list[str](), None
        try:
            order = chosen if only else schedule(chosen, seed, _STARTS[leg], rng)
            await _under_fire(scene, order, faults_s, bool(only), ran, told)
            told("quiet")
            status = await _quiet(scene)
        except ChaosError as error:
            problems.append(str(error))
        told("counting")
        report = await _report(scene, status, problems, ran, left_out, chosen)
        scene.keep = not report.clean
        return report


async def _under_fire(
    scene: Scene, faults: Iterable[Fault], faults_s: float, each_once: bool, ran: Counter[str], told: Told
) -> None:
    oracle, rng = scene.oracle, scene.rng
    pace_s = max(_PACE_S, faults_s / _REQUESTS_MAX)
    load = Load(
        scene.url, oracle, Random(rng.getrandbits(64)), honours_ids=scene.leg.honours_ids, pace_s=pace_s
    )
    loading = asyncio.ensure_future(load.run())
    end_s = time.monotonic() + faults_s
    try:
        for fault in faults:
            if not each_once and time.monotonic() > end_s:
                break
            told(fault.name)
            await fault.run(scene)
            ran[fault.name] += 1
            if each_once or rng.random() < _RECOVERS:
                await _recovery(scene)
        await asyncio.sleep(max(0.0, end_s - time.monotonic()))
        await scene.heal()
    finally:
        load.stop()
        await loading


async def _recovery(scene: Scene) -> None:
    """Until the bridge has found the log service back: the next fault meets one that works."""
    acknowledged = len(scene.oracle.obligations)

    async def works() -> bool:
        return len(scene.oracle.obligations) > acknowledged

    with contextlib.suppress(ChaosError):
        await until("an acknowledgement", works, _RECOVERY_S)


async def _quiet(scene: Scene) -> SpoolStatus | None:
    """No faults and no load: what was promised is kept now. Raises ChaosError if it takes too long."""
    end_s = time.monotonic() + _QUIET_DEADLINE_S

    async def fresh_write_flows() -> bool:
        return await fresh_write(scene.url, scene.oracle)

    if not scene.leg.has_spool:
        await until("a fresh write", fresh_write_flows, _QUIET_DEADLINE_S)
        return None

    found: list[SpoolStatus] = []

    async def drained() -> bool:
        found.append(await scene.spool_status())
        return found[-1].waiting == 0

    await until("the draining of the spool", drained, end_s - time.monotonic())
    if found[-1].dead:
        # As an operator would, now that the log service takes everything again.
        await scene.spool("retry")
        await until("the draining of the dead letters", drained, end_s - time.monotonic())
    if found[-1].dead:
        raise ChaosError(f"{found[-1].dead} dead letters are refused by a log service without faults")
    # Only now: dead letters take room in the spool, and with a small one they may leave none for new logs.
    await until("a fresh write", fresh_write_flows, end_s - time.monotonic())
    await until("the draining of the spool", drained, end_s - time.monotonic())
    return found[-1]


async def _report(
    scene: Scene,
    status: SpoolStatus | None,
    problems: list[str],
    ran: Counter[str],
    left_out: list[str],
    chosen: list[Fault],
) -> LegReport:
    oracle = scene.oracle
    problems += await _ends_well(scene)
    if wrong := _wrong_statuses(scene):
        problems.append(wrong)
    ledger = settle(
        oracle.sent,
        oracle.obligations,
        await read_store(scene.service_port),
        honours_ids=scene.leg.honours_ids,
        reported_lost=status.reported_lost if status else (),
        possible_duplicates=(status.resent if status else 0) + len(oracle.resent_ids),
    )
    answers = Counter(oracle.last_answers.values())
    return LegReport(
        leg=scene.leg,
        ledger=ledger.with_problems(problems),
        refused=answers["refused"] + answers["busy"],
        unknown=answers["unknown"],
        answers=dict(sorted(oracle.statuses.items())),
        reasons=dict(oracle.reasons.most_common(40)),
        faults=dict(sorted(ran.items())),
        left_out=left_out,
        not_reached=[fault.name for fault in chosen if not ran[fault.name]],
        notes=scene.notes,
    )


async def _ends_well(scene: Scene) -> list[str]:
    """Stop the bridge; the log service lives on, to be read."""
    try:
        if not scene.service.running:
            await scene.start_service()
        code = await scene.bridge.stop()
    except ChaosError as error:
        return [str(error)]
    return [f"the bridge ended with exit code {code} after SIGTERM"] if code else []


def _wrong_statuses(scene: Scene) -> str:
    right = _RIGHT_STATUS[scene.leg.ack]
    wrong = {status: count for status, count in scene.oracle.statuses.items() if status in (200, 202)}
    wrong.pop(right, None)
    return f"acknowledgements of another kind than {right}: {wrong}" if wrong else ""
