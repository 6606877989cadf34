"""Writers that go on until they are told to end; each log says its own number. And who tells what happens."""

import itertools
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import httpx

from tests.integration.processes import until
from tests.integration.served import API

WRITERS = 4
BATCH = 10


class Answer(NamedTuple):
    """What came of one batch. began_s, ended_s: monotonic. refused: its logs that were not acknowledged."""

    began_s: float
    ended_s: float
    refused: int


class Load:
    """``with Load(urls) as load``: batches to all of these bridges. durable: they ask for a 202."""

    def __init__(self, urls: list[str], *, durable: bool) -> None:
        self.acknowledged: set[str] = set()
        self.answers: list[Answer] = []
        self._headers = {"Prefer": "respond-async"} if durable else {}
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._name = "durable" if durable else "delivered"
        self._threads = [
            threading.Thread(target=self._write, args=(urls[number % len(urls)],))
            for number in range(WRITERS)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def sent(self) -> int:
        """Logs, in all batches that were answered."""
        return len(self.answers) * BATCH

    def more(self, count: int) -> None:
        """Returns once so many more logs are acknowledged."""
        before = len(self.acknowledged)
        until(lambda: len(self.acknowledged) >= before + count)

    def _write(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not self._stop.is_set():
                names = [f"{self._name} {next(self._numbers)}" for _ in range(BATCH)]
                entries = [{"message": name, "service_name": "cluster"} for name in names]
                began_s = time.monotonic()
                answer = client.post(f"{API}/batch", json={"log_entries": entries}, headers=self._headers)
                results = answer.json().get("results", ())
                kept = {name for name, result in zip(names, results, strict=False) if result["success"]}
                with self._lock:
                    self.answers.append(Answer(began_s, time.monotonic(), BATCH - len(kept)))
                    self.acknowledged |= kept


class Teller:
    """Tells what happens, as it happens, and keeps it in ``events``."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self.events: list[str] = []
        self._told = told

    def __call__(self, what: str) -> None:
        self.events.append(what)
        self._told(what)
