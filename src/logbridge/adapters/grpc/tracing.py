"""Traces on the wire: metadata of a call (W3C Trace Context), and the span that records it."""

from collections.abc import Iterable

import grpc

from logbridge.domain.trace import Trace, Tracer, parse_trace

PARENT_KEY, STATE_KEY = "traceparent", "tracestate"
Metadata = tuple[tuple[str, str], ...]


def metadata_of(shown: Metadata, traces: tuple[Trace, ...]) -> Metadata | None:
    """What a call carries. shown: the caller's key and headers. Of several traces none can be its parent."""
    if len(traces) != 1:
        return shown or None
    state = ((STATE_KEY, traces[0].state),) if traces[0].state else ()
    return (*shown, (PARENT_KEY, traces[0].parent), *state)


def traces_in(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[Trace, ...]:
    """The trace that a call came with, if it came with one."""
    parents = [value for name, value in metadata if name == PARENT_KEY and isinstance(value, str)]
    if not parents:
        return ()
    states = [value for name, value in metadata if name == STATE_KEY and isinstance(value, str)]
    trace = parse_trace(parents, states)
    return () if trace is None else (trace,)


class RecordedCall:
    """The span of a call, by the conventions of OpenTelemetry for gRPC clients; it begins now.

    trace: its place, for whoever is called. code: the status it ended with; None if nobody waited for it.
    """

    def __init__(self, tracer: Tracer, path: str, address: str, traces: tuple[Trace, ...]) -> None:
        service, _, method = path.strip("/").rpartition("/")
        host, _, port = address.rpartition(":")
        attributes: dict[str, str | int] = {
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": method,
            "server.address": host.strip("[]"),
            "server.port": int(port),
        }
        self._span = tracer.begin(path.strip("/"), attributes, traces, inbound=False)
        self.trace = self._span.trace
        self.code: grpc.StatusCode | None = None

    def end(self) -> None:
        """The answer is there, or nobody waits for it any more."""
        code = grpc.StatusCode.CANCELLED if self.code is None else self.code
        fault = "" if code is grpc.StatusCode.OK else code.name
        number: int = code.value[0]
        self._span.end({"rpc.grpc.status_code": number}, fault)
