"""The load: clients that write, singly and in batches, and tell the oracle every answer."""

import asyncio
import random
from collections.abc import Sequence
from random import Random
from typing import Any

import httpx
from msgspec import Struct

from tests.chaos.oracle import Issued, Oracle

CLIENTS = 8
ANSWER_TIMEOUT_S = 8.0
_ATTEMPTS_MAX = 3
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.1, 0.6  # sooner than Retry-After: the harder client
_BURST_WRITES = 12
_BURST_BATCH = 40


class _Answer(Struct, frozen=True):
    """status: 0 where none came. body: {} where it is no JSON object."""

    status: int
    body: dict[str, Any] = {}

    @property
    def meaning(self) -> str:
        if self.status in (200, 202):
            return "acknowledged"
        if self.status == 503:
            return "busy"
        return "unknown" if self.status in (0, 500, 504) else "refused"


class Load:
    """Writes to the bridge at ``url`` until told to stop.

    honours_ids: whether the log service behind it does; only then a client sends a log of unknown fate
    again. pace_s: the mean pause of a client between two requests.
    """

    def __init__(self, url: str, oracle: Oracle, rng: Random, *, honours_ids: bool, pace_s: float) -> None:
        self._url = url
        self._oracle = oracle
        self._rng = rng
        self._resends = {"busy", "unknown"} if honours_ids else {"busy"}
        self._pace_s = pace_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Until stop(); ends once every request has its answer."""
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(self._client(Random(self._rng.getrandbits(64))))

    def stop(self) -> None:
        """Begin no more requests."""
        self._stopping.set()

    async def _client(self, rng: Random) -> None:
        async with self._http() as http:
            while not self._stopping.is_set():
                await self._request(http, rng)
                await asyncio.sleep(min(rng.expovariate(1 / self._pace_s), 5 * self._pace_s))

    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self._url, timeout=ANSWER_TIMEOUT_S, trust_env=False)

    async def _request(self, http: httpx.AsyncClient, rng: Random) -> None:
        dice = rng.random()
        if dice < 0.7:
            await self._single(http, self._oracle.issue(rng), rng)
        elif dice < 0.99:
            await self._batch(http, [self._oracle.issue(rng) for _ in range(rng.randrange(1, 20))], rng)
        else:
            burst = [[self._oracle.issue(rng) for _ in range(_BURST_BATCH)] for _ in range(_BURST_WRITES)]
            await asyncio.gather(*(self._batch(http, issued, rng) for issued in burst))

    async def _single(self, http: httpx.AsyncClient, issued: Issued, rng: Random) -> None:
        for attempt in range(_ATTEMPTS_MAX):
            answer = await self._post(http, "write", issued.body, rng)
            if answer.meaning == "acknowledged":
                self._oracle.acknowledge(issued.log_id)
                return
            self._oracle.not_acknowledged(issued.log_id, answer.meaning)
            if answer.meaning not in self._resends or attempt + 1 == _ATTEMPTS_MAX:
                return
            if answer.meaning == "unknown":
                self._oracle.resent_ids.add(issued.log_id)
            await asyncio.sleep(rng.uniform(_PAUSE_MIN_S, _PAUSE_MAX_S))

    async def _batch(self, http: httpx.AsyncClient, issued: Sequence[Issued], rng: Random) -> None:
        answer = await self._post(http, "batch", {"log_entries": [each.body for each in issued]}, rng)
        results = answer.body.get("results") or [{}] * len(issued)
        again = []
        for each, result in zip(issued, results, strict=True):
            if answer.meaning == "acknowledged" and result.get("success"):
                self._oracle.acknowledge(each.log_id)
                continue
            self._oracle.not_acknowledged(each.log_id, _meaning_in_batch(answer))
            again.append(each)
        if "unknown" in self._resends and rng.random() < 0.5:
            for each in again[:3]:
                self._oracle.resent_ids.add(each.log_id)
                await self._single(http, each, rng)

    async def _post(self, http: httpx.AsyncClient, path: str, body: dict[str, Any], rng: Random) -> _Answer:
        headers = {"Request-Timeout": "1"} if rng.random() < 0.1 else {}
        try:
            response = await http.post(f"/api/v1/logs/{path}", json=body, headers=headers)
            answer = _read(response)
        except (httpx.TransportError, ValueError):
            answer = _Answer(0)
        self._oracle.saw(answer.status, answer.body.get("detail", ""))
        return answer


def _meaning_in_batch(answer: _Answer) -> str:
    """A batch does not say of an entry whether it may have been written: the careful reading."""
    sure = answer.meaning in ("busy", "refused") and "may have been" not in answer.body.get("detail", "")
    return answer.meaning if sure else "unknown"


def _read(response: httpx.Response) -> _Answer:
    """Raises ValueError for a body that is no JSON."""
    return _Answer(response.status_code, response.json())


async def fresh_write(url: str, oracle: Oracle) -> bool:
    """One more write, by a client that tries once."""
    issued = oracle.issue(random.Random(0))
    async with httpx.AsyncClient(base_url=url, timeout=ANSWER_TIMEOUT_S, trust_env=False) as http:
        try:
            response = await http.post("/api/v1/logs/write", json=issued.body)
        except httpx.TransportError:
            return False
    if response.is_success:
        oracle.acknowledge(issued.log_id)
    return response.is_success
