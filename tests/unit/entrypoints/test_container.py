from collections.abc import AsyncIterator

import pytest

from logbridge.adapters.memory import MemorySink
from logbridge.domain.entry import classify
from logbridge.domain.outcome import Accepted
from logbridge.domain.ports import LogSink
from logbridge.entrypoints.container import Container, close
from logbridge.entrypoints.settings import Settings
from logbridge.entrypoints.stores import open_store
from tests.factories import coalesces
from tests.sink_contract import SinkContract


@pytest.mark.usefixtures("each_way")
class TestDeliveredChain(SinkContract):
    """The contract suite over the whole chain, as the container builds it."""

    reads_back = False
    follows = False

    @pytest.fixture
    async def sink(self) -> AsyncIterator[LogSink]:
        container = Container(Settings(coalesce=coalesces()), MemorySink())
        chain = container.delivered
        yield chain
        await chain.aclose()


async def test_a_test_sets_the_sink_in_one_line() -> None:
    """What is set is what every write goes to, and what closing closes."""
    container = Container(Settings())
    container.sink = sink = MemorySink()
    assert isinstance(await container.bridge.write(classify({"message": "m", "log_id": "a"})), Accepted)
    assert [entry.id for entry in sink.entries] == ["a"]
    await close(container)
    assert sink.closed


def test_a_store_in_memory() -> None:
    """memory:// is a store, too."""
    assert isinstance(open_store(Settings(store="memory://")), MemorySink)
