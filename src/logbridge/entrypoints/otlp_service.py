"""OTLP over gRPC, on the log service's port: logs of any OpenTelemetry exporter, stored before the answer."""

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from logbridge.adapters.grpc.status import details_of, status_of_export
from logbridge.adapters.otlp.receive import Reader, identify
from logbridge.domain.access import Caller, Scope
from logbridge.domain.entry import EntryDraft, EntryMaker, LogEntry
from logbridge.domain.errors import InvalidEntry
from logbridge.domain.outcome import Refused
from logbridge.domain.ports import Deadline, LogStore
from logbridge.domain.service import refused
from logbridge.entrypoints.call_gate import CallEnded, CallGate
from logbridge.entrypoints.otlp import NotTaken, in_turns, summed_up

OTLP_SERVICE = logs_service_pb2.DESCRIPTOR.services_by_name["LogsService"].full_name


class LogExports:
    """LogsService/Export before a store."""

    def __init__(self, store: LogStore, maker: EntryMaker, gate: CallGate) -> None:
        self._store = store
        self._maker = maker
        self._gate = gate
        self._reader = Reader(maker.entry_bytes_max, maker.metadata_depth_max)

    def handler(self) -> grpc.GenericRpcHandler:
        """Its methods."""
        export: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
            self._gate.unary("Export", self._export, Scope.WRITE)
        )
        return grpc.method_handlers_generic_handler(OTLP_SERVICE, {"Export": export})

    async def _export(self, raw: bytes, caller: Caller, deadline: Deadline) -> ExportLogsServiceResponse:
        drafts = await in_turns(self._reader.of_protobuf(raw))
        identify(drafts, raw)
        arrived = self._maker.now()
        made = [self._made(draft, arrived, caller) for draft in drafts]
        entries = [entry for entry in made if isinstance(entry, LogEntry)]
        written = iter(await self._store.write(entries, deadline=deadline) if entries else ())
        summary = summed_up([next(written) if isinstance(entry, LogEntry) else entry for entry in made])
        if isinstance(summary, NotTaken):
            outcome = summary.outcome
            raise CallEnded(status_of_export(outcome), summary.reason, details_of(outcome))
        return summary

    def _made(self, draft: EntryDraft | InvalidEntry, arrived: str, caller: Caller) -> LogEntry | Refused:
        try:
            if isinstance(draft, InvalidEntry):
                raise draft
            if caller.services:
                return self._maker.make_within(caller.services, draft, arrived)
            return self._maker.make(draft, arrived)
        except InvalidEntry as error:
            return refused(error)
