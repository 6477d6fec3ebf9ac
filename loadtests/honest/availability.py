"""Whether the door is open: honest newcomers who join and leave, and questions about the server's health."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import aiohttp

from liveroom.messages.fields import Role
from loadtests.crowd.frame_audit import Trail
from loadtests.crowd.viewer import Viewer
from loadtests.honest.honest_context import Market
from loadtests.lib.lean_client import HandshakeRefused
from loadtests.lib.room_connection import step_in

__all__ = ["Doorbell"]

#: Newcomers, and questions about health, come this often.
RING_S: Final = 0.5
#: Who is not in, or has no answer, after this time was kept out.
WAIT_S: Final = 5.0
HEALTH: Final = ("/livez", "/readyz", "/metrics")


class Doorbell:
    """Each visit is a connection of its own, from an address of honest users."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._visits = 0

    async def ring(self, going: asyncio.Event) -> None:
        """Join the room, again and again."""
        market = self._market
        while True:
            await going.wait()
            self._visits += 1
            began_ns = time.monotonic_ns()
            user = f"newcomer-{market.options.run}-{self._visits}"
            viewer = Viewer(market.address, market.path, market.token(user, Role.viewer), Trail())
            try:
                async with asyncio.timeout(WAIT_S):
                    await step_in(viewer, market.address, source=market.source(self._visits))
            except (HandshakeRefused, OSError, TimeoutError) as error:
                market.problem("kept_out", f"a newcomer: {type(error).__name__}: {error}")
            else:
                market.time("join", began_ns)
                market.done["joins"] += 1
                viewer.close()
            await asyncio.sleep(RING_S)

    async def ask_health(self, going: asyncio.Event) -> None:
        """Ask for health and metrics, as an orchestrator and Prometheus do."""
        market, asked = self._market, 0
        while True:
            await going.wait()
            path, asked = HEALTH[asked % len(HEALTH)], asked + 1
            began_ns = time.monotonic_ns()
            connector = aiohttp.TCPConnector(local_addr=(market.source(asked), 0) if market.source(asked) else None)
            timeout = aiohttp.ClientTimeout(total=WAIT_S)
            try:
                async with (
                    aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                    session.get(market.part.console_url + path) as answer,
                ):
                    words = await answer.text()
                    if answer.status != 200:
                        market.problem("not_healthy", f"{path}: {answer.status} {words[:100]}")
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                market.problem("not_healthy", f"{path}: {type(error).__name__}: {error}")
            else:
                market.time("health", began_ns)
                market.done["health"] += 1
            await asyncio.sleep(RING_S)
