"""Commands of simulated people, which may be refused."""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from liveroom.client import CommandRefused, CommandUnanswered, TooManyCommands
from liveroom.protocol.frames import Accepted

__all__ = ["attempt"]

log = logging.getLogger("liveroom.demo")


async def attempt(command: Awaitable[Accepted]) -> Accepted | None:
    """The answer, or `None` for a refusal (slow mode, a mute, sold out, a limit), which is normal in a room."""
    try:
        return await command
    except (CommandRefused, CommandUnanswered, TooManyCommands) as error:
        log.debug("a simulated person was refused", extra={"reason": str(error)})
        return None
