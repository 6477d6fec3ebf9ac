"""Probes availability: honest newcomers join and leave, and health endpoints are requested."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import aiohttp

from liveroom.messages.fields import Role
from loadtests.crowd.frame_audit import FrameAudit
from loadtests.crowd.viewer import Viewer
from loadtests.honest.honest_context import HonestContext
from loadtests.lib.lean_client import HandshakeRefused
from loadtests.lib.room_connection import join_once

__all__ = ["AvailabilityProbe"]

#: Time between two newcomers, and between two health checks.
RING_S: Final = 0.5
#: A newcomer or request without an answer after this time counts as kept out.
WAIT_S: Final = 5.0
HEALTH: Final = ("/livez", "/readyz", "/metrics")


class AvailabilityProbe:
    """Each visit is a connection of its own, from an address of honest users."""

    def __init__(self, context: HonestContext) -> None:
        self._context = context
        self._visits = 0

    async def ring(self, going: asyncio.Event) -> None:
        """Join the room, again and again."""
        context = self._context
        while True:
            await going.wait()
            self._visits += 1
            began_ns = time.monotonic_ns()
            user = f"newcomer-{context.options.run}-{self._visits}"
            viewer = Viewer(context.address, context.path, context.token(user, Role.viewer), FrameAudit())
            try:
                async with asyncio.timeout(WAIT_S):
                    await join_once(viewer, context.address, source=context.source(self._visits))
            except (HandshakeRefused, OSError, TimeoutError) as error:
                context.problem("kept_out", f"a newcomer: {type(error).__name__}: {error}")
            else:
                context.time("join", began_ns)
                context.done["joins"] += 1
                viewer.close()
            await asyncio.sleep(RING_S)

    async def ask_health(self, going: asyncio.Event) -> None:
        """Ask for health and metrics, as an orchestrator and Prometheus do."""
        context, asked = self._context, 0
        while True:
            await going.wait()
            path, asked = HEALTH[asked % len(HEALTH)], asked + 1
            began_ns = time.monotonic_ns()
            connector = aiohttp.TCPConnector(local_addr=(context.source(asked), 0) if context.source(asked) else None)
            timeout = aiohttp.ClientTimeout(total=WAIT_S)
            try:
                async with (
                    aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                    session.get(context.part.console_url + path) as answer,
                ):
                    words = await answer.text()
                    if answer.status != 200:
                        context.problem("not_healthy", f"{path}: {answer.status} {words[:100]}")
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                context.problem("not_healthy", f"{path}: {type(error).__name__}: {error}")
            else:
                context.time("health", began_ns)
                context.done["health"] += 1
            await asyncio.sleep(RING_S)
