"""tail: new logs as they are stored, over server-sent events."""

import time
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import msgspec
from cyclopts import Parameter
from httpx_sse import ServerSentEvent, SSEError, connect_sse

from logbridge.entrypoints.commands import bridge, terminal
from logbridge.entrypoints.commands.ending import BridgeNotReached, CommandFailed, Exit
from logbridge.entrypoints.commands.options import BridgeAddress, Filters, query_parameters
from logbridge.entrypoints.commands.talk import failed_question, more_of

_RECONNECT_S = 1.0
_SILENCE_MAX_S = 60.0  # the bridge says something every 15 s, if only that it is there
_AWAY = (429, 502, 503, 504)


def tail(
    *,
    filters: Filters | None = None,
    count: int | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    address: BridgeAddress | None = None,
) -> Exit:
    """Follow new logs until Ctrl-C. A lost connection is taken up again where it broke.

    Example: logbridge tail --service shop --level ERROR

    Parameters
    ----------
    count
        End after this many logs.
    json
        Print each log as a line of JSON (NDJSON).
    """
    parameters = query_parameters(filters)
    show = terminal.json_line if json else _show
    try:
        for number, log in enumerate(follow(bridge.url_of(address), parameters), start=1):
            show(log)
            if number == count:
                break
    except KeyboardInterrupt:
        pass
    return Exit.FINE


def _show(log: dict[str, Any]) -> None:
    parts = (log["timestamp"], f"{log['level']:<5}", log["service_name"], log["message"], more_of(log))
    terminal.line(terminal.printable(" ".join(map(str, parts)).rstrip()))


def follow(url: str, parameters: dict[str, str], pause_s: float = _RECONNECT_S) -> Iterator[dict[str, Any]]:
    """New logs without end; reconnects after the last one seen, once a first connection stood.

    Raises BridgeNotReached if the first connection fails, CommandFailed if the bridge refuses the question.
    """
    last_id = ""
    stood = False
    timeout = httpx.Timeout(5.0, read=_SILENCE_MAX_S)
    with httpx.Client(**bridge.client_options(url) | {"timeout": timeout}) as client:
        while True:
            try:
                for event in _events(client, parameters, last_id):
                    stood = True
                    last_id = event.id or last_id
                    yield from _logs(event)
            except (httpx.TransportError, SSEError) as error:
                if not stood:
                    raise BridgeNotReached(bridge.not_reached(url, error)) from None
            terminal.notice(f"the connection to {url} ended, connecting again")
            time.sleep(pause_s)


def _events(client: httpx.Client, parameters: dict[str, str], last_id: str) -> Iterator[ServerSentEvent]:
    headers = {"last-event-id": last_id} if last_id else {}
    with connect_sse(client, "GET", bridge.api_path("tail"), params=parameters, headers=headers) as source:
        response = source.response
        if response.status_code != 200:
            _refuse(response, resuming=bool(last_id))
            return
        yield ServerSentEvent()  # the connection stands, even if no log ever comes
        yield from source.iter_sse()


def _refuse(response: httpx.Response, *, resuming: bool) -> None:
    if resuming and response.status_code in _AWAY:
        return
    response.read()
    raise failed_question(bridge.body_of(response), response.status_code)


def _logs(event: ServerSentEvent) -> Iterator[dict[str, Any]]:
    if not event.data:
        return
    try:
        data = msgspec.json.decode(event.data)
    except msgspec.DecodeError:
        raise CommandFailed(f"the bridge sent an event that is not JSON: {event.data[:80]!r}") from None
    if isinstance(data, dict) and "message" in data:
        yield data
