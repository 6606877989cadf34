"""The batches of a stream: how large, how many at once, and what is counted when one is given back."""

import asyncio
from collections.abc import Sequence

import pytest

from logbridge.domain.errors import InvalidEntry
from logbridge.domain.outcome import Accepted, Failed, Outcome, Refused
from logbridge.entrypoints.http.batches import BATCH_BYTES_MAX, BATCHES_MAX, Batches, Draft
from logbridge.entrypoints.http.lines import Line

Kind = type[Accepted] | type[Failed] | type[Refused]
TOO_LONG = InvalidEntry("$", "too long")


class Peer:
    """Writes nothing until a batch is let go, each with its own outcomes. begun: batches, in order."""

    def __init__(self) -> None:
        self.begun: list[list[Draft]] = []
        self._answers: list[asyncio.Future[Kind]] = []

    async def write(self, drafts: list[Draft]) -> Sequence[Outcome]:
        self.begun.append(drafts)
        answer: asyncio.Future[Kind] = asyncio.Future()
        self._answers.append(answer)
        kind = await answer
        return [kind("") if kind is Accepted else kind("", "why") for _ in drafts]

    def answer(self, place: int, kind: Kind = Accepted) -> None:
        self._answers[place].set_result(kind)


def line(number: int, content: bytes | None = b'{"message":"a"}') -> Line:
    return Line(number, content)


async def begin(batches: Batches, *numbers: int) -> None:
    """Begin a batch of one line each."""
    for number in numbers:
        batches.add(line(number))
        await batches.begin(number)


async def test_a_batch_is_full_by_entries_and_by_bytes() -> None:
    """Whichever comes first; a line that was not kept is an entry that fails."""
    peer = Peer()
    batches = Batches(peer.write, 3, TOO_LONG)
    for number in (1, 2, 3):
        assert not batches.is_full
        batches.add(line(number, None))
    assert batches.is_full
    await batches.begin(3)
    assert batches.is_empty
    assert peer.begun == [[TOO_LONG] * 3]
    batches.add(line(4, b"x" * BATCH_BYTES_MAX))
    assert batches.is_full
    batches.drop()
    assert (batches.is_empty, batches.is_full) == (True, False)
    await batches.aclose()


async def test_so_many_at_once() -> None:
    """One more waits until the oldest has its answer, whatever has become of the others."""
    peer = Peer()
    batches = Batches(peer.write, 1, TOO_LONG)
    await begin(batches, *range(1, BATCHES_MAX + 1))
    more = asyncio.ensure_future(begin(batches, BATCHES_MAX + 1))
    peer.answer(1)
    await asyncio.sleep(0)
    assert (len(peer.begun), more.done(), batches.tally.lines_read) == (BATCHES_MAX, False, 0)
    peer.answer(0)
    await more
    assert len(peer.begun) == BATCHES_MAX + 1
    assert batches.tally.lines_read == 1
    await batches.aclose()


@pytest.mark.parametrize(
    ("kinds", "give_back", "counted"),
    [
        ((Accepted, Failed, Accepted), True, (3, 1)),
        ((Accepted, Failed, Failed), True, (1, 0)),
        ((Failed, Failed), True, (0, 0)),
        ((Failed, Refused), True, (2, 2)),
        ((Accepted, Failed), False, (2, 1)),
    ],
)
async def test_what_is_given_back(kinds: tuple[Kind, ...], give_back: bool, counted: tuple[int, int]) -> None:
    """The last batches of which nothing was written are not counted; one before a written one is."""
    peer = Peer()
    batches = Batches(peer.write, 1, TOO_LONG)
    await begin(batches, *range(1, len(kinds) + 1))
    for place, kind in enumerate(kinds):
        peer.answer(place, kind)
    await batches.finished()
    assert give_back is False or batches.give_back() == (kinds[-1] is Failed)
    await batches.settle()
    result = batches.tally.result()
    assert (result.lines_read, result.error_count) == counted


async def test_giving_up() -> None:
    """What is under way is cancelled, and nobody waits for it."""
    peer = Peer()
    batches = Batches(peer.write, 1, TOO_LONG)
    await begin(batches, 1, 2)
    await batches.aclose()
    assert all(answer.cancelled() for answer in peer._answers)
