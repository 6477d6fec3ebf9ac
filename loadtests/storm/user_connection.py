"""A customer's place in the room: one connection at a time, which comes back where it was when it is lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from liveroom.protocol.frames import Accepted, Entitlements, Refused
from loadtests.crowd.frame_audit import AuditStep
from loadtests.crowd.viewer import Viewer
from loadtests.lib.lean_client import HandshakeRefused
from loadtests.lib.room_connection import is_passing, join_once
from loadtests.storm.storm_context import StormContext
from loadtests.storm.transcript import Asked, Owned, Reply

__all__ = ["UserConnection"]

#: Bound of the random pause before the first attempt to come back; it doubles from attempt to attempt, as the protocol asks clients to do.
PAUSE_S: Final = 0.5

_entitlements = msgspec.json.Decoder(Entitlements)
_reply: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Accepted | Refused)


class _Personal(Struct):
    seq: int
    event: dict[str, Any]


_personal = msgspec.json.Decoder(_Personal)


class _Connection(Viewer):
    """A connection in one life of the server; `pending` counts the sends without a reply."""

    def __init__(self, user_connection: UserConnection, path: str, token: str, at: AuditStep | None) -> None:
        super().__init__(user_connection.context.address, path, token, user_connection.context.frame_audit, at=at)
        self.life = user_connection.context.life
        self.pending: Counter[str] = Counter()
        self.left = False
        self._user_connection = user_connection

    def on_other(self, type: str, text: bytes) -> None:
        """Handle frames for this customer alone, and keyframes."""
        user_connection = self._user_connection
        if type in ("accepted", "refused"):
            reply = _reply.decode(text)
            if self.pending[reply.id]:
                self.pending[reply.id] -= 1
                user_connection.context.waiting -= 1
            user_connection.on_reply(self.life, reply)
        elif type == "personal":
            personal = _personal.decode(text)
            user_connection.on_personal(personal.seq, personal.event)
        elif type == "entitlements":
            user_connection.entitlements = text
        elif type == "keyframe":
            user_connection.context.stock_view.view(text)
        elif type == "queued":
            user_connection.context.queued += 1

    def on_end(self, code: int, reason: str) -> None:
        """Let the user connection come back by itself."""
        joined = self.joined.done()
        super().on_end(code, reason)
        if joined:
            self._user_connection.on_lost(self)


class UserConnection:
    """`on_reply` gets the life and the reply, `on_back` is called whenever the connection is there again."""

    def __init__(
        self,
        context: StormContext,
        user: str,
        token: str,
        source: str,
        on_reply: Callable[[int, Reply], None],
        on_personal: Callable[[int, dict[str, Any]], None],
        on_back: Callable[[UserConnection], None],
    ) -> None:
        self.context = context
        self.user = user
        self.on_reply = on_reply
        self.on_personal = on_personal
        self.entitlements = b""
        self.asked: dict[str, tuple[Asked, bytes]] = {}
        self._on_back = on_back
        self._token = token
        self._source = source
        self._connection: _Connection | None = None
        self._place: tuple[str, AuditStep] | None = None  # stream id, and where the last connection was
        self._coming: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Let it in, for the first time or again. Raises `HandshakeRefused`, `OSError`, `TimeoutError` for what does not pass."""
        context, pause_s = self.context, PAUSE_S
        while True:
            try:
                async with context.opening:
                    connection = self._make()
                    await join_once(connection, context.address, source=self._source)
            except (HandshakeRefused, OSError, TimeoutError) as error:
                if not is_passing(error):
                    raise
                context.failed_attempts[str(error) if isinstance(error, HandshakeRefused) else type(error).__name__] += 1
            else:
                if not connection.end:  # else lost again before we could look at it
                    self._connection = connection
                    return
            await asyncio.sleep(random.random() * pause_s)
            pause_s = min(pause_s * 2, context.options.back_s_max)

    @property
    def owned(self) -> Owned | None:
        """The user's entitlements when its connection joined last."""
        return Owned(self.user, _entitlements.decode(self.entitlements)) if self.entitlements else None

    @property
    def to(self) -> int:
        """The seq that it needs next; -1 while it is away."""
        connection = self._connection
        return connection.at.to if connection is not None and connection.at is not None else -1

    @property
    def place(self) -> AuditStep | None:
        """Its place in the frame audit, or its last one while it is away."""
        connection = self._connection
        return connection.at if connection is not None else self._place[1] if self._place is not None else None

    @property
    def pending(self) -> int:
        """Sends that no reply came for, over the connection that is there; -1 while it is away."""
        return self._connection.pending.total() if self._connection is not None else -1

    def send(self, id: str) -> None:
        """Send what was asked under `id`; while the user is away, nothing: it is sent when the connection is back."""
        connection = self._connection
        if connection is None:
            return
        asked, text = self.asked[id]
        asked.sent += 1
        connection.pending[id] += 1
        self.context.sent += 1
        self.context.waiting += 1
        connection.send_text(text)

    def drop(self) -> None:
        """Lose the connection, as a phone does, and come back."""
        if self._connection is not None:
            self._connection.left = True
            assert self._connection.transport is not None
            self._connection.transport.abort()

    def close(self) -> None:
        """Leave for good."""
        connection, self._connection = self._connection, None
        if self._coming is not None:
            self._coming.cancel()
        if connection is not None:
            self.context.skipped += connection.skipped
            connection.left = True
            connection.close()

    def on_lost(self, connection: _Connection) -> None:
        """A connection ended: what it still waited for is cut off."""
        context = self.context
        for id, count in connection.pending.items():
            self.asked[id][0].cut += count
            context.waiting -= count
        connection.pending.clear()
        context.skipped += connection.skipped
        if connection is not self._connection:
            return
        self._connection = None
        if not connection.left:
            context.end(self.user, connection.life, connection.end)
        if connection.at is not None:
            self._place = (connection.stream_id, connection.at)
        context.waiting += 1
        self._coming = asyncio.get_running_loop().create_task(self._come_back())

    async def _come_back(self) -> None:
        context = self.context
        try:
            await asyncio.sleep(random.random() * PAUSE_S)
            await self.open()
        except (HandshakeRefused, OSError, TimeoutError) as error:
            context.end(self.user, context.life, f"cannot come back: {type(error).__name__}: {error}")
            return
        finally:
            context.waiting -= 1
        assert self._connection is not None
        context.back["resumed" if self._connection.resumed else "skipped" if self._connection.skipped else "keyframe"] += 1
        self._on_back(self)

    def _make(self) -> _Connection:
        if self._place is None:
            return _Connection(self, self.context.path, self._token, None)
        stream_id, at = self._place
        return _Connection(self, f"{self.context.path}?stream_id={stream_id}&seq={at.to}", self._token, at)
