"""Upper bounds of the sizes that go into a record.

A step reserves them in advance; tests at the limits prove each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from liveroom.features.lifecycle.messages import CloseRoom
from liveroom.features.registry import FEATURES
from liveroom.features.tables import admission_of
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.records import Request

__all__ = ["RECORD_HEAD_BYTES", "ROOM_DUE_BYTES_MAX", "SPAN_HEAD_BYTES", "commands_bytes_max", "refusal_bytes_max"]

#: A record's own fields.
RECORD_HEAD_BYTES: Final = 500
#: The frame around a room's events: the room's name and the seq of the first event.
SPAN_HEAD_BYTES: Final = 150
#: The most that a command adds beside its own text and its sender's: other users' ids, numbers, the text of a refusal.
COMMAND_ADDED_BYTES: Final = 1_300
#: The most often that the sender appears in a reply and its events.
SENDER_TIMES: Final = 3
#: The most that due timers add to one room at once.
ROOM_DUE_BYTES_MAX: Final = sum(feature.due_bytes for feature in FEATURES)
#: Extra bytes of some commands. Closing a room ends the items of all features.
_MORE_BYTES: Final = {command: command.more_bytes_max for command in COMMANDS.values() if command.more_bytes_max} | {
    CloseRoom: sum(feature.closing_bytes for feature in FEATURES)
}

#: A refusal with a short fixed text, without the names in it.
_REFUSAL_BYTES: Final = 500
#: The most bytes of one character in JSON: six as an escaped number, four in a name, two in an id (an escaped quote).
_CHARACTER_BYTES: Final = 6
_NAME_CHARACTER_BYTES: Final = 4
_ID_CHARACTER_BYTES: Final = 2


def commands_bytes_max(requests: Sequence[Request], encoded: Sequence[bytes]) -> int:
    """The most bytes that commands add to a record.

    The text of one command may appear twice: in its event, and in one that pins the product again.
    """
    more = 0
    claimed: set[tuple[str, int]] = set()  # each item ends once
    for request in requests:
        command = request.command
        more += _MORE_BYTES.get(type(command), 0)
        admission = admission_of(command)
        if admission is not None and admission.end_bytes_max:
            item = (request.room, admission.claim(command)[0])
            if item not in claimed:
                claimed.add(item)
                more += admission.end_bytes_max
        sender = request.sender
        names = _ID_CHARACTER_BYTES * len(sender.user) + _NAME_CHARACTER_BYTES * len(sender.name)
        more += _CHARACTER_BYTES * len(request.source) + SENDER_TIMES * names
    return more + COMMAND_ADDED_BYTES * len(encoded) + 2 * sum(map(len, encoded))


def refusal_bytes_max(request: Request) -> int:
    """The most bytes that a refusal adds which needs no look at the command."""
    names = len(request.room) + len(request.sender.user) + len(request.id) + len(request.source)
    return _REFUSAL_BYTES + _CHARACTER_BYTES * names
