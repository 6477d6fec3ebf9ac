"""What a client sends: one shape, a command with the id that its reply will carry."""

from __future__ import annotations

from msgspec import Struct

from liveroom.messages.commands import Command
from liveroom.messages.fields import CommandId

__all__ = ["ClientMessage"]


class ClientMessage(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One text frame from a client: `{"id": "c1", "command": {"type": "send_chat", "text": "hi"}}`."""

    id: CommandId
    command: Command
