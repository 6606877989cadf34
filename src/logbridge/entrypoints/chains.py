"""The chains that writes go through, each link around the next one: a part of the container."""

import time
from random import Random

from logbridge.adapters.delivery.admission import Admission, InFlight
from logbridge.adapters.delivery.breaker import Breaker
from logbridge.adapters.delivery.coalesce import Coalesce
from logbridge.adapters.delivery.observe import Observe
from logbridge.adapters.delivery.retry import Retry, passes_in_time
from logbridge.adapters.delivery.spooler import Spooler
from logbridge.adapters.delivery.timeout import Timeout
from logbridge.adapters.delivery.turns import Turns
from logbridge.adapters.grpc.sink import GrpcSink
from logbridge.adapters.services.peer import Peer
from logbridge.adapters.services.sink import LogServices
from logbridge.domain.measures import Measures
from logbridge.domain.policy import (
    AdmissionPolicy,
    BreakerPolicy,
    CoalescePolicy,
    RetryPolicy,
    SpoolPolicy,
)
from logbridge.domain.ports import LogSink, Spool
from logbridge.entrypoints.settings import Settings

_RANDOM = Random()  # noqa: S311 (jitter, no secrets)
# Of a batch of a stream only its deadline counts.
_ANY_BUDGET_S = 3600.0
# A stream is to go on soon after there is room again.
_STREAM_BACKOFF_MAX_S = 2.0


def build_breaker(sink: LogSink, settings: Settings, measures: Measures) -> Breaker | LogServices:
    """sink → timeout → observe → breaker; each of several log services has its own already."""
    return sink if isinstance(sink, LogServices) else _guarded(sink, settings, measures)


def _guarded(sink: LogSink, settings: Settings, measures: Measures) -> Breaker:
    timed = Timeout(sink, settings.attempt_timeout_s, time.monotonic)
    return Breaker(Observe(timed, measures, time.monotonic), BreakerPolicy(), time.monotonic)


def build_peer(address: str, sink: GrpcSink, settings: Settings, measures: Measures) -> Peer:
    """One of several log services: breaker → turns → coalesce, so that none waits for another."""
    breaker = _guarded(sink, settings, measures)
    core = build_core(breaker, settings)
    return Peer(address, build_coalesce(core, settings) or core, breaker, sink, core.cut)


def build_core(breaker: LogSink, settings: Settings) -> Turns | LogServices:
    """What every write goes through, from the inside out: breaker → turns; several log services have both.

    The breaker is inside: who waits for a turn when the log service goes away learns it at once, too.
    """
    if isinstance(breaker, LogServices):
        return breaker
    return Turns(breaker, build_admission_policy(settings).writes_at_once_max, time.monotonic)


def build_coalesce(core: LogSink, settings: Settings) -> Coalesce | None:
    """What makes batches of single writes; None where LOGBRIDGE_COALESCE says no, or each peer has one."""
    if isinstance(core, LogServices) or not settings.coalesce:
        return None
    return Coalesce(core, CoalescePolicy(), time.monotonic)


def build_delivered(
    core: LogSink, coalesce: Coalesce | None, settings: Settings, in_flight: InFlight, measures: Measures
) -> Admission:
    """The chain that answers when the log service has: core → coalesce → retry → admission.

    Retry is outside: each write has its own budget, and comes back into another batch than the one it was in.
    """
    retry = Retry(
        coalesce or core,
        RetryPolicy(budget_s=settings.retry_budget_s),
        time.monotonic,
        _RANDOM.random,
        measures.retry,
    )
    return Admission(retry, build_admission_policy(settings), in_flight)


def build_spooler(core: LogSink, spool: Spool | None) -> Spooler | None:
    """What empties the spool; it retries without end, so no retry link is below it. None without a spool."""
    if spool is None:
        return None
    return Spooler(core, spool, SpoolPolicy(), RetryPolicy(), time.monotonic, _RANDOM.random)


def build_durable(spooler: Spooler | None, settings: Settings, in_flight: InFlight) -> Admission | None:
    """The chain that answers when the entry is on the disk here: core → spooler → admission."""
    return None if spooler is None else Admission(spooler, build_admission_policy(settings), in_flight)


def build_patient(chain: Admission, settings: Settings, measures: Measures) -> Retry:
    """A chain for streams: admission → timeout → retry.

    There is nobody who waits for a line of a stream: it waits for room, and for a log service that is away,
    as long as its batch has time. Each try has no longer than any other write.
    """
    return Retry(
        Timeout(chain, settings.request_timeout_s, time.monotonic),
        RetryPolicy(budget_s=_ANY_BUDGET_S, backoff_max_s=_STREAM_BACKOFF_MAX_S),
        time.monotonic,
        _RANDOM.random,
        measures.retry,
        passes_in_time,
    )


def build_admission_policy(settings: Settings) -> AdmissionPolicy:
    """How much may be in flight."""
    return AdmissionPolicy(
        entries_max=settings.max_concurrent_requests, bytes_max=settings.in_flight_bytes_max
    )
