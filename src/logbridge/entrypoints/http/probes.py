"""What a supervisor asks: whether the process serves, and whether it can do its work now."""

from collections.abc import Awaitable, Callable

from starlette.types import Receive, Scope

from logbridge.domain.ports import SinkHealth
from logbridge.entrypoints.http.lifecycle import Lifecycle
from logbridge.entrypoints.http.problems import Answer, RequestRejected, ok
from logbridge.entrypoints.http.schema import Probe
from logbridge.entrypoints.vitals import Vitals

UNREADABLE = "the stream cannot be read now; the worker's own log says why"


class Probes:
    """The probes of one process. name: what it is to people. readiness: asked only while it serves."""

    def __init__(
        self, lifecycle: Lifecycle, name: str, readiness: Callable[[], Awaitable[SinkHealth]]
    ) -> None:
        self._lifecycle = lifecycle
        self._name = name
        self._readiness = readiness

    async def livez(self, _scope: Scope, _receive: Receive) -> Answer:
        return ok(Probe("alive"))

    async def readyz(self, _scope: Scope, _receive: Receive) -> Answer:
        if not self._lifecycle.ready:
            raise RequestRejected(503, f"the {self._name} is starting or stopping")
        health = await self._readiness()
        if not health.reachable:
            raise RequestRejected(503, health.detail)
        return ok(Probe("ready"))


async def worker_readiness(vitals: Vitals, sink: Callable[[], Awaitable[SinkHealth]]) -> SinkHealth:
    """Whether a worker forwards now: it reads the stream, and the log service answers.

    A full stream is no reason against it: the worker is what makes room.
    """
    if (await vitals.look()).waiting is None:
        return SinkHealth(False, UNREADABLE)
    return await sink()
