"""The event loops that tests run on. Production runs on uvloop; where transports matter, asyncio's own loop is tested beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop

__all__ = ["BOTH", "PRODUCTION", "Loops"]

Loops = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]

PRODUCTION: Loops = {"uvloop": uvloop.new_event_loop}
BOTH: Loops = {"asyncio": asyncio.new_event_loop, **PRODUCTION}
