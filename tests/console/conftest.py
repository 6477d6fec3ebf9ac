"""A console with an engine, ready to be asked, on asyncio's own loop and on uvloop."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.console.live import Live, serve_all
from tests.loops import BOTH, Loops


def pytest_asyncio_loop_factories() -> Loops:
    """The loops that each test runs on."""
    return BOTH


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    """A console and an engine on one journal in memory."""
    async with serve_all() as running:
        yield running
