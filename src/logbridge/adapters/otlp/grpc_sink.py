"""OTLP over gRPC: the LogsService of a collector, or of a log service of ours."""

import time
from collections.abc import Callable

from logbridge.adapters.certificates import PemFiles
from logbridge.adapters.grpc.connection import Answer, Connection
from logbridge.adapters.grpc.status import Fate, RpcFailure
from logbridge.adapters.grpc.tracing import Metadata
from logbridge.adapters.otlp.sink import OtlpSink
from logbridge.domain.policy import BatchPolicy
from logbridge.domain.ports import Deadline
from logbridge.domain.trace import Tracer

SERVICE = "opentelemetry.proto.collector.logs.v1.LogsService"


class OtlpGrpcSink(OtlpSink):
    """A LogSink at ``address`` (host:port). It connects with its first use, in that loop.

    key: what the receiver is shown. headers: metadata of each call, names in lower case. tls: the files for
    TLS, None for plain text. monotonic: the clock of the deadlines, in seconds. tracer: records each call.
    Raises PemError.
    """

    def __init__(
        self,
        address: str,
        *,
        key: str = "",
        headers: Metadata = (),
        tls: PemFiles | None = None,
        batch: BatchPolicy = BatchPolicy(),  # noqa: B008 (frozen)
        tracer: Tracer | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = Connection(address, monotonic, key, tls, tracer, SERVICE, headers)
        # On which connection a log service of ours named itself; it counts from 0.
        self._ours_on = -1
        super().__init__(self._connection, batch)

    async def _export(
        self, request: bytes, deadline: Deadline, *, at_once: bool = False
    ) -> Answer | RpcFailure:
        generation = self._connection.generation
        if at_once:
            answer = await self._connection.call_at_once(f"/{SERVICE}/Export", request, deadline)
        else:
            answer = await self._connection.call("Export", request, deadline)
        if answer.ours:
            self._ours_on = generation
        return answer

    async def honours_ids(self, *, deadline: Deadline) -> bool | None:
        """See LogSink.honours_ids: only a log service of ours does, and it names itself in its answers."""
        if self._connection.closing:
            return None
        generation = self._connection.generation
        if self._ours_on == generation:
            return True
        with self._connection.in_use():
            answer = await self._export(b"", deadline)
        if isinstance(answer, RpcFailure) and answer.fate is not Fate.REFUSED:
            return None
        # Whoever answered may be gone by now, and another one in its place.
        return answer.ours if generation == self._connection.generation else None
