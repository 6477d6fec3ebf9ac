"""What of a record cannot be encoded, when the whole of it could not be: found only then, so that no command pays for it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Accepted
from liveroom.protocol.records import Answer, Record

__all__ = ["Unwritable", "failure_of", "unwritable"]


class Unwritable(Struct):
    """What cannot be encoded in one room: the seq of its first such event, or the ids of such answers."""

    reason: str
    seq: int = -1
    ids: set[tuple[str, str]] = set()

    def is_of(self, answer: Answer) -> bool:
        """Whether the answer is of the command that caused it: the first accepted command after the event that cannot be encoded."""
        if (answer.user, answer.reply.id) in self.ids:
            return True
        if isinstance(answer.reply, Accepted) and not answer.repeated and -1 < self.seq < answer.reply.seq:
            self.seq = -1
            return True
        return False


def unwritable(record: Record) -> dict[str, Unwritable]:
    """The rooms of which an event or an answer cannot be encoded, with what that is."""
    bad: dict[str, Unwritable] = {}
    for room, span in record.rooms.items():
        for seq, event in enumerate(span.events, span.from_):
            if room not in bad and (reason := failure_of(event)):
                bad[room] = Unwritable(reason, seq)
    for answer in record.answers:
        if reason := failure_of(answer):
            bad.setdefault(answer.room, Unwritable(reason)).ids.add((answer.user, answer.reply.id))
    return bad


def failure_of(message: Any) -> str:
    """Why it cannot be encoded; empty when it can."""
    try:
        encode(message)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
