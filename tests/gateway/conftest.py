"""Everything here runs on asyncio's own loop and on uvloop: their transports differ where it matters."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.lib.certificate import make_certificate
from tests.loops import BOTH, Loops


def pytest_asyncio_loop_factories() -> Loops:
    """The loops that each test runs on."""
    return BOTH


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))
