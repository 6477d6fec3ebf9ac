"""How large what goes into a record may be: bounds that are reckoned with before it is made, each proved by a test at the limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from liveroom.features.red_envelope.messages import GrabRedEnvelope
from liveroom.messages.base import CommandBase
from liveroom.protocol.commands import CloseRoom, PinProduct
from liveroom.protocol.records import Request

__all__ = ["RECORD_HEAD_BYTES", "ROOM_DUE_BYTES_MAX", "SPAN_HEAD_BYTES", "commands_bytes_max", "refusal_bytes_max"]

#: A record's own fields.
RECORD_HEAD_BYTES: Final = 500
#: What stands around a room's events: its name, the seq of the first.
SPAN_HEAD_BYTES: Final = 150
#: What a command adds beside its own words and its sender's, at most: others' ids, numbers, the words of a refusal.
COMMAND_ADDED_BYTES: Final = 1_300
#: How often the sender stands in an answer and in events, at most.
SENDER_TIMES: Final = 3
#: What some add more: the product that is pinned; the ends of all envelopes, coupons and sales of a room.
MORE_BYTES: Final[dict[type[CommandBase], int]] = {PinProduct: 4_000, CloseRoom: 405_000}
#: The end of an envelope, by the grab of its last share: the luckiest with their names.
ENVELOPE_END_BYTES: Final = 3_200
#: What the passing of time may add to one room at once.
ROOM_DUE_BYTES_MAX: Final = 570_000

#: An answer that refuses with a few words of ours, beside the names in it.
_REFUSAL_BYTES: Final = 500
#: A character as JSON, at most: six when it has to be written as a number; of a name, four; of an id, two, as a quote.
_CHARACTER_BYTES: Final = 6
_NAME_CHARACTER_BYTES: Final = 4
_ID_CHARACTER_BYTES: Final = 2


def commands_bytes_max(requests: Sequence[Request], encoded: Sequence[bytes]) -> int:
    """What commands add to a record at most; the words of one may stand in an event and in the one that pins a product anew."""
    more = 0
    grabbed: set[tuple[str, int]] = set()  # each ends once
    for request in requests:
        command = request.command
        if type(command) is GrabRedEnvelope:
            grabbed.add((request.room, command.envelope))
        else:
            more += MORE_BYTES.get(type(command), 0)
        sender = request.sender
        names = _ID_CHARACTER_BYTES * len(sender.user) + _NAME_CHARACTER_BYTES * len(sender.name)
        more += _CHARACTER_BYTES * len(request.source) + SENDER_TIMES * names
    return more + ENVELOPE_END_BYTES * len(grabbed) + COMMAND_ADDED_BYTES * len(encoded) + 2 * sum(map(len, encoded))


def refusal_bytes_max(request: Request) -> int:
    """What an answer adds that says no without looking at the command."""
    names = len(request.room) + len(request.sender.user) + len(request.id) + len(request.source)
    return _REFUSAL_BYTES + _CHARACTER_BYTES * names
