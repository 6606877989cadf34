"""The streams of entries and of dead letters and the consumer: looked at, and made where they are missing."""

from collections.abc import Mapping
from typing import Any

from logbridge.adapters.jetstream.connection import ApiError, Connection, QueueAway
from logbridge.domain.errors import StoreError
from logbridge.domain.policy import QueuePolicy

# All workers pull from this one.
CONSUMER = "logbridge"
# A write that had no answer, from us or from a client, is sent again under its id within this time: a request
# may take LOGBRIDGE_REQUEST_TIMEOUT_S (10 s), and whoever has a 503 comes back within half a minute. Beyond
# it our log service still stores an id once. The servers hold the ids of so long in memory.
DUPLICATE_WINDOW_S = 120
_NS = 1_000_000_000
_UNAVAILABLE = 503
_NOT_FOUND = 404
_NO_PEERS = 10005
_NO_STORAGE = 10047


def stream_configs(policy: QueuePolicy, bytes_max: int) -> list[dict[str, Any]]:
    """What both streams are made with."""
    both = {
        "storage": "file",
        "discard": "new",
        "max_bytes": bytes_max,
        "max_age": 0,
        "num_replicas": policy.replicas,
        "duplicate_window": DUPLICATE_WINDOW_S * _NS,
    }
    entries = {"name": policy.stream, "subjects": [policy.subject], "retention": "workqueue", **both}
    return [entries, {"name": policy.dead, "subjects": [policy.dead], "retention": "limits", **both}]


def consumer_config(policy: QueuePolicy) -> dict[str, Any]:
    """What the consumer is made with."""
    return {
        "durable_name": CONSUMER,
        "ack_policy": "explicit",
        "deliver_policy": "all",
        "replay_policy": "instant",
        "ack_wait": policy.ack_wait_s * _NS,
        "max_ack_pending": policy.ack_pending_max,
        "max_deliver": -1,
        "filter_subject": policy.subject,
    }


async def prepare(connection: Connection, policy: QueuePolicy, bytes_max: int) -> None:
    """See that everything is there and as it must be.

    Raises StoreError with one line that says what to change, QueueAway while the servers cannot say.
    """
    try:
        for config in stream_configs(policy, bytes_max):
            await _prepare_stream(connection, config, create=policy.create)
        await _prepare_consumer(connection, policy)
    except ApiError as error:
        # No quorum yet, or servers that have not joined yet.
        if error.code == _UNAVAILABLE or error.err_code == _NO_PEERS:
            raise QueueAway(f"JetStream cannot have the stream {policy.stream!r} now: {error}") from None
        hint = ""
        if error.err_code == _NO_STORAGE:
            hint = (
                f"; each of its two streams reserves {bytes_max} bytes, LOGBRIDGE_SPOOL_BYTES_MAX: lower it"
            )
        raise StoreError(
            f"the stream {policy.stream!r} at {connection.servers} cannot be used: {error}{hint}"
        ) from None


async def _prepare_stream(connection: Connection, wanted: dict[str, Any], *, create: bool) -> None:
    name = wanted["name"]
    try:
        info = await connection.call(f"STREAM.INFO.{name}")
    except ApiError as error:
        if error.code != _NOT_FOUND:
            raise
        if not create:
            raise StoreError(
                f"there is no stream {name!r}: make it, or let create=true in LOGBRIDGE_SPOOL"
            ) from None
        info = await connection.call(f"STREAM.CREATE.{name}", **wanted)
    if reason := reason_against(info["config"], wanted):
        raise StoreError(f"the stream {name!r} would not keep what is acknowledged: {reason}")


def reason_against(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Why an existing stream cannot be the spool, and what to change; empty if it can.

    Its max_bytes is left to whoever made it: a smaller one refuses sooner, and loses nothing.
    """
    for name in ("retention", "storage", "discard"):
        if found.get(name) != wanted[name]:
            return f"its {name} is {found.get(name)}, and must be {wanted[name]}"
    subjects = found.get("subjects", ())
    copies, window_s = found.get("num_replicas", 1), found.get("duplicate_window", 0) // _NS
    checks = (
        (wanted["subjects"][0] in subjects, f"its subjects lack {wanted['subjects'][0]}"),
        (not found.get("max_age"), "its max_age must be 0: it would remove logs that were not delivered"),
        (found.get("max_msgs_per_subject", -1) <= 0, "its max_msgs_per_subject must be -1"),
        (
            copies >= wanted["num_replicas"],
            f"its num_replicas is {copies}, and must be {wanted['num_replicas']}",
        ),
        (
            window_s >= DUPLICATE_WINDOW_S,
            f"its duplicate_window is {window_s} s, and must be {DUPLICATE_WINDOW_S} s",
        ),
        (not found.get("no_ack"), "its no_ack must be false: nothing would be acknowledged"),
    )
    return next((reason for holds, reason in checks if not holds), "")


async def _prepare_consumer(connection: Connection, policy: QueuePolicy) -> None:
    if policy.create:
        path = f"CONSUMER.DURABLE.CREATE.{policy.stream}.{CONSUMER}"
        await connection.call(path, stream_name=policy.stream, config=consumer_config(policy))
        return
    try:
        info = await connection.call(f"CONSUMER.INFO.{policy.stream}.{CONSUMER}")
    except ApiError as error:
        if error.code != _NOT_FOUND:
            raise
        reason = f"the stream {policy.stream!r} has no consumer {CONSUMER!r}: make it, or let create=true"
        raise StoreError(f"{reason} in LOGBRIDGE_SPOOL") from None
    if info["config"].get("ack_policy") != "explicit" or info["config"].get("max_deliver", -1) > 0:
        raise StoreError(f"the consumer {CONSUMER!r} must have ack_policy explicit and max_deliver -1")


def lacks_leader(about: Mapping[str, Any]) -> bool:
    """Whether most of its replicas are away, by the answer to STREAM.INFO; a single server has no leader."""
    return "cluster" in about and not about["cluster"].get("leader")
