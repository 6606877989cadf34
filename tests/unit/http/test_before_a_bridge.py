"""The client before the bridge's own application: what our bridge answers is read as it is meant."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from logbridge import MemorySink, accept, fail, lose, refuse
from logbridge.entrypoints.container import Container
from logbridge.entrypoints.http.app import create_app
from logbridge.http import AsyncClient, BridgeError, OutcomeUnknown, Refused, Unavailable
from tests.unit.entrypoints.http.serving import FAST


@asynccontextmanager
async def before(sink: MemorySink, **settings: Any) -> AsyncIterator[AsyncClient]:
    """A client of a bridge over ``sink``."""
    app = create_app(Container(FAST, sink))
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 5000))
    async with (
        app.router.lifespan_context(app),
        AsyncClient("http://localhost", transport=transport, **settings) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("step", "error"), [(refuse("why"), Refused), (fail("why"), Unavailable), (lose("why"), OutcomeUnknown)]
)
async def test_a_write(step: Any, error: type[BridgeError]) -> None:
    """What the log service did with a log is the error that says so, with the id and the reason."""
    async with before(MemorySink(script=[step]), retry_s=0) as client:
        with pytest.raises(error, match="why") as raised:
            await client.write("m", log_id="mine")
        assert raised.value.log_id == "mine"


async def test_a_batch_that_is_refused_is_not_sent_again() -> None:
    """502 of the bridge for a batch: each log has its reason, and each was tried once."""
    sink = MemorySink(script=[refuse("one"), refuse("two")])
    async with before(sink) as client:
        result = await client.write_batch([{"message": "a"}, {"message": "b"}])
        assert result.errors == ["Entry 0: one", "Entry 1: two"]
        assert sink.entries == []


async def test_a_doubt_behind_a_503() -> None:
    """The status of a batch is that of its gravest log; that another may be written is told all the same."""
    async with before(MemorySink(script=[fail("away"), lose("lost")]), retry_s=0) as client:
        with pytest.raises(OutcomeUnknown) as raised:
            await client.write_batch([{"message": "a"}, {"message": "b"}])
        assert len(raised.value.log_ids) == 2


async def test_a_batch_in_part_is_mended() -> None:
    """What failed goes again by itself, what was stored does not: in the end each is there once."""
    sink = MemorySink(script=[accept, fail("away"), refuse("bad"), lose("lost")])
    async with before(sink, jitter=lambda: 0.0, sleep=no_pause) as client:
        result = await client.write_batch({"message": letter} for letter in "abcd")
        assert [each.success for each in result.results] == [True] * 4
        assert sorted(entry.message for entry in sink.entries) == ["a", "b", "c", "d"]


async def no_pause(_: float) -> None:
    """Time is not the point."""


async def test_a_closed_client_says_so() -> None:
    """After aclose() no call opens connections that nobody would close."""
    async with before(MemorySink()) as client:
        assert (await client.write("m")).success
        assert await client.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await client.write("m")
        assert not client.log("m")
