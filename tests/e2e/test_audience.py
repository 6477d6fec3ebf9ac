"""Counts of viewers across restarts of the server: no number on the screen is made up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from liveroom.client import connect
from tests.serving import Server

VIEWERS = 5


async def _counts(server: Server) -> tuple[int, int]:
    async with aiohttp.ClientSession() as session, session.get(f"{server.console_url}/v1/rooms/demo") as response:
        keyframe = await response.json()
        return keyframe.get("viewers", 0), keyframe.get("peak", 0)


async def _watch(server: Server, number: int) -> None:
    async with connect(server.gateway_url, "demo", server.token("demo", f"viewer-{number}"), join_timeout_s=30, backoff_max_s=1) as room:
        async for _ in room:
            pass


async def _until(server: Server, viewers: int) -> tuple[int, int]:
    async with asyncio.timeout(20):
        while (counts := await _counts(server))[0] != viewers:
            await asyncio.sleep(0.1)
        return counts


async def _until_connected(server: Server, viewers: int) -> None:
    async with asyncio.timeout(20):
        while await server.metric("liveroom_gateway_connections") != viewers:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("ending", ["kill", "stop"])
async def test_a_restart_counts_nobody_twice(tmp_path: Path, ending: str) -> None:
    """After a restart the same viewers are as many as before, and the peak is what it was; after a clean stop alone there are none."""
    server = Server(tmp_path / "data", "--gateway-drain-ms", "200", "--gateway-reconnect-spread-ms", "500", "--gateway-audience-report-ms", "200")
    async with server:
        await server.command("demo", "open_room", {"title": "Evening show"})
        watching = [asyncio.create_task(_watch(server, number)) for number in range(VIEWERS)]
        assert await _until(server, VIEWERS) == (VIEWERS, VIEWERS)
        for _ in range(2):
            await (server.kill() if ending == "kill" else server.stop())
            await server.start()
            if ending == "kill":
                assert (await _counts(server))[0] <= VIEWERS
            await _until_connected(server, VIEWERS)
            for _ in range(10):  # some of them may not be reported yet, but nobody may be twice
                await asyncio.sleep(0.1)
                assert max(await _counts(server)) <= VIEWERS
            assert await _until(server, VIEWERS) == (VIEWERS, VIEWERS)
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await server.stop()
        await server.start()
        assert await _counts(server) == (0, VIEWERS)
