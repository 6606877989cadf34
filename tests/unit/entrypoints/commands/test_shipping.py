"""Shipping batches: what goes again, what is rejected, when it gives up."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from logbridge.entrypoints.commands.ending import BridgeNotReached, CommandFailed
from logbridge.entrypoints.commands.shipping import ATTEMPTS_MAX, Item, Rejected, Shipper

Answer = Callable[[list[Any]], httpx.Response]


class Shipped:
    """A shipper in front of scripted answers; keeps what was sent and how long it slept."""

    def __init__(self, answers: Iterator[Answer]) -> None:
        self.batches: list[list[str]] = []
        self.slept_s: list[float] = []
        self._answers = answers

    def _handle(self, request: httpx.Request) -> httpx.Response:
        entries = msgspec.json.decode(request.content)["log_entries"]
        self.batches.append([entry["message"] for entry in entries])
        return next(self._answers)(entries)

    def ship(self, *messages: str) -> list[Rejected]:
        """Ship a batch of these messages."""
        items = [Item(n, msgspec.json.encode({"message": m})) for n, m in enumerate(messages, start=1)]
        with httpx.Client(transport=httpx.MockTransport(self._handle), base_url="http://bridge") as client:
            return Shipper(client, "http://bridge", "/batch", self.slept_s.append).ship(items)


def results(status: int, bad: str = "") -> Answer:
    """An answer with one result for each entry; the messages in ``bad`` failed."""

    def answer(entries: list[Any]) -> httpx.Response:
        made = [
            {
                "success": entry["message"] not in bad,
                "log_id": "i",
                "error_message": f"bad {entry['message']}",
            }
            for entry in entries
        ]
        return httpx.Response(status, json={"results": made})

    return answer


def problem(status: int, **headers: str) -> Answer:
    """An answer without results."""
    return lambda _: httpx.Response(status, json={"detail": "why"}, headers=headers)


def away(_: list[Any]) -> httpx.Response:
    """No connection."""
    raise httpx.ConnectError("refused")


def test_accepted_batch_is_done() -> None:
    """One request for a batch that is accepted."""
    shipped = Shipped(iter([results(200)]))
    assert shipped.ship("a", "b") == []
    assert shipped.batches == [["a", "b"]]


def test_failures_go_again_alone_until_their_status_is_final() -> None:
    """What failed in a batch accepted in part goes again by itself; a final status rejects it."""
    shipped = Shipped(iter([results(200, "bc"), results(503, "bc"), results(200, "c"), results(422, "c")]))
    assert shipped.ship("a", "b", "c") == [Rejected(3, "bad c")]
    assert shipped.batches == [["a", "b", "c"], ["b", "c"], ["b", "c"], ["c"]]


def test_batch_that_is_too_much_is_halved() -> None:
    """A batch over a limit is halved until the guilty line stands alone."""
    shipped = Shipped(iter([problem(413), results(200), problem(400)]))
    assert shipped.ship("a", "b") == [Rejected(2, "why")]


def test_retry_after_is_honoured() -> None:
    """The wait is at least what the bridge asked for; a date there counts as nothing."""
    shipped = Shipped(
        iter(
            [
                problem(503, **{"retry-after": "7"}),
                problem(503, **{"retry-after": "soon"}),
                away,
                results(200),
            ]
        )
    )
    assert shipped.ship("a") == []
    assert shipped.slept_s == [7.0, 0.5, 1.0]


@pytest.mark.parametrize(("answer", "error"), [(away, BridgeNotReached), (problem(503), CommandFailed)])
def test_it_gives_up(answer: Answer, error: type[CommandFailed]) -> None:
    """Retries are bounded, and the error says what stood in the way."""
    shipped = Shipped(iter([answer] * ATTEMPTS_MAX))
    with pytest.raises(error):
        shipped.ship("a")
    assert len(shipped.slept_s) == ATTEMPTS_MAX - 1


def test_refused_client_stops_the_import() -> None:
    """An answer that concerns the client and not the lines ends the import."""
    with pytest.raises(CommandFailed, match="refused the batch: why"):
        Shipped(iter([problem(403)])).ship("a")
