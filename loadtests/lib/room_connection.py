"""A connection that joins a room, and how it is let in by a server that may be busy."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final, TypeVar

from loadtests.lib.lean_client import Address, HandshakeRefused, LeanConnection, open_connection

__all__ = ["Guest", "is_passing", "let_in", "step_in"]

#: Attempts to get in when the server is busy or away, and the bound of the pause before the second; it doubles with each.
ATTEMPTS_MAX: Final = 8
RETRY_S: Final = 0.25
JOIN_S: Final = 30.0


class Guest(LeanConnection):
    """Joined once `joined` is done; `end` is empty until the connection ended."""

    def __init__(self, address: Address, path: str, token: str, *, deflate: bool = False) -> None:
        super().__init__(address, path, token, deflate=deflate)
        self.joined: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.end = ""

    def on_end(self, code: int, reason: str) -> None:
        """The server ended it, or it was lost."""
        self.end = f"{code} {reason}".strip()
        if not self.joined.done():
            self.joined.set_exception(HandshakeRefused(0, f"closed with {self.end} before it had joined"))


G = TypeVar("G", bound=Guest)


async def let_in(make: Callable[[], G], address: Address, *, source: str = "", receive_bytes: int = 0) -> G:
    """Open a connection, a new one for each attempt, and wait until it has joined. Raises `HandshakeRefused`, `OSError`, `TimeoutError`."""
    for attempt in range(ATTEMPTS_MAX):
        guest = make()
        try:
            await step_in(guest, address, source=source, receive_bytes=receive_bytes)
            break
        except (HandshakeRefused, OSError, TimeoutError) as error:
            if attempt == ATTEMPTS_MAX - 1 or not is_passing(error):
                raise
            await asyncio.sleep(random.random() * RETRY_S * 2**attempt)
    return guest


async def step_in(guest: Guest, address: Address, *, source: str = "", receive_bytes: int = 0) -> None:
    """One attempt: connect and wait until it has joined. Raises `HandshakeRefused`, `OSError`, `TimeoutError`."""
    try:
        await open_connection(guest, address, source=source, receive_bytes=receive_bytes)
        async with asyncio.timeout(JOIN_S):
            await guest.joined
    except BaseException:
        _forget(guest)
        raise


def is_passing(error: Exception) -> bool:
    """Whether a failed attempt is worth another: the server is busy or away."""
    return not isinstance(error, HandshakeRefused) or error.status in (0, 429, 503)


def _see(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def _forget(guest: Guest) -> None:
    for future in (guest.opened, guest.joined):
        future.add_done_callback(_see)  # nobody else will look at it, now or when the connection is gone
    if guest.transport is not None:
        guest.transport.abort()
