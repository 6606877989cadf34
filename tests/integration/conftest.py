"""Fixtures of tests in a browser, and the patience of tests on a busy machine."""

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Page

from logbridge.adapters.grpc import sink as grpc_sink
from logbridge.adapters.otlp import http_sink
from logbridge.adapters.otlp import sink as otlp_sink
from tests.integration.browser import Visit
from tests.integration.console import visits

PATIENCE_S = 60.0


@pytest.fixture(autouse=True, scope="session")
def _patience_with_peers() -> Iterator[None]:
    """A peer on a machine that stands still is not a silent one: what asks from this process waits for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpc_sink, "CHECK_TIMEOUT_S", PATIENCE_S)
        patch.setattr(otlp_sink, "CHECK_TIMEOUT_S", PATIENCE_S)
        patch.setattr(http_sink, "KEEPALIVE_S", PATIENCE_S)
        yield


@pytest.fixture
async def visit() -> AsyncIterator[Visit]:
    """A page of a headless browser."""
    async with visits() as visit:
        yield visit


@pytest.fixture
def page(visit: Visit) -> Page:
    """The same, where only the page matters."""
    return visit.page
