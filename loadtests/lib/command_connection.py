"""A connection that sends commands and takes their answers; what the room says it does not read."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from liveroom.protocol.frames import Accepted, Refused
from loadtests.lib.lean_client import Address
from loadtests.lib.room_connection import RoomConnection, join_with_retries

__all__ = ["CommandConnection", "JoinedLimits", "OnReply", "open_command_connection"]

OnReply = Callable[["Accepted | Refused | None"], None]


class JoinedLimits(Struct):
    """The limits for commands that the gateway named when this connection joined."""

    command_bytes_max: int
    commands_per_s: int


_reply: msgspec.json.Decoder[Accepted | Refused] = msgspec.json.Decoder(Accepted | Refused)
_limits = msgspec.json.Decoder(JoinedLimits)


class CommandConnection(RoomConnection):
    """Joined, with its `JoinedLimits`, once `joined` is done. A command without a reply, because the connection ended, gets `None`."""

    def __init__(self, address: Address, path: str, token: str) -> None:
        super().__init__(address, path, token)
        self._waiting: dict[str, OnReply] = {}

    @property
    def waiting(self) -> int:
        """Commands that are not answered yet."""
        return len(self._waiting)

    def send(self, id: str, text: bytes, on_reply: OnReply) -> None:
        """Send a client message whose id is `id`."""
        if self.end:
            on_reply(None)
            return
        self._waiting[id] = on_reply
        self.send_text(text)

    def on_text(self, raw: bytes, text: bytes) -> None:
        """Take replies and the welcome."""
        if text.startswith((b'{"type":"accepted"', b'{"type":"refused"')):
            reply = _reply.decode(text)
            if on_reply := self._waiting.pop(reply.id, None):
                on_reply(reply)
        elif text.startswith(b'{"type":"joined"'):
            self.joined.set_result(_limits.decode(text))

    def on_end(self, code: int, reason: str) -> None:
        """Nothing more will be answered."""
        super().on_end(code, reason)
        waiting, self._waiting = self._waiting, {}
        for on_reply in waiting.values():
            on_reply(None)


async def open_command_connection(address: Address, path: str, token: str) -> CommandConnection:
    """Let a speaker in; a busy server is tried again. Raises `HandshakeRefused`, `OSError`, `TimeoutError`."""
    return await join_with_retries(lambda: CommandConnection(address, path, token), address)
