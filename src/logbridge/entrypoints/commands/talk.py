"""write and query: one request each to a running bridge."""

from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.text import Text

from logbridge.domain.entry import BUSINESS_FIELDS, KNOWN_FIELDS
from logbridge.entrypoints.commands import bridge, terminal
from logbridge.entrypoints.commands.ending import CommandFailed, Exit, UsageError
from logbridge.entrypoints.commands.options import (
    BridgeAddress,
    Filters,
    key_value,
    query_parameters,
)

_NUMBERS = frozenset(BUSINESS_FIELDS) - {"monitor_type"}


def write(
    message: str,
    /,
    *fields: str,
    level: str = "INFO",
    service: str | None = None,
    trace_id: str | None = None,
    span_id: str | None = None,
    timestamp: str | None = None,
    log_id: str | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    address: BridgeAddress | None = None,
) -> Exit:
    """Write one log, and print the id that it is stored under.

    Example: logbridge write "order paid" --level INFO --service shop adv_id=1234567 user_id=user123

    Parameters
    ----------
    message
        The log line.
    fields
        key=value, as many as you like. adv_id, aweme_id, plan_id and co_id are numbers, the rest is text.
    level
        DEBUG, INFO, WARN, ERROR or FATAL.
    service
        Who logs.
    trace_id
        The trace that the log belongs to.
    span_id
        The span that the log belongs to.
    timestamp
        The log's time, RFC 3339; without it the time of arrival.
    log_id
        Your own id: the same log written twice under it is stored once.
    json
        Print the whole answer as JSON.
    """
    named = {
        "message": message,
        "level": level,
        "service_name": service,
        "trace_id": trace_id,
        "span_id": span_id,
        "timestamp": timestamp,
        "log_id": log_id,
    }
    entry = {name: value for name, value in named.items() if value is not None} | _fields(fields)
    url = bridge.url_of(address)
    with bridge.connected(url) as client:
        response = client.post(bridge.api_path("write"), json=entry)
    body = bridge.body_of(response)
    return _written(body, response.status_code, as_json=json)


def _written(body: dict[str, Any], status: int, *, as_json: bool) -> Exit:
    written = body.get("success") is True
    if as_json:
        terminal.json_line(body)
    elif written:
        terminal.line(terminal.printable(str(body.get("log_id", ""))))
    if not written:
        terminal.notice(f"not written: {bridge.reason_of(body, status)}")
    return Exit.FINE if written else Exit.FAILED


def _fields(texts: tuple[str, ...]) -> dict[str, Any]:
    pairs = [key_value(text) for text in texts]
    for key, _ in pairs:
        if key in KNOWN_FIELDS and key not in BUSINESS_FIELDS:
            raise UsageError(
                f"{key} is a log field and has an option of its own, see `logbridge write --help`"
            )
    return {key: _value(key, value) for key, value in pairs}


def _value(key: str, text: str) -> str | int:
    if key not in _NUMBERS:
        return text
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{key}={text}: expected a whole number") from None


def query(
    *,
    filters: Filters | None = None,
    limit: int = 100,
    offset: int = 0,
    json: Annotated[bool, Parameter(negative=())] = False,
    address: BridgeAddress | None = None,
) -> Exit:
    """Show stored logs, newest first.

    Example: logbridge query --service shop --level ERROR --metadata user_id=user123

    Parameters
    ----------
    limit
        The most logs to show, 1 to 1000.
    offset
        Logs to pass over, for the next page.
    json
        Print the whole answer as JSON.
    """
    parameters = query_parameters(filters) | {"limit": str(limit), "offset": str(offset)}
    with bridge.connected(bridge.url_of(address)) as client:
        response = client.get(bridge.api_path("query"), params=parameters)
    body = bridge.body_of(response)
    if json:
        terminal.json_line(body)
    if response.status_code != 200:
        raise failed_question(body, response.status_code)
    if not json:
        _show(body["logs"], body["total_count"], offset)
        for missing in body.get("missing", ()):
            terminal.notice(f"not asked: {missing}")
    return Exit.FINE


def failed_question(body: dict[str, Any], status: int) -> CommandFailed:
    """The error for a question that was not answered: a wrong one is a usage error."""
    reason = bridge.reason_of(body, status)
    return UsageError(reason) if status in (400, 422) else CommandFailed(reason)


def _show(logs: list[dict[str, Any]], total: int, offset: int) -> None:
    rows = [_row(log) for log in logs]
    last = offset + len(logs)
    title = f"{offset + 1} to {last} of {total}" if logs else f"none of {total}"
    terminal.table(f"Logs {title}", ["Time", "Level", "Service", "Message", "More"], rows)


def _row(log: dict[str, Any]) -> list[str | Text]:
    return [
        str(log["timestamp"]),
        terminal.styled_level(str(log["level"])),
        str(log["service_name"]),
        str(log["message"]),
        more_of(log),
    ]


def more_of(log: dict[str, Any]) -> str:
    """Trace, span and metadata of a log, as key=value."""
    pairs = {"trace_id": log.get("trace_id"), "span_id": log.get("span_id"), **log.get("metadata", {})}
    return " ".join(f"{key}={_quoted(str(value))}" for key, value in pairs.items() if value not in ("", None))


def _quoted(value: str) -> str:
    return msgspec.json.encode(value).decode() if not value or any(map(str.isspace, value)) else value
