"""Two bridges behind a reverse proxy are restarted, one after the other, while clients write."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from logbridge.entrypoints.settings import Settings
from tests.integration.proxies import EACH, KINDS, Backend, Front, Kind, backend, binary_of, front
from tests.integration.served import API

CLIENTS = 4
BATCH = 3
# Answers of which a restart is to be among: before it, and after the last.
SOME = 50


class Writers:
    """Clients that keep their connections, and write logs by themselves and in batches, without a pause.

    acknowledged: the messages of logs that were. failed: what was answered otherwise, or not at all.
    stored: of their messages, once somebody looked.
    """

    def __init__(self, running: Front, name: str) -> None:
        self.acknowledged: list[str] = []
        self.failed: Counter[str] = Counter()
        self.stored: Counter[str] = Counter()
        self._running = running
        self._name = name
        self._over = asyncio.Event()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """From some answers before until some answers after the block."""
        async with asyncio.TaskGroup() as clients:
            for number in range(CLIENTS):
                clients.create_task(self._client(number))
            try:
                await self._some_more()
                yield
                await self._some_more()
            finally:
                self._over.set()

    async def _some_more(self) -> None:
        wanted = len(self.acknowledged) + self.failed.total() + SOME
        async with asyncio.timeout(30):
            while len(self.acknowledged) + self.failed.total() < wanted:  # noqa: ASYNC110 (a count)
                await asyncio.sleep(0.01)

    async def _client(self, number: int) -> None:
        async with httpx.AsyncClient(
            base_url=self._running.url, verify=self._running.behind.authority.trusted(), timeout=30
        ) as client:
            for turn in itertools.count():
                if self._over.is_set():
                    return
                await self._write(
                    client, f"{self._name}-{number}-{turn}", 1 if (number + turn) % 2 else BATCH
                )

    async def _write(self, client: httpx.AsyncClient, name: str, count: int) -> None:
        messages = [f"{name}-{index}" for index in range(count)]
        entries = [{"message": message} for message in messages]
        ask = ("write", entries[0]) if count == 1 else ("batch", {"log_entries": entries})
        try:
            answer = await client.post(f"{API}/{ask[0]}", json=ask[1])
        except httpx.TransportError as error:
            self.failed[repr(error)] += 1
            return
        if answer.status_code == 200 and not answer.json().get("error_count"):
            self.acknowledged += messages
        else:
            self.failed[f"{answer.status_code} {answer.text}"] += 1


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Writers]]:
    """The bridges behind every proxy that is here were restarted: what its writers saw, by its name."""
    folders = {kind: tmp_path_factory.mktemp(kind.name) for kind in KINDS if kind.binary()}
    notice_s = str(Settings().drain_notice_s)
    with contextlib.ExitStack() as stack:
        behind = stack.enter_context(
            backend(tmp_path_factory.mktemp("behind"), LOGBRIDGE_DRAIN_NOTICE_S=notice_s)
        )
        writers = {
            kind.name: Writers(stack.enter_context(front(kind, folder, behind)), kind.name)
            for kind, folder in folders.items()
        }
        asyncio.run(restart(behind, list(writers.values())))
        stored = Counter(behind.stored())
        for name, each in writers.items():
            each.stored = Counter({message: n for message, n in stored.items() if message.startswith(name)})
        yield writers


async def restart(behind: Backend, writers: list[Writers]) -> None:
    """Restart one bridge after the other, while all of them write."""
    async with contextlib.AsyncExitStack() as stack:
        for each in writers:
            await stack.enter_async_context(each.at_work())
        for number in range(2):
            await asyncio.to_thread(behind.stop, number)
            await asyncio.to_thread(behind.start, number)


@EACH
def test_a_rolling_restart_fails_no_request(kind: Kind, restarted: dict[str, Writers]) -> None:
    """No request fails, no acknowledged log is lost, and none is stored twice."""
    binary_of(kind)
    writers = restarted[kind.name]
    assert writers.failed == {}
    assert len(writers.acknowledged) > 2 * SOME
    assert writers.stored == Counter(writers.acknowledged)
