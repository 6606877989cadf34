"""Each part of a bridge once. Concrete adapters are named here, in sinks.py and in chains.py only."""

import asyncio
import functools
import importlib.util
import logging
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import uuid_utils
from dependency_injector import containers, providers

from logbridge import __version__
from logbridge.adapters.delivery.admission import InFlight
from logbridge.adapters.delivery.breaker import Breaker
from logbridge.adapters.keys.file import KeysFile
from logbridge.adapters.keys.ring import KeyRing
from logbridge.adapters.memory import MemorySink
from logbridge.adapters.services.sink import LogServices
from logbridge.adapters.spool.inventory import SpoolInventory
from logbridge.adapters.spool.lock import BridgeLock
from logbridge.adapters.spool.spool import SpoolLimits, SqliteSpool
from logbridge.adapters.sqlite.store import SqliteStore
from logbridge.adapters.sqlite.upkeep import StoreFile
from logbridge.domain.entry import EntryMaker
from logbridge.domain.errors import InvalidSetting, StoreError
from logbridge.domain.kept import Inventory
from logbridge.domain.measures import Measures, Waiting
from logbridge.domain.policy import (
    DeadlinePolicy,
    QueuePolicy,
    RequestLimits,
    RetentionPolicy,
)
from logbridge.domain.ports import LogReader, LogSink, LogStore, Spool
from logbridge.domain.service import LogBridge
from logbridge.domain.timestamp import rfc3339_utc
from logbridge.domain.trace import Tracer
from logbridge.entrypoints.chains import (
    build_breaker,
    build_coalesce,
    build_core,
    build_delivered,
    build_durable,
    build_patient,
    build_spooler,
)
from logbridge.entrypoints.settings import Settings, check_spool_url, check_store_url
from logbridge.entrypoints.sinks import open_sink, reader_of
from logbridge.entrypoints.vitals import Gauges, Vitals

if TYPE_CHECKING:
    from logbridge.adapters.jetstream.connection import Access
    from logbridge.adapters.jetstream.spool import JetStreamSpool

logger = logging.getLogger(__name__)


def check_tracing(settings: Settings) -> None:
    """Raises InvalidSetting where traces are asked for, and what sends them is not installed."""
    if settings.otlp_traces_url and not all(map(_is_installed, _OPENTELEMETRY)):
        reason = "needs OpenTelemetry: pip install 'logbridge[otel]'"
        raise InvalidSetting("LOGBRIDGE_OTLP_TRACES_URL", settings.otlp_traces_url, reason)


_OPENTELEMETRY = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it is in
        return False


def open_tracer(settings: Settings) -> Tracer | None:
    """What records traces, None where nobody collects them. Raises InvalidSetting."""
    if not settings.otlp_traces_url:
        return None
    check_tracing(settings)
    # Only here: it costs memory and time to import.
    from logbridge.adapters.otel import OpenTelemetry

    return OpenTelemetry(
        settings.otlp_traces_url, settings.otlp_traces_ratio, settings.app_name, __version__, new_id()
    )


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


@contextmanager
def holding_spool(settings: Settings, *, look: bool) -> Iterator[str]:
    """Hold the spool directory for a bridge; gives the token that its workers show, "" without a spool.

    look: open it once, to see that it can be. Raises StoreError.
    """
    if not settings.spool_url:
        yield ""
        return
    named = check_spool_url(settings.spool_url)
    if isinstance(named, QueuePolicy):
        # Nobody holds it. A stream that would lose logs stops the start; one that is away is waited for.
        asyncio.run(_try_queue(settings, named))
        yield ""
        return
    lock = BridgeLock.acquire(Path(named), new_id(), utc_now())
    try:
        spool = open_spool(settings, lock.token) if look else None
        if spool is not None:
            asyncio.run(spool.aclose())
        yield lock.token
    finally:
        lock.release()


async def _try_queue(settings: Settings, policy: QueuePolicy) -> None:
    spool = open_queue(settings, policy)
    try:
        await spool.open()
    finally:
        await spool.aclose()


def open_queue(settings: Settings, policy: QueuePolicy, measures: Measures | None = None) -> "JetStreamSpool":
    """The spool in this stream; it connects with its first use. Raises InvalidSetting."""
    access = _queue_access(settings, policy)
    from logbridge.adapters.jetstream.spool import JetStreamSpool

    measures = measures or Measures()
    return JetStreamSpool(policy, access, settings.spool_bytes_max, resent=measures.resent)


def _queue_access(settings: Settings, policy: QueuePolicy) -> "Access":
    if not _is_installed("nats"):
        reason = "needs nats-py: pip install 'logbridge[nats]'"
        raise InvalidSetting("LOGBRIDGE_SPOOL", settings.spool_url, reason)
    # Only here: who has another spool need not have it.
    from logbridge.adapters.jetstream.connection import Access

    try:
        tls = ssl.create_default_context(cafile=settings.spool_ca or None) if policy.tls else None
    except OSError as error:
        reason = f"cannot be used: {error.strerror or error}"
        raise InvalidSetting("LOGBRIDGE_SPOOL_CA", settings.spool_ca, reason) from None
    return Access(settings.spool_user, settings.spool_password, tls)


def open_spool(settings: Settings, token: str, measures: Measures | None = None) -> Spool | None:
    """The spool of ``settings.spool_url``, None without one. Raises StoreError.

    token: of the bridge that holds the directory; without one this process is a bridge of its own.
    measures: where a stream has counted what this process sends again.
    """
    if not settings.spool_url:
        return None
    named = check_spool_url(settings.spool_url)
    if isinstance(named, QueuePolicy):
        return open_queue(settings, named, measures)
    directory = Path(named)
    lock = BridgeLock.join(directory, token) if token else BridgeLock.acquire(directory, new_id(), utc_now())
    limits = SpoolLimits(settings.spool_bytes_max, settings.spool_disk_free_bytes_min)
    try:
        return SqliteSpool(directory, limits, lock, now=utc_now, new_id=new_id)
    except BaseException:
        lock.release()
        raise


async def spool_waiting(settings: Settings, spool: Spool | None) -> Waiting | None:
    """What waits in the spool, of all workers; None without one, or while it cannot be read."""
    if not settings.spool_url:
        return None
    try:
        if settings.spool_is_shared:
            # By the connection that is there: one more each second would be seen at the servers.
            status = await cast("JetStreamSpool", spool).status()
        else:
            status = await asyncio.to_thread(open_inventory(settings).status)
    except StoreError as error:
        logger.warning("%s", error)
        return None
    return Waiting(
        status.waiting,
        status.bytes,
        status.oldest,
        status.dead,
        status.delivered,
        status.resent or 0,
        len(status.damaged),
    )


def build_maker(settings: Settings) -> EntryMaker:
    """Entries with UUIDv7 ids (RFC 9562: ordered by time) and times of arrival in UTC."""
    return EntryMaker(
        service_name=settings.service_name,
        entry_bytes_max=settings.entry_bytes_max,
        metadata_depth_max=settings.metadata_depth_max,
        now=utc_now,
        new_id=new_id,
        metadata_keys_max=settings.metadata_keys_max,
        metadata_key_bytes_max=settings.metadata_key_bytes_max,
    )


def open_keys(settings: Settings) -> KeyRing | None:
    """The keys of LOGBRIDGE_KEYS_FILE, None without one. Raises KeysError."""
    if not settings.keys_file:
        return None
    return KeyRing(Path(settings.keys_file), now_us, time.monotonic)


def keys_file(settings: Settings) -> KeysFile:
    """The file of keys, for its upkeep."""
    return KeysFile(Path(settings.keys_file))


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def utc_now() -> str:
    """Now as RFC 3339 with microseconds."""
    return rfc3339_utc(now_us())


def new_id() -> str:
    """A new UUIDv7."""
    return str(uuid_utils.uuid7())


def open_inventory(settings: Settings) -> Inventory:
    """The spool for an operator's command, beside the bridge that holds it. Raises StoreError."""
    default = msgspec.structs.replace(settings, ack="durable").spool_url
    named = check_spool_url(settings.spool_url or default)
    if not isinstance(named, QueuePolicy):
        return SpoolInventory(Path(named))
    access = _queue_access(settings, named)
    from logbridge.adapters.jetstream.inventory import JetStreamInventory

    return JetStreamInventory(named, access, settings.spool_bytes_max)


def build_bridge(
    delivered: LogSink,
    durable: LogSink | None,
    reader: LogReader | None,
    maker: EntryMaker,
    settings: Settings,
    measures: Measures,
) -> LogBridge:
    """The use cases over both chains."""
    return LogBridge(
        delivered,
        reader,
        durable=durable,
        always_durable=settings.ack == "durable",
        maker=maker,
        limits=RequestLimits(
            batch_entries_max=settings.max_batch_size,
            test_writes_max=settings.max_concurrent_requests,
            test_workers_max=settings.max_concurrent_workers,
        ),
        deadlines=DeadlinePolicy(request_s=settings.request_timeout_s),
        monotonic=time.monotonic,
        measures=measures,
    )


def build_stream_bridge(
    patient: LogSink,
    patient_durable: LogSink | None,
    maker: EntryMaker,
    settings: Settings,
    measures: Measures,
) -> LogBridge:
    """The use cases of streams: they write, and have more time."""
    patiently = msgspec.structs.replace(settings, request_timeout_s=settings.stream_batch_timeout_s)
    return build_bridge(patient, patient_durable, None, maker, patiently, measures)


def build_vitals(
    measures: Measures,
    in_flight: InFlight,
    breaker: Breaker | LogServices,
    settings: Settings,
    board: Path | None,
    spool: Spool | None,
) -> Vitals:
    """How the bridge is."""
    return Vitals(
        measures,
        lambda: Gauges(in_flight.entries, in_flight.bytes, breaker.services, breaker.services_away),
        functools.partial(spool_waiting, settings, spool),
        writes=[f"{settings.api_prefix}/write", f"{settings.api_prefix}/batch"],
        folder=board,
        now_s=time.time,
    )


class Container(containers.DeclarativeContainer):
    """Each part once; tests override any of them: ``container.sink.override(MemorySink())``."""

    settings = providers.Dependency(instance_of=Settings)
    spool_token = providers.Object("")
    maker = providers.Singleton(build_maker, settings)
    tracer = providers.Singleton(open_tracer, settings)
    measures = providers.Singleton(Measures, time.time)
    sink = providers.Singleton(open_sink, settings, measures, tracer)
    reader = providers.Singleton(reader_of, sink)
    in_flight = providers.Singleton(InFlight)
    breaker = providers.Singleton(build_breaker, sink, settings, measures)
    core = providers.Singleton(build_core, breaker, settings)
    spool = providers.Singleton(open_spool, settings, spool_token, measures)
    spooler = providers.Singleton(build_spooler, core, spool)
    coalesce = providers.Singleton(build_coalesce, core, settings)
    delivered = providers.Singleton(build_delivered, core, coalesce, settings, in_flight, measures)
    durable = providers.Singleton(build_durable, spooler, settings, in_flight)
    bridge = providers.Singleton(build_bridge, delivered, durable, reader, maker, settings, measures)
    patient = providers.Singleton(build_patient, delivered, settings, measures)
    patient_durable = providers.Singleton(build_patient, durable, settings, measures)
    stream_bridge = providers.Singleton(
        build_stream_bridge, patient, patient_durable, maker, settings, measures
    )
    board: "providers.Object[Path | None]" = providers.Object(None)
    vitals = providers.Singleton(build_vitals, measures, in_flight, breaker, settings, board, spool)
    store = providers.Singleton(open_store, settings)
    keys = providers.Singleton(open_keys, settings)


def make_container(
    settings: Settings, sink: LogSink | None = None, spool_token: str = "", board: Path | None = None
) -> Container:
    """The container of these settings; with ``sink`` in place of the one that they name.

    spool_token: of the bridge that holds the spool directory, for its workers. board: the folder where
    workers show each other what they count, None for a bridge of one process.
    """
    container = Container(
        settings=settings, spool_token=providers.Object(spool_token), board=providers.Object(board)
    )
    if sink is not None:
        container.sink.override(providers.Object(sink))
    return container


def start(container: Container, *, deliver: bool = False) -> None:
    """Begin to deliver what the spool holds, in the running loop.

    deliver: also from a stream that bridges only write (deliver=false in LOGBRIDGE_SPOOL).
    """
    spooler = container.spooler()
    if spooler is None:
        return
    named = check_spool_url(container.settings().spool_url)
    if deliver or not isinstance(named, QueuePolicy) or named.deliver:
        spooler.start()


async def close(container: Container, within_s: float | None = None) -> None:
    """Close the chains from the outside in: admit nothing more, end the pauses of retry, let go of the sink.

    within_s: seconds for what is in flight; the rest is then answered as unknown, or stays in the spool.
    None lets everything end by its own deadline.
    """
    ends = (container.patient(), container.patient_durable(), container.delivered(), container.durable())
    chains = [chain for chain in ends if chain is not None]
    closing = asyncio.gather(*(chain.aclose() for chain in chains))
    done, _ = await asyncio.wait([closing], timeout=within_s)
    if not done:
        container.core().cut()
        spooler = container.spooler()
        if spooler is not None:
            spooler.cut()
    await closing
