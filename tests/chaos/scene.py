"""The scene of one leg: disks, log service, network, bridge and clock, and how to start each of them."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tests.chaos.disk import Clock, SmallDisk
from tests.chaos.oracle import Oracle
from tests.chaos.processes import ChaosError, Port, Process, environment, until_alive, until_listening
from tests.chaos.proxy import Proxy
from tests.chaos.script import Act, tell

COMMAND_DEADLINE_S = 30.0
KIB = 1024
# Small, so that load and faults reach each of them.
_LIMITS = {
    "HOST": "127.0.0.1",
    "MAX_CONCURRENT_REQUESTS": "200",
    "MAX_BATCH_SIZE": "100",
    "LOGBRIDGE_IN_FLIGHT_BYTES_MAX": str(512 * KIB),
    "LOGBRIDGE_GRPC_MESSAGE_BYTES_MAX": str(512 * KIB),
    "LOGBRIDGE_REQUEST_TIMEOUT_S": "3",
    "LOGBRIDGE_ATTEMPT_TIMEOUT_S": "1",
    "LOGBRIDGE_RETRY_BUDGET_S": "2",
    "LOGBRIDGE_DRAIN_NOTICE_S": "0.2",
    "LOGBRIDGE_DRAIN_S": "4",
}
_SPOOL_BYTES_MAX = (256 * KIB, 2048 * KIB, 1024 * 1024 * KIB)
_DISK_FREE_BYTES_MIN = (0, 1024 * KIB)


class Leg(Struct, frozen=True):
    """One combination: what an acknowledgement means, and whom the bridge writes to."""

    ack: Literal["durable", "delivered"]
    peer: Literal["ours", "field"]

    @property
    def name(self) -> str:
        return f"{self.ack}, {'ours' if self.honours_ids else 'ignores ids'}"

    @property
    def honours_ids(self) -> bool:
        return self.peer == "ours"

    @property
    def has_spool(self) -> bool:
        return self.ack == "durable"


class SpoolStatus(Struct, frozen=True):
    """What `logbridge spool status --json` says, as far as the ledger needs it."""

    waiting: int
    dead: int
    resent: int
    damaged: list[dict[str, Any]]

    @property
    def reported_lost(self) -> set[str]:
        return {log_id for damage in self.damaged for log_id in damage["lost_ids"]}


class Scene:
    """Everything that one leg runs, in ``folder``. Use ``set_up``."""

    def __init__(self, leg: Leg, folder: Path, rng: Random) -> None:
        self.leg = leg
        self.rng = rng
        self.oracle = Oracle(f"{leg.ack}-{leg.peer}")
        self.folder = folder
        self.clock = Clock(folder / "clock")
        self.store_disk = SmallDisk(folder / "store")
        self.spool_disk = SmallDisk(folder / "spool")
        self.service = Process("log service", folder)
        self.bridge = Process("bridge", folder)
        self._ports = [Port(), Port(), Port()]
        self.service_port, self._proxy_port, self._bridge_port = (port.number for port in self._ports)
        self.proxy = Proxy(self._proxy_port, self.service_port, Random(rng.getrandbits(64)))
        self._control = folder / "control"
        self.url = f"http://127.0.0.1:{self._bridge_port}"
        self.notes: list[str] = []
        self.keep = True  # until it is known that nobody will want to look

    async def start_service(self) -> None:
        """Start the log service and wait until it listens. Raises ChaosError."""
        store = self.store_disk.folder / "logs.db"
        self.service.start(
            (
                "-m",
                "tests.chaos.peers",
                self.leg.peer,
                str(self.service_port),
                str(self._control),
                str(store),
            ),
            environment(GRPC_SERVER_PORT=str(self.service_port), LOGBRIDGE_STORE=f"sqlite:///{store}"),
        )
        await until_listening(self.service, self.service_port)

    async def start_bridge(self) -> None:
        """Start the bridge, with limits of the rng's choice, and wait for it. Raises ChaosError."""
        self.begin_bridge()
        await until_alive(self.bridge, self.url)

    def begin_bridge(self) -> None:
        """Start the bridge and do not wait."""
        spool = self._spool_variables() if self.leg.has_spool else {}
        sink = f"grpc://127.0.0.1:{self._proxy_port}"
        variables = {
            "PORT": str(self._bridge_port),
            "LOGBRIDGE_SINK": sink,
            "LOGBRIDGE_ACK": self.leg.ack,
            **spool,
        }
        self.bridge.start(
            ("-m", "logbridge", "serve"), environment(**_LIMITS, **variables, **self.clock.variables)
        )

    def _spool_variables(self) -> dict[str, str]:
        return {
            "LOGBRIDGE_SPOOL": self.spool_url,
            "LOGBRIDGE_SPOOL_BYTES_MAX": str(self.rng.choice(_SPOOL_BYTES_MAX)),
            "LOGBRIDGE_SPOOL_DISK_FREE_BYTES_MIN": str(self.rng.choice(_DISK_FREE_BYTES_MIN)),
        }

    @property
    def spool_folder(self) -> Path:
        return self.spool_disk.folder / "entries"

    @property
    def spool_url(self) -> str:
        return f"sqlite:///{self.spool_folder}"

    def tell(self, act: Act) -> None:
        """Give the log service its next act."""
        tell(self._control, act)

    async def spool_status(self) -> SpoolStatus:
        """Ask the spool. Raises ChaosError."""
        return msgspec.json.decode(await self.spool("status", "--json"), type=SpoolStatus)

    async def spool(self, *arguments: str) -> bytes:
        """Run `logbridge spool ...` as an operator would; its output. Raises ChaosError."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "logbridge",
            "spool",
            *arguments,
            cwd=self.folder,
            env=environment(LOGBRIDGE_SPOOL=self.spool_url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(COMMAND_DEADLINE_S):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise ChaosError(f"logbridge spool {' '.join(arguments)}: {err.decode()[-300:]}")
        return out

    async def heal(self) -> None:
        """End every fault: both processes run, the network passes, disks have room, the clock is right."""
        self.tell(Act())
        self.clock.step(0)
        self.store_disk.empty()
        self.spool_disk.empty()
        await self.proxy.become("pass")
        if not self.service.running:
            await self.start_service()
        if not self.bridge.running:
            await self.start_bridge()

    async def _tear_down(self) -> None:
        for process in (self.bridge, self.service):
            await process.kill()
        await self.proxy.aclose()
        for port in self._ports:
            port.give_back()
        for disk in (self.spool_disk, self.store_disk):
            disk.unmount(keep=self.keep)


@contextlib.asynccontextmanager
async def set_up(leg: Leg, folder: Path, rng: Random) -> AsyncIterator[Scene]:
    """A scene in ``folder``, in which everything runs; nothing of it is left afterwards but the logs."""
    scene = Scene(leg, folder, rng)
    try:
        scene.tell(Act())
        await scene.proxy.start()
        await scene.start_service()
        await scene.start_bridge()
        yield scene
    finally:
        await scene._tear_down()
