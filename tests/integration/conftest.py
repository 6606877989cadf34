"""Fixtures of tests in a browser."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page

from tests.integration.browser import Visit
from tests.integration.console import visits


@pytest.fixture
async def visit() -> AsyncIterator[Visit]:
    """A page of a headless browser."""
    async with visits() as visit:
        yield visit


@pytest.fixture
def page(visit: Visit) -> Page:
    """The same, where only the page matters."""
    return visit.page
