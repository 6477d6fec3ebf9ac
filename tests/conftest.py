"""For all tests: Hypothesis asserts no timings, so that a busy machine fails nothing; in CI it draws the same examples each time.

A run at home uses new examples every time. A fault that it finds gets its own fix, and holds up no unrelated change.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.broker import stop_broker
from tests.loops import PRODUCTION, Loops

# No test connects to a host that the system's certificate authorities confirm. aiohttp reads all of them when it is imported,
# which takes a tenth of a second in each of the hundreds of processes that the tests start. Tests of certificates name their own.
os.environ.setdefault("SSL_CERT_FILE", os.devnull)

# Each of these processes would compile the whole package for itself, a quarter of its start, where the environment has nothing compiled kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# All servers of the tests are on this machine: a proxy of the environment leads to none of them.
for name in ("http_proxy", "https_proxy", "all_proxy", "socks_proxy", "ws_proxy", "wss_proxy"):
    os.environ.pop(name, None)
    os.environ.pop(name.upper(), None)

# A broker of the tests lives for minutes and has little to do: half of what it costs would be compiling itself to be faster later on.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")

settings.register_profile("liveroom", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("ci", settings.get_profile("liveroom"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "liveroom")


#: Long files come first, so that at the end no process has a long file left while the others are idle.
LONG_FIRST = ("loadtests", "e2e", "pages", "deploy", "journal", "test_demo.py", "test_cli.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files, each file's tests as they are."""
    here = Path(__file__).parent
    places = {name: place for place, name in enumerate(LONG_FIRST)}
    items.sort(key=lambda item: places.get(item.path.relative_to(here).parts[0], len(places)))


def pytest_asyncio_loop_factories() -> Loops:
    """The loop that each test runs on, unless its folder says otherwise."""
    return PRODUCTION


def pytest_sessionfinish() -> None:
    """When all have run: end the broker that they started."""
    stop_broker()
