"""A connection that joins a room, and how it is let in by a server that may be busy."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final, TypeVar

from loadtests.lib.lean_client import Address, HandshakeRefused, LeanConnection, open_connection

__all__ = ["RoomConnection", "is_passing", "join_once", "join_with_retries"]

#: Attempts to get in when the server is busy or away, and the bound of the pause before the second; it doubles with each.
ATTEMPTS_MAX: Final = 8
RETRY_S: Final = 0.25
JOIN_S: Final = 30.0


class RoomConnection(LeanConnection):
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


G = TypeVar("G", bound=RoomConnection)


async def join_with_retries(make: Callable[[], G], address: Address, *, source: str = "", receive_bytes: int = 0) -> G:
    """Open a connection, a new one for each attempt, and wait until it has joined. Raises `HandshakeRefused`, `OSError`, `TimeoutError`."""
    for attempt in range(ATTEMPTS_MAX):
        connection = make()
        try:
            await join_once(connection, address, source=source, receive_bytes=receive_bytes)
            break
        except (HandshakeRefused, OSError, TimeoutError) as error:
            if attempt == ATTEMPTS_MAX - 1 or not is_passing(error):
                raise
            await asyncio.sleep(random.random() * RETRY_S * 2**attempt)
    return connection


async def join_once(connection: RoomConnection, address: Address, *, source: str = "", receive_bytes: int = 0) -> None:
    """One attempt: connect and wait until it has joined. Raises `HandshakeRefused`, `OSError`, `TimeoutError`."""
    try:
        await open_connection(connection, address, source=source, receive_bytes=receive_bytes)
        async with asyncio.timeout(JOIN_S):
            await connection.joined
    except BaseException:
        _abandon(connection)
        raise


def is_passing(error: Exception) -> bool:
    """Whether a failed attempt is worth another: the server is busy or away."""
    return not isinstance(error, HandshakeRefused) or error.status in (0, 429, 503)


def _see(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def _abandon(connection: RoomConnection) -> None:
    for future in (connection.opened, connection.joined):
        future.add_done_callback(_see)  # no other code reads its exception, now or when the connection is gone
    if connection.transport is not None:
        connection.transport.abort()
