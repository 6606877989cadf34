"""Clients that write without a pause, and one that follows what is stored, while workers come and go."""

import contextlib
import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx

from tests.integration.processes import ALONE, DEADLINE_S, Bridge, until
from tests.integration.served import API

BATCH = 10
_FEW = 5


class Pouring:
    """What became of what the clients wrote. Some keep their connection; some write batches.

    acknowledged: messages that were. failed: what went wrong with the others. expected: the status of a write
    that is acknowledged.
    """

    def __init__(self, running: Bridge, *, expected: int = 200) -> None:
        self.acknowledged: list[str] = []
        self.failed: list[str] = []
        self._url = running.client.base_url
        self._expected = expected
        self._enough = threading.Event()

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """From the first acknowledged logs of each client on until the end of the block, and some more."""
        kinds = list(itertools.product((True, False), repeat=2))
        answered = Counter[str]()
        clients = [threading.Thread(target=self._write, args=(*kind, answered)) for kind in kinds]
        for client in clients:
            client.start()
        try:
            self._go_on(answered)
            yield
            self._go_on(answered)
        finally:
            self._enough.set()
            for client in clients:
                client.join(DEADLINE_S)

    def _go_on(self, answered: Counter[str]) -> None:
        before = answered.copy()
        until(lambda: all(answered[name] >= before[name] + _FEW for name in _NAMES))

    def _write(self, kept: bool, single: bool, answered: Counter[str]) -> None:
        name = _name(kept, single)
        with httpx.Client(base_url=self._url, timeout=DEADLINE_S) as client:
            for number in itertools.count():
                if self._enough.is_set():
                    return
                messages = [f"{name} {number}.{part}" for part in range(1 if single else BATCH)]
                try:
                    answer = self._post(client, messages, {} if kept else ALONE)
                except httpx.TransportError as error:
                    self.failed.append(f"{messages[0]}: {error!r}")
                    continue
                if answer.status_code == self._expected:
                    self.acknowledged += messages
                    answered[name] += 1
                else:
                    self.failed.append(f"{messages[0]}: {answer.status_code} {answer.text}")

    def _post(self, client: httpx.Client, messages: list[str], headers: dict[str, str]) -> httpx.Response:
        logs = [{"message": message, "service_name": "s"} for message in messages]
        if len(logs) == 1:
            return client.post(f"{API}/write", json=logs[0], headers=headers)
        return client.post(f"{API}/batch", json={"log_entries": logs}, headers=headers)


def _name(kept: bool, single: bool) -> str:
    return f"{'kept' if kept else 'alone'} {'single' if single else 'batch'}"


_NAMES = [_name(kept, single) for kept, single in itertools.product((True, False), repeat=2)]


def all_stored(running: Bridge) -> list[str]:
    """The messages of all logs that the log service has, as an export tells them; none while it cannot."""
    answer = running.client.get(f"{API}/export", headers=ALONE)
    if answer.status_code != 200:
        return []
    return [json.loads(line)["message"] for line in answer.text.splitlines()]


class Following:
    """A client of the tail, which connects again with the last id that it saw, as browsers do."""

    def __init__(self, running: Bridge) -> None:
        self.seen: list[str] = []
        self.connections = 0
        self._running = running
        self._url = running.client.base_url
        self._last: dict[str, str] = {}
        self._enough = threading.Event()

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """From the moment on in which it follows; after the block one log more ends it."""
        follower = threading.Thread(target=self._follow)
        follower.start()
        try:
            until(lambda: self._last)
            yield
        finally:
            self._enough.set()
            self._running.write("enough", ALONE)
            follower.join(DEADLINE_S)

    def _follow(self) -> None:
        with httpx.Client(base_url=self._url, timeout=DEADLINE_S) as client:
            while not self._enough.is_set():
                self.connections += 1
                with (
                    contextlib.suppress(httpx.RemoteProtocolError),
                    client.stream("GET", f"{API}/tail", headers=self._last) as answer,
                ):
                    for line in answer.iter_lines():
                        self._hear(line)
                        if self._enough.is_set():
                            return

    def _hear(self, line: str) -> None:
        field, _, value = line.partition(": ")
        if field == "id":
            self._last = {"Last-Event-ID": value}
        elif field == "data":
            log: dict[str, Any] = json.loads(value)
            self.seen.append(log["message"])
