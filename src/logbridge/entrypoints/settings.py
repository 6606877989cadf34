"""The only reader of the environment: flags win over variables, variables over .env, .env over defaults."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints
from urllib.parse import SplitResult, urlsplit

import msgspec
from dotenv import dotenv_values
from msgspec import Meta, Struct

from logbridge.domain.errors import InvalidSetting

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
_PREFIX = "LOGBRIDGE_"

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]
Opening = Literal["read", "test"]


class Settings(Struct, frozen=True, kw_only=True):
    """All settings, checked. Units are in the names: _s seconds, _bytes bytes."""

    host: Annotated[str, Meta(min_length=1, description="REST host")] = "0.0.0.0"
    port: Annotated[Port, Meta(description="REST port; 0 takes any free one")] = 8001
    debug: Annotated[bool, Meta(description="debug mode: every request is logged")] = False
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        Meta(description="the service's own logging"),
    ] = "INFO"
    grpc_server_host: Annotated[str, Meta(min_length=1, description="log service host")] = "localhost"
    grpc_server_port: Annotated[Port, Meta(description="log service port")] = 50051
    max_concurrent_workers: Annotated[
        int, Meta(ge=1, le=10_000, description="the most max_workers of a concurrent test")
    ] = 50
    max_batch_size: Annotated[int, Meta(ge=1, le=100_000, description="the most entries of a batch")] = 1000
    max_concurrent_requests: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="the most writes in flight, and the most count of a concurrent test; for each worker",
        ),
    ] = 10_000
    service_name: Annotated[str, Meta(min_length=1, description="service_name of a log that names none")] = (
        "logbridge"
    )
    sink: Annotated[
        str,
        Meta(
            description="where logs go: grpc://host:port or memory://; "
            "empty means grpc://GRPC_SERVER_HOST:GRPC_SERVER_PORT"
        ),
    ] = ""
    store: Annotated[
        str,
        Meta(
            description="where the log service keeps logs: sqlite:///path (sqlite:////absolute) or memory://"
        ),
    ] = "sqlite:///./data/logs.db"
    store_age_days_max: Annotated[
        int, Meta(ge=0, le=36_500, description="days that the log service keeps a log; 0 means for ever")
    ] = 0
    store_bytes_max: Annotated[
        int,
        Meta(
            ge=0,
            le=2**50,
            description="the most bytes of stored logs, beyond it the oldest are removed; 0 means any number",
        ),
    ] = 0
    service_host: Annotated[str, Meta(min_length=1, description="where the log service listens")] = (
        "127.0.0.1"
    )
    open: Annotated[
        frozenset[Opening],
        Meta(description="what strangers may do too, by comma: read (query, tail), test (concurrent-test)"),
    ] = frozenset()
    url: Annotated[
        str, Meta(description="the bridge that the commands talk to; empty means http://127.0.0.1:PORT")
    ] = ""
    app_name: Annotated[str, Meta(min_length=1, description="the application's name")] = "logbridge"
    api_prefix: Annotated[str, Meta(pattern=r"^(/[\w.~-]+)+$", description="base path of the API")] = (
        "/api/v1/logs"
    )
    docs_path: Annotated[str, Meta(pattern=r"^(/[\w.~-]+)+$", description="path of Swagger UI")] = "/docs"
    redoc_path: Annotated[str, Meta(pattern=r"^(/[\w.~-]+)+$", description="path of ReDoc")] = "/redoc"
    openapi_path: Annotated[
        str, Meta(pattern=r"^(/[\w.~-]+)+$", description="path of the OpenAPI document")
    ] = "/openapi.json"
    entry_bytes_max: Annotated[
        int, Meta(ge=1024, le=4_000_000, description="the most bytes of text of one entry")
    ] = 262_144
    body_bytes_max: Annotated[
        int, Meta(ge=1024, le=2**31, description="the most bytes of a request body")
    ] = 20_971_520
    metadata_depth_max: Annotated[
        int, Meta(ge=1, le=200, description="the most levels of nesting of a metadata value")
    ] = 64
    ack: Annotated[
        Literal["delivered", "durable"],
        Meta(
            description="what an acknowledged write means: delivered (the log service has it) "
            "or durable (it is on the disk here)"
        ),
    ] = "delivered"
    spool: Annotated[
        str,
        Meta(
            description="where durable writes wait: sqlite:///directory (sqlite:////absolute); "
            "empty means none, and sqlite:///./data/spool with LOGBRIDGE_ACK=durable"
        ),
    ] = ""
    spool_bytes_max: Annotated[
        int,
        Meta(ge=65_536, le=2**50, description="the most bytes of entries in the spool; for each worker"),
    ] = 1_073_741_824
    spool_disk_free_bytes_min: Annotated[
        int,
        Meta(ge=0, le=2**50, description="bytes of the disk that the spool leaves free"),
    ] = 268_435_456
    request_timeout_s: Annotated[
        Seconds, Meta(description="seconds that a write or query may take where the caller names no time")
    ] = 10.0
    attempt_timeout_s: Annotated[Seconds, Meta(description="seconds that one attempt to write may take")] = (
        5.0
    )
    retry_budget_s: Annotated[
        Seconds, Meta(description="seconds in which a delivered write may be attempted again")
    ] = 10.0
    coalesce: Annotated[
        bool, Meta(description="single writes that come together go to the log service together, as a batch")
    ] = True
    in_flight_bytes_max: Annotated[
        int,
        Meta(ge=65_536, le=2**40, description="the most bytes of entries in flight; for each worker"),
    ] = 67_108_864
    drain_notice_s: Annotated[
        float,
        Meta(ge=0, le=3600, description="seconds of a stop in which /readyz says 503 and writes still pass"),
    ] = 2.0
    drain_s: Annotated[Seconds, Meta(description="seconds in which a stop lets what is in flight finish")] = (
        30.0
    )
    grpc_message_bytes_max: Annotated[
        int,
        Meta(ge=65_536, le=2**31 - 1, description="the most bytes of a message that the log service takes"),
    ] = 4_194_304

    @property
    def sink_url(self) -> str:
        """LOGBRIDGE_SINK, or the address of the log service as a URL."""
        host = f"[{self.grpc_server_host}]" if ":" in self.grpc_server_host else self.grpc_server_host
        return self.sink or f"grpc://{host}:{self.grpc_server_port}"

    @property
    def spool_url(self) -> str:
        """LOGBRIDGE_SPOOL, or its default where durable writes need one; empty for no spool."""
        return self.spool or ("sqlite:///./data/spool" if self.ack == "durable" else "")

    @property
    def bridge_url(self) -> str:
        """LOGBRIDGE_URL, or this machine at PORT."""
        return self.url.rstrip("/") or f"http://127.0.0.1:{self.port}"


class Setting(NamedTuple):
    """One setting as people see it."""

    field: str
    variable: str
    flag: str
    default: str
    description: str


class Explained(NamedTuple):
    """The effective value of a setting, and its origin: flag, environment, a file, or default."""

    variable: str
    value: str
    origin: str
    description: str


_HINTS = get_type_hints(Settings, include_extras=True)


def _metas(hint: Any) -> list[Meta]:
    return (
        [part for part in get_args(hint)[1:] if isinstance(part, Meta)]
        if get_origin(hint) is Annotated
        else []
    )


def variable_of(field: str) -> str:
    """The environment variable of a field of Settings."""
    return field.upper() if field in _CONTRACT_NAMES else _PREFIX + field.upper()


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(sorted(value)) if isinstance(value, frozenset) else str(value)


def _describe() -> tuple[Setting, ...]:
    defaults = Settings()
    return tuple(
        Setting(
            field,
            variable_of(field),
            "--" + field.replace("_", "-"),
            _text(getattr(defaults, field)),
            next(meta.description or "" for meta in _metas(_HINTS[field]) if meta.description),
        )
        for field in Settings.__struct_fields__
    )


SETTINGS = _describe()


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
    if field == "open":
        raw = [part.strip() for part in raw.split(",") if part.strip()]
    elif field == "log_level":
        raw = {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(raw.upper(), raw.upper())
    elif field in ("debug", "coalesce"):
        raw = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(raw.lower(), raw)
    try:
        value = msgspec.convert(raw, _HINTS[field], strict=False)
    except msgspec.ValidationError:
        raise InvalidSetting(given.name, given.text, _allowed(_HINTS[field])) from None
    return _checked_url(field, given, value)


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
            return "expected a path of letters and digits that begins with /, such as /docs"


def _checked_url(field: str, given: _Given, value: Any) -> Any:
    checks = {
        "sink": check_sink_url,
        "store": check_store_url,
        "spool": check_spool_url,
        "url": check_bridge_url,
    }
    if field in checks and value:
        try:
            checks[field](value)
        except ValueError as error:
            raise InvalidSetting(given.name, given.text, str(error)) from None
    return value


def check_sink_url(url: str) -> tuple[str, str]:
    """A sink URL as (scheme, address). Raises ValueError that says what is allowed."""
    parts = urlsplit(url)
    if parts.scheme == "memory" and not parts.path and not parts.netloc:
        return "memory", ""
    if parts.scheme != "grpc" or not parts.hostname or not _has_port(parts) or parts.path.strip("/"):
        raise ValueError("allowed are grpc://host:port and memory://")
    return "grpc", parts.netloc


def _has_port(parts: SplitResult) -> bool:
    return _port_is_valid(parts) and bool(parts.port)


def _port_is_valid(parts: SplitResult) -> bool:
    try:
        _ = parts.port
    except ValueError:  # above 65535, or no number
        return False
    return True


def check_store_url(url: str) -> tuple[str, str]:
    """A store URL as (scheme, path). Raises ValueError that says what is allowed."""
    parts = urlsplit(url)
    if parts.scheme == "memory" and not parts.path and not parts.netloc:
        return "memory", ""
    path = parts.path[1:]
    if parts.scheme != "sqlite" or parts.netloc or not path or path.endswith("/"):
        raise ValueError("allowed are sqlite:///file (sqlite:////file from the root) and memory://")
    return "sqlite", path


def check_spool_url(url: str) -> str:
    """A spool URL as the path of its directory. Raises ValueError that says what is allowed."""
    parts = urlsplit(url)
    path = parts.path[1:]
    if parts.scheme != "sqlite" or parts.netloc or not path:
        raise ValueError("allowed is sqlite:///directory (sqlite:////directory from the root)")
    return path


def check_bridge_url(url: str) -> None:
    """Raises ValueError that says what is allowed."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _port_is_valid(parts):
        raise ValueError("allowed is http://host:port or https://host:port")


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
    paths = [settings.api_prefix, settings.docs_path, settings.redoc_path, settings.openapi_path]
    if len(set(paths)) < len(paths):
        raise InvalidSetting("LOGBRIDGE_DOCS_PATH", settings.docs_path, "each page needs a path of its own")


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
            _text(getattr(settings, setting.field)),
            given[setting.field].origin if setting.field in given else "default",
            setting.description,
        )
        for setting in SETTINGS
    ]


def unknown_variables(environ: Mapping[str, str], env_file: Path | None = Path(".env")) -> list[str]:
    """Names that begin with LOGBRIDGE_ and that no setting has: most likely slips of the pen."""
    known = {setting.variable for setting in SETTINGS}
    names = {*environ, *_read_env_file(env_file)}
    return sorted(name for name in names if name.startswith(_PREFIX) and name not in known)
