"""The only place that names concrete adapters, and builds the chain that every write goes through."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import uuid_utils
from dependency_injector import containers, providers

from logbridge.adapters.delivery.admission import Admission
from logbridge.adapters.delivery.timeout import Timeout
from logbridge.adapters.delivery.turns import Turns
from logbridge.adapters.grpc.sink import GrpcSink
from logbridge.adapters.memory import MemorySink
from logbridge.adapters.sqlite import SqliteStore
from logbridge.adapters.sqlite_upkeep import StoreFile
from logbridge.domain.entry import EntryMaker
from logbridge.domain.errors import InvalidSetting
from logbridge.domain.policy import (
    AdmissionPolicy,
    BatchPolicy,
    DeadlinePolicy,
    RequestLimits,
    RetentionPolicy,
)
from logbridge.domain.ports import LogReader, LogSink, LogStore
from logbridge.domain.service import LogBridge
from logbridge.domain.timestamp import rfc3339
from logbridge.entrypoints.settings import Settings, check_sink_url, check_store_url


def open_sink(settings: Settings) -> LogSink:
    """The sink of ``settings.sink_url``; it connects with its first use."""
    scheme, address = check_sink_url(settings.sink_url)
    if scheme == "memory":
        return MemorySink()
    return GrpcSink(address, batch=BatchPolicy(message_bytes_max=settings.grpc_message_bytes_max))


def reader_of(sink: LogSink) -> LogReader | None:
    """The sink as a reader, None if it only writes."""
    return cast(LogReader, sink) if hasattr(sink, "query") else None


def open_store(settings: Settings) -> LogStore:
    """The store of ``settings.store``. Raises StoreError."""
    scheme, path = check_store_url(settings.store)
    if scheme == "memory":
        return MemorySink()
    retention = RetentionPolicy(settings.store_age_days_max, settings.store_bytes_max)
    return SqliteStore(Path(path), retention=retention)


def store_file(settings: Settings) -> StoreFile:
    """The file of ``settings.store``, for its upkeep. Raises InvalidSetting where there is none."""
    scheme, path = check_store_url(settings.store)
    if scheme == "memory":
        allowed = "logs in memory have no file; name the store's file as sqlite:///path"
        raise InvalidSetting("LOGBRIDGE_STORE", settings.store, allowed)
    return StoreFile(Path(path))


def build_chain(sink: LogSink, settings: Settings) -> LogSink:
    """The delivered chain, from the inside out: sink → timeout → turns → admission."""
    policy = AdmissionPolicy(entries_max=settings.max_concurrent_requests)
    timed = Timeout(sink, settings.attempt_timeout_s, time.monotonic)
    return Admission(Turns(timed, policy.writes_at_once_max, time.monotonic), policy)


def build_maker(settings: Settings) -> EntryMaker:
    """Entries with UUIDv7 ids (RFC 9562: ordered by time) and times of arrival in UTC."""
    return EntryMaker(
        service_name=settings.service_name,
        entry_bytes_max=settings.entry_bytes_max,
        metadata_depth_max=settings.metadata_depth_max,
        now=utc_now,
        new_id=new_id,
    )


def utc_now() -> str:
    """Now as RFC 3339 with microseconds."""
    return rfc3339(datetime.now(UTC))


def new_id() -> str:
    """A new UUIDv7."""
    return str(uuid_utils.uuid7())


def build_bridge(
    chain: LogSink, reader: LogReader | None, maker: EntryMaker, settings: Settings
) -> LogBridge:
    """The use cases over a chain."""
    return LogBridge(
        chain,
        reader,
        maker=maker,
        limits=RequestLimits(
            batch_entries_max=settings.max_batch_size,
            test_writes_max=settings.max_concurrent_requests,
            test_workers_max=settings.max_concurrent_workers,
        ),
        deadlines=DeadlinePolicy(request_s=settings.request_timeout_s),
        monotonic=time.monotonic,
    )


class Container(containers.DeclarativeContainer):
    """Each part once; tests override any of them: ``container.sink.override(MemorySink())``."""

    settings = providers.Dependency(instance_of=Settings)
    maker = providers.Singleton(build_maker, settings)
    sink = providers.Singleton(open_sink, settings)
    reader = providers.Singleton(reader_of, sink)
    chain = providers.Singleton(build_chain, sink, settings)
    bridge = providers.Singleton(build_bridge, chain, reader, maker, settings)
    store = providers.Singleton(open_store, settings)


def make_container(settings: Settings, sink: LogSink | None = None) -> Container:
    """The container of these settings; with ``sink`` in place of the one that they name."""
    container = Container(settings=settings)
    if sink is not None:
        container.sink.override(providers.Object(sink))
    return container


async def close(container: Container) -> None:
    """Close the chain from the outside in, down to the sink."""
    await container.chain().aclose()
