"""The statistics of a bridge, as `logbridge top` follows them: each second, and again after it was lost."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

import httpx
import msgspec
from httpx_sse import SSEError, aconnect_sse
from msgspec import Struct

from logbridge.entrypoints.commands import bridge
from logbridge.entrypoints.commands.ending import BridgeNotReached, CommandFailed
from logbridge.entrypoints.http.stats import Point, Stats
from logbridge.entrypoints.pulse import HISTORY_S
from logbridge.entrypoints.settings import load, shown

_PAUSES_S = (0.5, 1.0, 2.0, 5.0)  # between attempts to connect again; the last one stays
_SILENCE_MAX_S = 10.0  # the bridge says something each second
_AWAY = (429, 502, 503, 504)
_PARAMETERS = {"history": str(HISTORY_S)}


class Lost(Struct, frozen=True):
    """The bridge is not reached. why: for people. again_s: seconds until the next attempt."""

    why: str
    again_s: float


class Watched:
    """What is known of a bridge. look: the newest. points: its last 300 seconds, by their times."""

    def __init__(self, look: Stats) -> None:
        self.points: dict[int, Point] = {}
        self.see(look)

    def see(self, look: Stats) -> None:
        """A new look: its seconds are added to those that are known."""
        self.look = look
        self.points |= {point.time: point for point in look.performance.history}
        # By the look's own time: the clock of a bridge may have been set back.
        newest = max((point.time for point in look.performance.history), default=max(self.points, default=0))
        kept = range(newest - HISTORY_S + 1, newest + 1)
        self.points = {time: point for time, point in self.points.items() if time in kept}

    def copy(self) -> "Watched":
        """What is known now, and stays so."""
        same = Watched(self.look)
        same.points = dict(self.points)
        return same


def ask_once(url: str) -> bytes:
    """One look, as the JSON of Stats. Raises BridgeNotReached, CommandFailed."""
    with bridge.connected(url) as client:
        response = client.get(bridge.api_path("stats"), params=_PARAMETERS)
    if response.status_code != 200:
        raise _refused(response)
    return response.content


async def follow(url: str, pauses_s: Sequence[float] = _PAUSES_S) -> AsyncGenerator[str | Lost, None]:
    """A look each second, as the JSON of Stats; Lost whenever the bridge is not reached any more.

    Raises BridgeNotReached if it never was, CommandFailed if it refuses.
    """
    attempt, stood = 0, False
    timeout = httpx.Timeout(5.0, read=_SILENCE_MAX_S)
    async with httpx.AsyncClient(**bridge.client_options(url) | {"timeout": timeout}) as client:
        while True:
            why = "it ended the connection"
            try:
                async with contextlib.aclosing(_events(client, stood)) as events:
                    async for data in events:
                        attempt, stood = 0, True
                        yield data
            except (httpx.TransportError, SSEError) as error:
                if not stood:
                    raise BridgeNotReached(bridge.not_reached(url, error)) from None
                why = str(error) or type(error).__name__
            lost = Lost(why, pauses_s[min(attempt, len(pauses_s) - 1)])
            attempt += 1
            yield lost
            await asyncio.sleep(lost.again_s)


async def _events(client: httpx.AsyncClient, stood: bool) -> AsyncGenerator[str, None]:
    async with aconnect_sse(client, "GET", bridge.api_path("stats"), params=_PARAMETERS) as source:
        response = source.response
        if response.status_code != 200:
            await response.aread()
            if stood and response.status_code in _AWAY:
                raise SSEError(f"HTTP {response.status_code}")
            raise _refused(response)
        async for event in source.aiter_sse():
            if event.data:
                yield event.data


def _refused(response: httpx.Response) -> CommandFailed:
    """The error for a bridge that shows no statistics: what it says, and what to do."""
    status = response.status_code
    if status == 404:
        url = shown("url", str(response.request.url.copy_with(query=None)))
        return CommandFailed(
            f"{url} is not there: the bridge is older than `logbridge top`, or has another prefix"
        )
    reason = bridge.reason_of(bridge.body_of(response), status)
    if status == 401:
        return CommandFailed(f"{reason}; statistics need the scope read")
    if status == 403 and load().key:
        return CommandFailed(f"{reason}: set LOGBRIDGE_KEY to one that has it")
    return CommandFailed(reason)


def decoded(data: str | bytes) -> Stats:
    """The statistics of an event or an answer. Raises CommandFailed."""
    try:
        return msgspec.json.decode(data, type=Stats)
    except msgspec.DecodeError as error:
        raise CommandFailed(
            f"the bridge sent statistics that cannot be read ({error}): is it of another version?"
        ) from None
