"""Which spool a setting means: files on a disk here, or a stream of JetStream."""

import asyncio
import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from logbridge.adapters.spool.inventory import SpoolInventory
from logbridge.adapters.spool.lock import BridgeLock
from logbridge.adapters.spool.spool import SpoolLimits, SqliteSpool
from logbridge.domain.errors import InvalidSetting, StoreError
from logbridge.domain.kept import Inventory
from logbridge.domain.measures import Measures, Waiting
from logbridge.domain.policy import QueuePolicy
from logbridge.domain.ports import Spool
from logbridge.entrypoints.clock import new_id, utc_now
from logbridge.entrypoints.extras import is_installed
from logbridge.entrypoints.settings import Settings, check_spool_url

if TYPE_CHECKING:
    from logbridge.adapters.jetstream.connection import Access
    from logbridge.adapters.jetstream.spool import JetStreamSpool

logger = logging.getLogger(__name__)


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


def open_queue(settings: Settings, policy: QueuePolicy, measures: Measures | None = None) -> "JetStreamSpool":
    """The spool in this stream; it connects with its first use. Raises InvalidSetting."""
    access = _queue_access(settings, policy)
    from logbridge.adapters.jetstream.spool import JetStreamSpool

    measures = measures or Measures()
    return JetStreamSpool(policy, access, settings.spool_bytes_max, resent=measures.resent)


def _queue_access(settings: Settings, policy: QueuePolicy) -> "Access":
    if not is_installed("nats"):
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


def open_inventory(settings: Settings) -> Inventory:
    """The spool for an operator's command, beside the bridge that holds it. Raises StoreError."""
    default = msgspec.structs.replace(settings, ack="durable").spool_url
    named = check_spool_url(settings.spool_url or default)
    if not isinstance(named, QueuePolicy):
        return SpoolInventory(Path(named))
    access = _queue_access(settings, named)
    from logbridge.adapters.jetstream.inventory import JetStreamInventory

    return JetStreamInventory(named, access, settings.spool_bytes_max)
