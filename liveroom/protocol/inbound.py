"""Messages from clients: a command with its id, or a probe."""

from __future__ import annotations

from msgspec import Struct

from liveroom.messages.fields import CommandId
from liveroom.protocol.commands import Command

__all__ = ["ClientMessage", "Probe"]


class ClientMessage(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One text frame from a client: `{"id": "c1", "command": {"type": "send_chat", "text": "hi"}}`."""

    id: CommandId
    command: Command


class Probe(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="probe", gc=False):
    """A test of the connection, for clients that cannot send pings; the gateway answers at once with a `beat`."""
