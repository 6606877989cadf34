"""Each part of a bridge once. Concrete adapters are named in what it is made of: sinks.py, stores.py,
spools.py, chains.py; nowhere else.
"""

import asyncio
import functools
import time
from functools import cached_property
from pathlib import Path

from logbridge.adapters.delivery.admission import Admission, InFlight
from logbridge.adapters.delivery.breaker import Breaker
from logbridge.adapters.delivery.coalesce import Coalesce
from logbridge.adapters.delivery.retry import Retry
from logbridge.adapters.delivery.spooler import Spooler
from logbridge.adapters.delivery.turns import Turns
from logbridge.adapters.keys.ring import KeyRing
from logbridge.adapters.services.sink import LogServices
from logbridge.domain.entry import EntryMaker
from logbridge.domain.measures import Measures
from logbridge.domain.policy import DeadlinePolicy, QueuePolicy, RequestLimits
from logbridge.domain.ports import LogReader, LogSink, LogStore, Spool
from logbridge.domain.service import LogBridge
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
from logbridge.entrypoints.clock import new_id, utc_now
from logbridge.entrypoints.settings import Settings, check_spool_url
from logbridge.entrypoints.sinks import open_sink, reader_of
from logbridge.entrypoints.spools import open_spool, spool_waiting
from logbridge.entrypoints.stores import open_keys, open_store
from logbridge.entrypoints.tracing import open_tracer
from logbridge.entrypoints.vitals import Gauges, Vitals


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


class Container:
    """Each part once, made when it is first asked for; a test may set any of them before.

    sink: in place of the one that the settings name. spool_token: of the bridge that holds the spool
    directory, for its workers. board: the folder where workers show each other what they count, None for a
    bridge of one process.
    """

    def __init__(
        self,
        settings: Settings,
        sink: LogSink | None = None,
        *,
        spool_token: str = "",
        board: Path | None = None,
    ) -> None:
        self.settings = settings
        self.board = board
        self._spool_token = spool_token
        if sink is not None:
            self.sink = sink

    @cached_property
    def maker(self) -> EntryMaker:
        return build_maker(self.settings)

    @cached_property
    def tracer(self) -> Tracer | None:
        return open_tracer(self.settings)

    @cached_property
    def measures(self) -> Measures:
        return Measures(time.time)

    @cached_property
    def sink(self) -> LogSink:
        return open_sink(self.settings, self.measures, self.tracer)

    @cached_property
    def reader(self) -> LogReader | None:
        return reader_of(self.sink)

    @cached_property
    def in_flight(self) -> InFlight:
        return InFlight()

    @cached_property
    def breaker(self) -> Breaker | LogServices:
        return build_breaker(self.sink, self.settings, self.measures)

    @cached_property
    def core(self) -> Turns | LogServices:
        return build_core(self.breaker, self.settings)

    @cached_property
    def spool(self) -> Spool | None:
        return open_spool(self.settings, self._spool_token, self.measures)

    @cached_property
    def spooler(self) -> Spooler | None:
        return build_spooler(self.core, self.spool)

    @cached_property
    def coalesce(self) -> Coalesce | None:
        return build_coalesce(self.core, self.settings)

    @cached_property
    def delivered(self) -> Admission:
        return build_delivered(self.core, self.coalesce, self.settings, self.in_flight, self.measures)

    @cached_property
    def durable(self) -> Admission | None:
        return build_durable(self.spooler, self.settings, self.in_flight)

    @cached_property
    def bridge(self) -> LogBridge:
        return self._over(self.delivered, self.durable, self.reader, self.settings.request_timeout_s)

    @cached_property
    def patient(self) -> Retry:
        return build_patient(self.delivered, self.settings, self.measures)

    @cached_property
    def patient_durable(self) -> Retry | None:
        return None if self.durable is None else build_patient(self.durable, self.settings, self.measures)

    @cached_property
    def stream_bridge(self) -> LogBridge:
        """The use cases of streams: they write, and have more time."""
        return self._over(self.patient, self.patient_durable, None, self.settings.stream_batch_timeout_s)

    def _over(
        self, delivered: LogSink, durable: LogSink | None, reader: LogReader | None, request_s: float
    ) -> LogBridge:
        settings = self.settings
        return LogBridge(
            delivered,
            reader,
            durable=durable,
            always_durable=settings.ack == "durable",
            maker=self.maker,
            limits=RequestLimits(
                batch_entries_max=settings.max_batch_size,
                test_writes_max=settings.max_concurrent_requests,
                test_workers_max=settings.max_concurrent_workers,
            ),
            deadlines=DeadlinePolicy(request_s=request_s),
            monotonic=time.monotonic,
            measures=self.measures,
        )

    @cached_property
    def vitals(self) -> Vitals:
        in_flight, breaker, settings = self.in_flight, self.breaker, self.settings
        return Vitals(
            self.measures,
            lambda: Gauges(in_flight.entries, in_flight.bytes, breaker.services, breaker.services_away),
            breaker.watch,
            functools.partial(spool_waiting, settings, self.spool),
            writes=[f"{settings.api_prefix}/write", f"{settings.api_prefix}/batch"],
            folder=self.board,
            now_s=time.time,
        )

    @cached_property
    def store(self) -> LogStore:
        return open_store(self.settings)

    @cached_property
    def keys(self) -> KeyRing | None:
        return open_keys(self.settings)


def start(container: Container, *, deliver: bool = False) -> None:
    """Begin to deliver what the spool holds, in the running loop.

    deliver: also from a stream that bridges only write (deliver=false in LOGBRIDGE_SPOOL).
    """
    spooler = container.spooler
    if spooler is None:
        return
    named = check_spool_url(container.settings.spool_url)
    if deliver or not isinstance(named, QueuePolicy) or named.deliver:
        spooler.start()


async def close(container: Container, within_s: float | None = None) -> None:
    """Close the chains from the outside in: admit nothing more, end the pauses of retry, let go of the sink.

    within_s: seconds for what is in flight; the rest is then answered as unknown, or stays in the spool.
    None lets everything end by its own deadline.
    """
    ends = (container.patient, container.patient_durable, container.delivered, container.durable)
    chains = [chain for chain in ends if chain is not None]
    closing = asyncio.gather(*(chain.aclose() for chain in chains))
    done, _ = await asyncio.wait([closing], timeout=within_s)
    if not done:
        container.core.cut()
        spooler = container.spooler
        if spooler is not None:
            spooler.cut()
    await closing
