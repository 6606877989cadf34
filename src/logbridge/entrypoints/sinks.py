"""Which sink a setting means: the only place that names concrete sinks, for the container."""

from typing import cast

from logbridge import __version__
from logbridge.adapters.grpc.sink import GrpcSink
from logbridge.adapters.memory import MemorySink
from logbridge.domain.policy import BatchPolicy
from logbridge.domain.ports import LogReader, LogSink
from logbridge.domain.trace import Tracer
from logbridge.entrypoints.settings import OTLP_HTTP_SINKS, Settings, check_sink_url, parse_headers
from logbridge.entrypoints.tls import naming_settings, sink_files


def open_sink(settings: Settings, tracer: Tracer | None = None) -> LogSink:
    """The sink of ``settings.sink_url``; it connects with its first use. Raises InvalidSetting."""
    scheme, address = check_sink_url(settings.sink_url)
    tls = sink_files(settings)
    if scheme == "memory":
        return MemorySink()
    batch = BatchPolicy(message_bytes_max=settings.grpc_message_bytes_max)
    key, headers = settings.sink_key, parse_headers(settings.sink_headers)
    with naming_settings("sink"):
        if scheme in ("grpc", "grpcs"):
            return GrpcSink(address, key=key, tls=tls, batch=batch, tracer=tracer)
        # Only here: OTLP's messages and httpx cost memory and time to import.
        if scheme in OTLP_HTTP_SINKS:
            from logbridge.adapters.otlp.http_sink import OtlpHttpSink

            url = f"{scheme.removeprefix('otlp+')}://{address}"
            headers = (("user-agent", f"logbridge/{__version__}"), *headers)
            return OtlpHttpSink(url, key=key, headers=headers, tls=tls, batch=batch, tracer=tracer)
        from logbridge.adapters.otlp.grpc_sink import OtlpGrpcSink

        return OtlpGrpcSink(address, key=key, headers=headers, tls=tls, batch=batch, tracer=tracer)


def reader_of(sink: LogSink) -> LogReader | None:
    """The sink as a reader, None if it only writes."""
    return cast(LogReader, sink) if hasattr(sink, "query") else None
