"""Clients of both kinds before a bridge that answers from a script; time passes in their pauses only."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from inspect import isasyncgen
from itertools import islice
from typing import Any

import httpx
import respx

from logbridge.domain.outcome import Outcome
from logbridge.http import AsyncClient, Client

URL = "http://bridge.example"
API = f"{URL}/api/v1/logs"


class Scripted:
    """A client whose requests go to ``router``. pauses: how long it waited, in order. kind: sync or async."""

    def __init__(self, kind: str, url: str = URL, **settings: Any) -> None:
        self.router = respx.MockRouter(assert_all_called=False)
        self.pauses: list[float] = []
        self._now_s = 1000.0
        given: dict[str, Any] = {"monotonic": lambda: self._now_s, "jitter": lambda: 1.0, **settings}
        self._client: Client | AsyncClient
        if kind == "sync":
            given.setdefault("transport", httpx.MockTransport(self.router.handler))
            self._client = Client(url, sleep=self._pause, **given)
        else:
            given.setdefault("transport", httpx.MockTransport(self.router.async_handler))
            self._client = AsyncClient(url, sleep=self._pause_async, **given)

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._now_s += seconds

    async def _pause_async(self, seconds: float) -> None:
        self._pause(seconds)

    def call(self, name: str, *arguments: Any, **fields: Any) -> Any:
        """What the call answers; a list of what it gives one by one."""
        if isinstance(self._client, Client):
            answer = getattr(self._client, name)(*arguments, **fields)
            return list(answer) if isinstance(answer, Iterator) else answer
        return asyncio.run(_awaited(getattr(self._client, name), arguments, fields))

    def some(self, count: int, name: str, **fields: Any) -> list[Any]:
        """The first so many that the call gives, which it is left after."""
        if isinstance(self._client, Client):
            return list(islice(getattr(self._client, name)(**fields), count))
        return asyncio.run(_some(getattr(self._client, name)(**fields), count))

    def write_once(self, entries: Sequence[dict[str, Any]]) -> list[Outcome]:
        """What the background is told of a batch."""
        return self._client._write_once(entries)

    def bodies(self) -> list[Any]:
        """The JSON of all requests so far."""
        return [json.loads(content_of(call.request)) for call in self.router.calls]


def content_of(request: httpx.Request) -> bytes:
    """The body of a request as the bridge reads it."""
    compressed = request.headers.get("content-encoding") == "gzip"
    return gzip.decompress(request.content) if compressed else request.content


async def _awaited(call: Callable[..., Any], arguments: Any, fields: Any) -> Any:
    answer = call(*arguments, **fields)
    return [item async for item in answer] if isasyncgen(answer) else await answer


async def _some(items: AsyncIterator[Any], count: int) -> list[Any]:
    found: list[Any] = []
    async for item in items:
        found.append(item)
        if len(found) == count:
            await items.aclose()  # type: ignore[attr-defined]  # an async generator, though not by its type
            break
    return found


def written(request: httpx.Request) -> httpx.Response:
    """The bridge took the log."""
    log_id = json.loads(content_of(request))["log_id"]
    return httpx.Response(200, json={"success": True, "log_id": log_id, "error_message": ""})


def results(status: int = 200, bad: str = "") -> Callable[[httpx.Request], httpx.Response]:
    """An answer to a batch, with one result for each entry; the messages in ``bad`` failed."""

    def answer(request: httpx.Request) -> httpx.Response:
        rows = [
            {
                "success": entry["message"] not in bad,
                "log_id": entry["log_id"],
                "error_message": f"bad {entry['message']}" if entry["message"] in bad else "",
            }
            for entry in json.loads(content_of(request))["log_entries"]
        ]
        return httpx.Response(status, json={"detail": "why", "results": rows})

    return answer


def problem(status: int, headers: dict[str, str] | None = None, **members: Any) -> httpx.Response:
    """A problem of the bridge."""
    body = {"type": "about:blank", "title": "Title", "status": status, "detail": "why", **members}
    return httpx.Response(status, json=body, headers=headers)


def record(number: int, second: int | None = None) -> dict[str, Any]:
    """A stored log as the bridge shows it."""
    moment = f"2024-08-30T10:{(second or number) // 60:02}:{(second or number) % 60:02}Z"
    texts = {"service_name": "shop", "level": "INFO", "trace_id": "", "span_id": ""}
    return {"id": f"i{number}", "message": f"m{number}", "timestamp": moment, "metadata": {}, **texts}
