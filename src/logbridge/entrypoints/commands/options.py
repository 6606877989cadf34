"""The options that commands share: every setting as a flag, the bridge's address, the filters of a query."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from logbridge.entrypoints.commands import terminal
from logbridge.entrypoints.commands.ending import UsageError
from logbridge.entrypoints.settings import SETTINGS, Setting, unknown_variables

_SETTINGS_GROUP = Group(
    "Settings", help="A flag wins over the variable, the variable over .env.", sort_key=10
)


def _parameter(setting: Setting) -> Any:
    help_text = f"{setting.description} ({setting.variable}, default {setting.default or 'empty'})"
    return Annotated[str | None, Parameter(help=help_text)]


def _flags_class() -> type:
    fields = {setting.field: _parameter(setting) for setting in SETTINGS}
    body = {"__annotations__": fields, **dict.fromkeys(fields)}
    flags: type = dataclass(frozen=True, kw_only=True)(type("SettingFlags", (), body))
    return Parameter(name="*", group=_SETTINGS_GROUP)(flags)


if TYPE_CHECKING:

    class SettingFlags:
        """Every setting as a flag; None where it is not given."""

else:
    # Made from the one list of settings, so that a new setting is a flag without another word.
    SettingFlags = _flags_class()


def given(flags: SettingFlags | None) -> dict[str, str]:
    """The flags that were given, by field name, as settings.load() takes them."""
    return {name: value for name, value in vars(flags).items() if value is not None} if flags else {}


def told_unknown() -> list[str]:
    """Variables that begin with LOGBRIDGE_ and are no setting, each told in a line on stderr."""
    names = unknown_variables(os.environ)
    for name in names:
        terminal.notice(f"{name} is no setting and does nothing; `logbridge config` lists what there is")
    return names


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class BridgeAddress:
    """Which bridge a command talks to."""

    url: Annotated[
        str | None,
        Parameter(help="The bridge's address (LOGBRIDGE_URL; without it this machine at PORT)."),
    ] = None


@Parameter(name="*", group=Group("Which logs", sort_key=5))
@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which logs: all that are given must hold."""

    service: Annotated[str | None, Parameter(help="Logs of this service.")] = None
    level: Annotated[str | None, Parameter(help="DEBUG, INFO, WARN, ERROR or FATAL.")] = None
    since: Annotated[str | None, Parameter(help="From this time on, RFC 3339: 2024-08-30T10:00:00Z.")] = None
    until: Annotated[str | None, Parameter(help="Up to this time, RFC 3339.")] = None
    trace_id: Annotated[str | None, Parameter(help="Logs of this trace.")] = None
    text: Annotated[str | None, Parameter(help="The message holds this text, letter case ignored.")] = None
    metadata: Annotated[
        tuple[str, ...], Parameter(help="key=value that the metadata holds; may be given again.", negative=())
    ] = ()


_QUERY_NAMES = {
    "service": "service_name",
    "level": "level",
    "since": "start_time",
    "until": "end_time",
    "trace_id": "trace_id",
    "text": "q",
}


def query_parameters(filters: Filters | None) -> dict[str, str]:
    """The filters under the names that the REST contract gives them. Raises UsageError."""
    if filters is None:
        return {}
    named = {query: getattr(filters, option) for option, query in _QUERY_NAMES.items()}
    wanted = {f"metadata.{key}": value for key, value in map(key_value, filters.metadata)}
    return {name: value for name, value in named.items() if value} | wanted


def key_value(text: str) -> tuple[str, str]:
    """``key=value`` as a pair; the value may hold further equals signs. Raises UsageError."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"{text!r}: expected key=value")
    return key, value
