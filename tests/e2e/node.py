"""Node and its `ws` package, fetched from the npm registry once and kept in the user's cache."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import pytest

__all__ = ["built_in_flags", "missing", "run_visits", "ws_module"]

NPM_S = 60
VISITS_S = 60
#: The exact version of `ws` and the hash of its file.
LOCK = Path(__file__).with_name("npm")
SCRIPT = Path(__file__).with_name("visits.mjs")


def missing(reason: str, variable: str) -> NoReturn:
    """Skip, or fail where `variable` says that this test must run."""
    if os.environ.get(variable) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def node() -> str:
    """Where Node is."""
    return shutil.which("node") or missing(
        "no Node: install it (Debian: apt-get install nodejs npm) to test its clients", "LIVEROOM_TEST_REQUIRE_NODE"
    )


async def ws_module() -> Path:
    """The package `ws`, installed if it is not there."""
    node()
    lock = (LOCK / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "liveroom-tests" / f"npm-{sha256(lock).hexdigest()[:12]}"
    module = cache / "node_modules" / "ws" / "wrapper.mjs"
    if not module.exists():
        cache.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(LOCK / name, cache / name)
        npm = shutil.which("npm") or missing("no npm: install it to test Node's ws", "LIVEROOM_TEST_REQUIRE_NODE")
        code, _, words = await _run(NPM_S, "", npm, "ci", "--prefix", str(cache), "--no-audit", "--no-fund", "--fetch-retries=1")
        if code:
            why = next((line for line in words.splitlines() if line.startswith("npm error")), words.strip())
            missing(f"Node's ws cannot be installed from the npm registry: {why}", "LIVEROOM_TEST_REQUIRE_NODE")
    return module


async def built_in_flags() -> list[str]:
    """Flags that make Node's own WebSocket available: none from Node 22 on, one in 20. Skips with an older Node, which has no WebSocket."""
    for flags in ([], ["--experimental-websocket"]):
        code, out, _ = await _run(20, "", node(), *flags, "-p", "typeof WebSocket")
        if not code and out.strip() == "function":
            return flags
    pytest.skip("this Node has no WebSocket of its own")


async def run_visits(visits: list[dict[str, Any]], *arguments: str, flags: list[str]) -> list[dict[str, Any]]:
    """Run `visits.mjs`; returns each visit's report."""
    code, out, words = await _run(VISITS_S, json.dumps(visits), node(), *flags, str(SCRIPT), *arguments)
    assert code == 0, words
    told: list[dict[str, Any]] = json.loads(out)
    return told


async def _run(limit_s: float, given: str, *command: str) -> tuple[int, str, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        out, words = await asyncio.wait_for(process.communicate(given.encode()), limit_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        return 1, "", f"no end within {limit_s} s"
    return process.returncode or 0, out.decode(), words.decode()
