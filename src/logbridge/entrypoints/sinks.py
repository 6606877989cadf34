"""Which sink a setting means: the only place that names concrete sinks, for the container."""

import functools
import time
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from logbridge import __version__
from logbridge.adapters.grpc.sink import GrpcSink
from logbridge.adapters.memory import MemorySink
from logbridge.adapters.services.members import Members, NamedMembers, resolved
from logbridge.adapters.services.peer import Peer
from logbridge.adapters.services.sink import LogServices
from logbridge.domain.measures import Measures
from logbridge.domain.policy import BalancePolicy, BatchPolicy
from logbridge.domain.ports import LogReader, LogSink
from logbridge.domain.trace import Tracer
from logbridge.entrypoints.chains import build_peer
from logbridge.entrypoints.settings import (
    GRPC_SINKS,
    NAMED_SINKS,
    OTLP_HTTP_SINKS,
    Settings,
    check_sink_url,
    parse_headers,
)
from logbridge.entrypoints.tls import naming_settings, sink_files

_BALANCE = BalancePolicy()


def open_sink(settings: Settings, measures: Measures, tracer: Tracer | None = None) -> LogSink:
    """The sink of ``settings.sink_url``; it connects with its first use. Raises InvalidSetting.

    measures: counts the calls to each of several log services.
    """
    scheme, address = check_sink_url(settings.sink_url)
    tls = sink_files(settings)
    if scheme == "memory":
        return MemorySink()
    batch = BatchPolicy(message_bytes_max=settings.grpc_message_bytes_max)
    key, headers = settings.sink_key, parse_headers(settings.sink_headers)
    with naming_settings("sink"):
        if scheme in GRPC_SINKS:
            open_one = functools.partial(
                GrpcSink,
                key=key,
                tls=tls,
                batch=batch,
                tracer=tracer,
                authority=_name(scheme, address),
                age_s=settings.sink_connection_age_s,
            )
            several = scheme in NAMED_SINKS or "," in address
            return _open_services(settings, open_one, measures) if several else open_one(address)
        # Only here: OTLP's messages and httpx cost memory and time to import.
        if scheme in OTLP_HTTP_SINKS:
            from logbridge.adapters.otlp.http_sink import OtlpHttpSink

            url = f"{scheme.removeprefix('otlp+')}://{address}"
            headers = (("user-agent", f"logbridge/{__version__}"), *headers)
            return OtlpHttpSink(url, key=key, headers=headers, tls=tls, batch=batch, tracer=tracer)
        from logbridge.adapters.otlp.grpc_sink import OtlpGrpcSink

        return OtlpGrpcSink(address, key=key, headers=headers, tls=tls, batch=batch, tracer=tracer)


def _open_services(
    settings: Settings, open_one: Callable[[str], GrpcSink], measures: Measures
) -> LogServices:
    """All log services of the setting; each has a chain of its own."""

    def join(address: str) -> Peer:
        return build_peer(address, open_one(address), settings, measures)

    return LogServices(_members(settings, join), _BALANCE, time.monotonic)


def _members(settings: Settings, join: Callable[[str], Peer]) -> Members:
    scheme, address = check_sink_url(settings.sink_url)
    if scheme not in NAMED_SINKS:
        return Members(address.split(","), join)
    parts = urlsplit(f"//{address}")
    return NamedMembers(
        address,
        join,
        functools.partial(resolved, parts.hostname or "", parts.port or 0),
        every_s=settings.sink_resolve_s,
        members_max=_BALANCE.services_max,
        monotonic=time.monotonic,
    )


def _name(scheme: str, address: str) -> str:
    """What the certificate is to be for, where the addresses are only known when the name is resolved."""
    return urlsplit(f"//{address}").hostname or "" if scheme in NAMED_SINKS else ""


def reader_of(sink: LogSink) -> LogReader | None:
    """The sink as a reader, None if it only writes."""
    return cast(LogReader, sink) if hasattr(sink, "query") else None
