"""The proof in short: each leg with a few faults, all of which run once."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.chaos.legs import run_leg
from tests.chaos.processes import Port
from tests.chaos.proxy import Proxy
from tests.chaos.report import print_table, to_json
from tests.chaos.scene import Leg

SEED = 20260101
FAULTS = {
    Leg("durable", "ours"): ("bridge killed", "UNAVAILABLE after storing", "spool.db-wal truncated"),
    Leg("delivered", "ours"): ("bridge killed", "connections reset", "DATA_LOSS after storing"),
    Leg("durable", "field"): ("log service killed", "partial answers", "PERMISSION_DENIED"),
    Leg("delivered", "field"): ("log service frozen", "answers cut off", "partial answers"),
}


@pytest.mark.parametrize("leg", FAULTS, ids=lambda leg: leg.name)
def test_no_fault_loses_or_doubles_what_was_acknowledged(
    tmp_path: Path, leg: Leg, capsys: pytest.CaptureFixture[str]
) -> None:
    """After load under faults and a quiet phase the ledger of the leg is clean."""
    report = asyncio.run(run_leg(leg, tmp_path, SEED, faults_s=2, told=lambda _: None, only=FAULTS[leg]))
    assert report.ledger.problems == (), to_json([report], SEED)
    assert set(report.faults) == set(FAULTS[leg])
    assert report.ledger.acknowledged > 0
    print_table([report], SEED)
    assert "The ledger is clean" in capsys.readouterr().out


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    """Of a proxy, and of a target at which nobody listens."""
    kept = Port(), Port()
    yield kept[0].number, kept[1].number
    for port in kept:
        port.give_back()


async def test_who_connects_while_the_network_goes_is_cut_off(ports: tuple[int, int]) -> None:
    """Nothing stays open of a connection that was being accepted: pytest fails for an unclosed socket."""
    proxy = Proxy(*ports, Random(SEED))
    await proxy.start()
    for turns in range(40):
        with socket.socket() as client:
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(("127.0.0.1", ports[0]))
            for _ in range(turns % 6):
                await asyncio.sleep(0)
            await proxy.become("refuse")
            await proxy.become("pass")
    await proxy.aclose()
    gc.collect()
