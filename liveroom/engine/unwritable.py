"""Finds the parts of a record that cannot be encoded.

It runs only after an encoding failed, so normal commands do not pay for it.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Accepted
from liveroom.protocol.records import CommandReply, Record

__all__ = ["Unwritable", "failure_of", "unwritable"]


class Unwritable(Struct):
    """The failure in one room: the seq of its first event that cannot be encoded, or the ids of such replies."""

    reason: str
    seq: int = -1
    ids: set[tuple[str, str]] = set()

    def is_of(self, command_reply: CommandReply) -> bool:
        """Whether the reply belongs to the command that caused it: the first accepted command after the broken event."""
        if (command_reply.user, command_reply.reply.id) in self.ids:
            return True
        if isinstance(command_reply.reply, Accepted) and not command_reply.repeated and -1 < self.seq < command_reply.reply.seq:
            self.seq = -1
            return True
        return False


def unwritable(record: Record) -> dict[str, Unwritable]:
    """The rooms with an event or a reply that cannot be encoded, and the failure in each."""
    bad: dict[str, Unwritable] = {}
    for room, span in record.rooms.items():
        for seq, event in enumerate(span.events, span.from_):
            if room not in bad and (reason := failure_of(event)):
                bad[room] = Unwritable(reason, seq)
    for command_reply in record.replies:
        if reason := failure_of(command_reply):
            bad.setdefault(command_reply.room, Unwritable(reason)).ids.add((command_reply.user, command_reply.reply.id))
    return bad


def failure_of(message: Any) -> str:
    """Why a message cannot be encoded; empty when it can."""
    try:
        encode(message)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
