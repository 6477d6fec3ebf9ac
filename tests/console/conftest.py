"""A console with an engine, ready to be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.console.live import Live, serve_all


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    """A console and an engine on one journal in memory."""
    async with serve_all() as running:
        yield running
