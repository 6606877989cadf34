"""The only reader of the environment: flags win over variables, variables over .env, .env over defaults."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from dotenv import dotenv_values

from logbridge.domain.errors import InvalidSetting
from logbridge.entrypoints.settings.described import HINTS, PREFIX, SETTINGS, shown, text_of, variable_of
from logbridge.entrypoints.settings.table import Settings
from logbridge.entrypoints.settings.urls import (
    OTLP_SINKS,
    check_bridge_url,
    check_key,
    check_networks,
    check_origins,
    check_sink_url,
    check_spool_url,
    check_store_url,
    check_traces_url,
    parse_headers,
    parse_rate,
)

# What the bridge answers at, whatever the settings say; under some of them there is more.
_FIXED_PATHS = ("/console", "/livez", "/metrics", "/readyz", "/v1/logs")
_LISTS = frozenset(("open", "trusted_proxies", "cors_origins"))
_CHECKS: dict[str, Callable[[Any], object]] = {
    "sink": check_sink_url,
    "store": check_store_url,
    "spool": check_spool_url,
    "url": check_bridge_url,
    "trusted_proxies": check_networks,
    "cors_origins": check_origins,
    "key": check_key,
    "sink_key": check_key,
    "sink_headers": parse_headers,
    "key_rate": parse_rate,
    "address_rate": parse_rate,
    "otlp_traces_url": check_traces_url,
}


class Explained(NamedTuple):
    """The effective value of a setting, and its origin: flag, environment, a file, or default.

    holds_for: of a limit, such as ``each worker``; else empty.
    """

    variable: str
    value: str
    origin: str
    holds_for: str
    description: str


class _Given(NamedTuple):
    text: str
    name: str  # as the operator wrote it
    origin: str


def _given(flags: Mapping[str, str], environ: Mapping[str, str], env_file: Path | None) -> dict[str, _Given]:
    filed = _read_env_file(env_file)
    given: dict[str, _Given] = {}
    for setting in SETTINGS:
        if setting.field in flags:
            given[setting.field] = _Given(flags[setting.field], setting.flag, "flag")
        elif environ.get(setting.variable):
            given[setting.field] = _Given(environ[setting.variable], setting.variable, "environment")
        elif filed.get(setting.variable):
            given[setting.field] = _Given(filed[setting.variable] or "", setting.variable, str(env_file))
    return given


def _read_env_file(env_file: Path | None) -> dict[str, str | None]:
    if env_file is None or not env_file.is_file():
        return {}
    try:
        return dotenv_values(env_file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting("env file", str(env_file), f"cannot be read: {error}") from None


def _convert(field: str, given: _Given) -> Any:
    raw: Any = given.text.strip()
    if field in _LISTS:
        raw = [part.strip() for part in raw.split(",") if part.strip()]
    elif field == "log_level":
        raw = {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(raw.upper(), raw.upper())
    elif field == "log_format":
        raw = raw.lower()
    elif field in ("debug", "coalesce"):
        raw = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(raw.lower(), raw)
    try:
        value = msgspec.convert(raw, HINTS[field], strict=False)
    except msgspec.ValidationError:
        raise InvalidSetting(given.name, shown(field, given.text), _allowed(HINTS[field])) from None
    return _checked(field, given, value)


def _allowed(hint: Any) -> str:
    match msgspec.inspect.type_info(hint):
        case msgspec.inspect.Metadata(type=kind):
            return _allowed_of(kind)
        case kind:
            return _allowed_of(kind)


def _allowed_of(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.BoolType():
            return "allowed are true and false"
        case msgspec.inspect.IntType(ge=low, le=high):
            return f"expected a whole number from {low} to {high}"
        case msgspec.inspect.FloatType(ge=low, le=high) if low is not None:
            return f"expected a number from {low:g} to {high:g}"
        case msgspec.inspect.FloatType(le=high):
            return f"expected a number above 0, at most {high}"
        case msgspec.inspect.LiteralType(values=values):
            return f"allowed are {', '.join(str(value) for value in values)}"
        case msgspec.inspect.FrozenSetType(item_type=item):
            return f"{_allowed_of(item)}, by comma"
        case _:
            return "expected a path of letters and digits that begins with / and ends without, such as /docs"


def _checked(field: str, given: _Given, value: Any) -> Any:
    if field in _CHECKS and value:
        try:
            _CHECKS[field](value)
        except ValueError as error:
            raise InvalidSetting(given.name, shown(field, given.text), str(error)) from None
    return value


def load(
    flags: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = Path(".env"),
) -> Settings:
    """The effective settings.

    flags: field name → text. environ: the environment, os.environ if None. env_file: a file of NAME=value
    lines, which need not exist. An empty variable counts as not set.
    Raises InvalidSetting with the name, the value and what is allowed.
    """
    given = _given(flags or {}, os.environ if environ is None else environ, env_file)
    settings = Settings(**{field: _convert(field, value) for field, value in given.items()})
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    room = settings.grpc_message_bytes_max - 65_536
    if settings.entry_bytes_max > room:
        raise InvalidSetting(
            "LOGBRIDGE_ENTRY_BYTES_MAX",
            str(settings.entry_bytes_max),
            f"one entry must fit a message: at most {room} with "
            f"LOGBRIDGE_GRPC_MESSAGE_BYTES_MAX={settings.grpc_message_bytes_max}",
        )
    _check_pairs(settings)
    _check_headers(settings)
    _check_queue(settings)
    if settings.keys_file and settings.open:
        reason = "strangers have no rights where LOGBRIDGE_KEYS_FILE asks for keys; set one of the two"
        raise InvalidSetting("LOGBRIDGE_OPEN", text_of("open", settings.open), reason)
    if settings.key_rate and not settings.keys_file:
        reason = "counts requests by key, and without LOGBRIDGE_KEYS_FILE there are none"
        raise InvalidSetting("LOGBRIDGE_KEY_RATE", settings.key_rate, reason)
    _check_paths(settings)


def _check_paths(settings: Settings) -> None:
    """Each page has a path of its own, and no path of the bridge begins like one under the prefix."""
    paths = [settings.api_prefix, settings.docs_path, settings.redoc_path, settings.openapi_path]
    if len(set(paths)) < len(paths):
        raise InvalidSetting("LOGBRIDGE_DOCS_PATH", settings.docs_path, "each page needs a path of its own")
    root = settings.root_path
    for path in (*paths, *_FIXED_PATHS) if root else ():
        if f"{path}/".startswith(f"{root}/") or root.startswith(f"{path}/"):
            reason = (
                f"the bridge itself answers at {path}, which could then not be told from what is under it"
            )
            raise InvalidSetting("LOGBRIDGE_ROOT_PATH", root, reason)


def _check_headers(settings: Settings) -> None:
    if not settings.sink_headers:
        return
    headers = text_of("sink_headers", settings.sink_headers)
    if check_sink_url(settings.sink_url)[0] not in OTLP_SINKS:
        reason = f"is for OTLP receivers, and LOGBRIDGE_SINK is {settings.sink_url}: it would not be sent"
        raise InvalidSetting("LOGBRIDGE_SINK_HEADERS", headers, reason)
    if settings.sink_key and "authorization" in dict(parse_headers(settings.sink_headers)):
        reason = "names authorization, and LOGBRIDGE_SINK_KEY is sent as that; set one of the two"
        raise InvalidSetting("LOGBRIDGE_SINK_HEADERS", headers, reason)


def _check_pairs(settings: Settings) -> None:
    """A certificate and its key come together; a CA for clients needs a certificate of ours."""
    for cert, key in (
        ("tls_cert", "tls_key"),
        ("service_tls_cert", "service_tls_key"),
        ("sink_cert", "sink_cert_key"),
    ):
        if bool(getattr(settings, cert)) != bool(getattr(settings, key)):
            there, missing = (cert, key) if getattr(settings, cert) else (key, cert)
            reason = f"needs {variable_of(missing)} beside it"
            raise InvalidSetting(variable_of(there), getattr(settings, there), reason)
    for authority, cert in (("tls_client_ca", "tls_cert"), ("service_tls_client_ca", "service_tls_cert")):
        if getattr(settings, authority) and not getattr(settings, cert):
            reason = f"needs {variable_of(cert)}: without TLS no client shows a certificate"
            raise InvalidSetting(variable_of(authority), getattr(settings, authority), reason)


def _check_queue(settings: Settings) -> None:
    """What only a spool in NATS JetStream has is not given to another one."""
    for field in ("spool_user", "spool_password", "spool_ca"):
        text = getattr(settings, field)
        if text and not settings.spool_is_shared:
            reason = "is for LOGBRIDGE_SPOOL=nats://host:port or tls://host:port"
            raise InvalidSetting(variable_of(field), shown(field, text), reason)
    if settings.spool_password and not settings.spool_user:
        reason = "needs LOGBRIDGE_SPOOL_USER beside it"
        raise InvalidSetting("LOGBRIDGE_SPOOL_PASSWORD", shown("spool_password", "x"), reason)
    if settings.spool_ca and not settings.spool.startswith("tls:"):
        raise InvalidSetting(
            "LOGBRIDGE_SPOOL_CA", settings.spool_ca, "is for tls://host:port: nats:// has no TLS"
        )


def explain(
    flags: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = Path(".env"),
) -> list[Explained]:
    """Every setting with its effective value and its origin; arguments and errors as in load()."""
    environ = os.environ if environ is None else environ
    settings = load(flags, environ, env_file)
    given = _given(flags or {}, environ, env_file)
    return [
        Explained(
            setting.variable,
            text_of(setting.field, getattr(settings, setting.field)),
            given[setting.field].origin if setting.field in given else "default",
            setting.holds_for,
            setting.description,
        )
        for setting in SETTINGS
    ]


def unknown_variables(environ: Mapping[str, str], env_file: Path | None = Path(".env")) -> list[str]:
    """Names that begin with LOGBRIDGE_ and that no setting has: most likely slips of the pen."""
    known = {setting.variable for setting in SETTINGS}
    names = {*environ, *_read_env_file(env_file)}
    return sorted(name for name in names if name.startswith(PREFIX) and name not in known)
