"""OpenTelemetry: spans, sampled and sent by OTLP over HTTP in the background. Comes with logbridge[otel]."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes

from logbridge.domain.trace import Trace

# Spans that wait to be sent; what comes beyond it pushes the oldest out, and the log says so.
QUEUE_SPANS_MAX = 4096
BATCH_SPANS_MAX = 512
SEND_EVERY_S = 1.0
SEND_TIMEOUT_S = 5.0
# Of a batch that was made of more requests the rest is only counted.
LINKS_MAX = 128
# So long a stop waits at least, where the drain took all its time.
FLUSH_S_MIN = 0.5


class OpenTelemetry:
    """A Tracer. url: of the collector. ratio: the share of new traces that is recorded, 0 to 1.

    Whose caller decided for itself is recorded as it decided. service, version, instance: who we are.
    """

    def __init__(self, url: str, ratio: float, service: str, version: str, instance: str) -> None:
        self._provider = TracerProvider(
            sampler=ParentBased(_AsLinked(TraceIdRatioBased(ratio))),
            resource=Resource.create(
                {"service.name": service, "service.version": version, "service.instance.id": instance}
            ),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(url, timeout=SEND_TIMEOUT_S),
                max_queue_size=QUEUE_SPANS_MAX,
                schedule_delay_millis=SEND_EVERY_S * 1000,
                max_export_batch_size=BATCH_SPANS_MAX,
            )
        )
        self._tracer = self._provider.get_tracer("logbridge", version)

    def begin(
        self, name: str, attributes: Mapping[str, str | int], traces: tuple[Trace, ...], *, inbound: bool
    ) -> "_Recording":
        """See Tracer.begin."""
        # Not the context of this task: what runs is told, not found.
        context, links = Context(), None
        if len(traces) == 1:
            parent = NonRecordingSpan(_place_of(traces[0], remote=inbound))
            context = set_span_in_context(parent, context)
        elif traces:
            places = [_place_of(trace, remote=inbound) for trace in traces]
            # First those that were recorded, the others lead to nothing.
            places.sort(key=lambda place: not place.trace_flags.sampled)
            links = [Link(place) for place in places[:LINKS_MAX]]
        kind = SpanKind.SERVER if inbound else SpanKind.CLIENT
        return _Recording(self._tracer.start_span(name, context, kind, dict(attributes), links))

    async def aclose(self, within_s: float) -> None:
        """See Tracer.aclose."""
        # Not by the loop's own threads, for which the program waits at its end.
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # nobody waited so long
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="otel-shutdown", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(within_s, FLUSH_S_MIN)):
                await done.wait()


class _Recording:
    """A domain Span."""

    __slots__ = ("_span", "trace")

    def __init__(self, span: Span) -> None:
        self._span = span
        place = span.get_span_context()
        self.trace = Trace(
            f"{place.trace_id:032x}",
            f"{place.span_id:016x}",
            f"{place.trace_flags:02x}",
            place.trace_state.to_header(),
        )

    def end(self, attributes: Mapping[str, str | int], fault: str = "") -> None:
        """See Span.end."""
        self._span.set_attributes(dict(attributes))
        if fault:
            self._span.set_attribute("error.type", fault)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class _AsLinked(Sampler):
    """A span without a parent and with links is recorded if something it is linked to is."""

    def __init__(self, unlinked: Sampler) -> None:
        self._unlinked = unlinked

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if not links:
            return self._unlinked.should_sample(
                parent_context, trace_id, name, kind, attributes, links, trace_state
            )
        recorded = any(link.context.trace_flags.sampled for link in links)
        return SamplingResult(Decision.RECORD_AND_SAMPLE if recorded else Decision.DROP, attributes)

    def get_description(self) -> str:
        return f"AsLinked({self._unlinked.get_description()})"


def _place_of(trace: Trace, *, remote: bool) -> SpanContext:
    return SpanContext(
        int(trace.trace_id, 16),
        int(trace.span_id, 16),
        is_remote=remote,
        trace_flags=TraceFlags(int(trace.flags, 16)),
        trace_state=TraceState.from_header([trace.state]) if trace.state else None,
    )
