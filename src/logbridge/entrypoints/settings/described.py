"""Settings as people see them: variables, flags, defaults, what a limit holds for, and no secrets."""

import re
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from msgspec import Meta

from logbridge.entrypoints.settings.table import Settings

# These keep the names that the field's clients gave them; every other one has our prefix.
_CONTRACT_NAMES = frozenset(
    (
        "host",
        "port",
        "debug",
        "log_level",
        "grpc_server_host",
        "grpc_server_port",
        "max_concurrent_workers",
        "max_batch_size",
        "max_concurrent_requests",
    )
)
PREFIX = "LOGBRIDGE_"
# Their values are shown to nobody.
SECRETS = frozenset(("key", "sink_key", "sink_headers", "spool_password"))
_PASSWORD = re.compile(r"(?<=://).*(?=@)", re.DOTALL)
# What each limit holds for. Those of each worker hold in each of several: together they allow as much more.
HOLDS_FOR = {
    "max_concurrent_workers": "each request",
    "max_batch_size": "each request",
    "max_concurrent_requests": "each worker",
    "store_age_days_max": "the log service",
    "store_bytes_max": "the log service",
    "entry_bytes_max": "each entry",
    "body_bytes_max": "each request",
    "metadata_depth_max": "each entry",
    "spool_bytes_max": "each worker",
    "spool_disk_free_bytes_min": "all workers",
    "request_timeout_s": "each request",
    "attempt_timeout_s": "each request",
    "retry_budget_s": "each request",
    "in_flight_bytes_max": "each worker",
    "drain_notice_s": "all workers",
    "drain_s": "all workers",
    "grpc_message_bytes_max": "the log service",
    "sink_resolve_s": "the log service",
    "sink_connection_age_s": "each connection",
    "metadata_keys_max": "each entry",
    "metadata_key_bytes_max": "each entry",
    "head_bytes_max": "each request",
    "head_timeout_s": "each request",
    "body_timeout_s": "each request",
    "body_bytes_per_s_min": "each request",
    "stream_idle_timeout_s": "each request",
    "stream_batch_timeout_s": "each batch",
    "idle_timeout_s": "each connection",
    "connections_max": "each worker",
    "key_rate": "all workers",
    "address_rate": "all workers",
}


class Setting(NamedTuple):
    """One setting as people see it. holds_for: of a limit, else empty."""

    field: str
    variable: str
    flag: str
    default: str
    description: str
    holds_for: str


HINTS = get_type_hints(Settings, include_extras=True)


def _metas(hint: Any) -> list[Meta]:
    return (
        [part for part in get_args(hint)[1:] if isinstance(part, Meta)]
        if get_origin(hint) is Annotated
        else []
    )


def variable_of(field: str) -> str:
    """The environment variable of a field of Settings."""
    return field.upper() if field in _CONTRACT_NAMES else PREFIX + field.upper()


def text_of(field: str, value: object) -> str:
    """A value as `logbridge config` shows it; of a secret only whether there is one."""
    if isinstance(value, bool):
        return str(value).lower()
    return shown(field, ",".join(sorted(value)) if isinstance(value, frozenset) else str(value))


def shown(field: str, text: str) -> str:
    """The text of a setting without what is secret in it: a key, or the password in a URL."""
    if field in SECRETS:
        return "(set)" if text else ""
    return _PASSWORD.sub("(set)", text)


def _describe() -> tuple[Setting, ...]:
    defaults = Settings()
    return tuple(
        Setting(
            field,
            variable_of(field),
            "--" + field.replace("_", "-"),
            text_of(field, getattr(defaults, field)),
            next(meta.description or "" for meta in _metas(HINTS[field]) if meta.description),
            HOLDS_FOR.get(field, ""),
        )
        for field in Settings.__struct_fields__
    )


SETTINGS = _describe()
