"""The entries of the journal: requests in the log of commands; takeovers and records in the log of events."""

from __future__ import annotations

from typing import Annotated, Union

from msgspec import Meta, Struct

from liveroom.messages.fields import CommandId, Count, Role, RoomId
from liveroom.messages.replies import Accepted, Refused
from liveroom.messages.sender import Sender
from liveroom.protocol.commands import Command
from liveroom.protocol.entitlements import EntitlementsChunk
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Keyframe, RoomDetail

__all__ = ["RECORD_VERSION", "CommandReply", "Entry", "Record", "Request", "RoomSpan", "Sender", "Takeover"]

#: Version 5: events of stock say whether their item is closed.
RECORD_VERSION = 5


class Request(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One command for the engine; (`source`, `connection`) is the address of the reply."""

    id: CommandId
    room: RoomId
    sender: Sender
    command: Command
    source: Annotated[str, Meta(max_length=200)] = ""
    connection: Count = 0


#: Most requests at one offset: all their replies have to fit into one record.
REQUESTS_MAX = 500


class CommandReply(Struct, frozen=True, omit_defaults=True, gc=False):
    """The reply to one request; recovery also rebuilds the idempotency store from it."""

    room: str
    user: str
    digest: int  # hash of the command, to detect an id that is reused for another command; 0 = not remembered
    reply: Accepted | Refused
    source: str = ""
    connection: int = 0
    repeated: bool = False  # a retry got the original outcome
    money_role: Role | None = None  # the sender's role if the command moved money; such an outcome is never displaced by others


class RoomSpan(Struct, frozen=True, rename={"from_": "from"}, gc=False):
    """Events of one room; event i has seq `from` + i."""

    from_: int
    events: tuple[Event, ...]


class Takeover(Struct, frozen=True, tag="takeover", gc=False):
    """A takeover: an engine becomes the owner of the partition, and the offset of this entry is its fencing epoch."""

    v: int
    owner: str
    time_ms: int
    nonce: str = ""  # tells the owner that this entry is its own; owner names may repeat


class Record(Struct, frozen=True, omit_defaults=True, rename={"from_": "from"}, tag="record", gc=False):
    """One step: the commands at offsets [from, to), with all events and replies, written whole or not at all."""

    v: int
    fencing_epoch: int
    step: int
    from_: int
    to: int
    time_ms: int
    rooms: dict[str, RoomSpan] = {}
    replies: tuple[CommandReply, ...] = ()
    keyframes: tuple[Keyframe, ...] = ()  # state after this record
    details: tuple[RoomDetail, ...] = ()  # state after this record, requested by a reader
    entitlements: tuple[EntitlementsChunk, ...] = ()  # chunks; the detail follows the last
    after: str = ""  # in a fencing epoch's first record: the last record that counted before it; see the acceptance rule


Entry = Union[Takeover, Record]
