"""Shipping batches to a bridge until each line has its answer: accepted, or failed with its reason."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx

from logbridge.entrypoints.commands import bridge
from logbridge.entrypoints.commands.ending import BridgeNotReached, CommandFailed

ATTEMPTS_MAX = 8
_BACKOFF_FIRST_S = 0.25
_BACKOFF_MAX_S = 10.0
_RETRY_AFTER_MAX_S = 60.0
_COME_AGAIN = (429, 503, 504)
_TOO_MUCH = (400, 413)


class Item(NamedTuple):
    """One line on its way. number: of the line. entry: JSON."""

    number: int
    entry: bytes


class Rejected(NamedTuple):
    """A line that the bridge or the log service does not take."""

    number: int
    reason: str


class Shipper:
    """Sends batches to one bridge, each until it is answered; the lines' ids make sending again harmless."""

    def __init__(
        self, client: httpx.Client, url: str, path: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._url = url
        self._path = path
        self._sleep = sleep

    def ship(self, items: Sequence[Item]) -> list[Rejected]:
        """Send a batch; gives the lines that were rejected, all others are stored.

        Raises BridgeNotReached or CommandFailed when the bridge is away or busy for longer than the retries.
        """
        rejected: list[Rejected] = []
        waiting = [list(items)]
        while waiting:
            batch = waiting.pop()
            response = self._answer(batch)
            again, refused = _sort(batch, response)
            waiting += again
            rejected += refused
        return sorted(rejected)

    def _answer(self, batch: Sequence[Item]) -> httpx.Response:
        """The first answer that is not "come again later"."""
        content = b'{"log_entries":[' + b",".join(item.entry for item in batch) + b"]}"
        for attempt in range(ATTEMPTS_MAX):
            last = attempt == ATTEMPTS_MAX - 1
            try:
                response = self._client.post(
                    self._path, content=content, headers={"content-type": "application/json"}
                )
            except httpx.TransportError as error:
                if last:
                    raise BridgeNotReached(bridge.not_reached(self._url, error)) from None
                self._sleep(_backoff_s(attempt))
                continue
            if response.status_code not in _COME_AGAIN:
                return response
            if not last:
                self._sleep(max(_backoff_s(attempt), _retry_after_s(response)))
        reason = bridge.reason_of(bridge.body_of(response), response.status_code)
        raise CommandFailed(f"gave up after {ATTEMPTS_MAX} attempts: {reason}")


def _sort(batch: list[Item], response: httpx.Response) -> tuple[list[list[Item]], list[Rejected]]:
    """What an answer leaves to do: batches to send, and lines that are rejected for good."""
    body = bridge.body_of(response)
    results = body.get("results")
    status = response.status_code
    if isinstance(results, list) and len(results) == len(batch):
        return _by_entry(batch, results, final=status != 200)
    reason = bridge.reason_of(body, status)
    if status in _TOO_MUCH or status == 422:
        return _halves(batch, reason)
    raise CommandFailed(f"the bridge refused the batch: {reason}")


def _by_entry(
    batch: list[Item], results: list[dict[str, Any]], *, final: bool
) -> tuple[list[list[Item]], list[Rejected]]:
    failed = [(item, result) for item, result in zip(batch, results, strict=True) if not result["success"]]
    if final:
        return [], [Rejected(item.number, str(result["error_message"])) for item, result in failed]
    # In a batch that was accepted in part, an answer does not say which failures would pass: on their own,
    # they take a status that does.
    return [[item for item, _ in failed]] if failed else [], []


def _halves(batch: list[Item], reason: str) -> tuple[list[list[Item]], list[Rejected]]:
    if len(batch) == 1:
        return [], [Rejected(batch[0].number, reason)]
    middle = len(batch) // 2
    return [batch[middle:], batch[:middle]], []


def _backoff_s(attempt: int) -> float:
    return min(_BACKOFF_FIRST_S * 2.0**attempt, _BACKOFF_MAX_S)


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return min(float(response.headers.get("retry-after", "0")), _RETRY_AFTER_MAX_S)
    except ValueError:  # an HTTP date: our own backoff does
        return 0.0
