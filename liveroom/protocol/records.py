"""What travels in the journal: requests on the way in; claims and records on the way out."""

from __future__ import annotations

from typing import Annotated, Union

from msgspec import Meta, Struct

from liveroom.messages.fields import CommandId, Count, Role, RoomId
from liveroom.messages.replies import Accepted, Refused
from liveroom.messages.sender import Sender
from liveroom.protocol.commands import Command
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Keyframe, RoomDetail
from liveroom.protocol.holdings import HoldingsPart

__all__ = ["RECORD_VERSION", "Answer", "Claim", "Entry", "Record", "Request", "RoomSpan", "Sender"]

#: 2: an outcome that moved money says by whose role.
RECORD_VERSION = 2


class Request(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One command on its way to the engine; (`source`, `connection`) says where the answer goes."""

    id: CommandId
    room: RoomId
    sender: Sender
    command: Command
    source: Annotated[str, Meta(max_length=200)] = ""
    connection: Count = 0


#: Most requests that may stand at one offset: what answers them has to fit into one record.
REQUESTS_MAX = 500


class Answer(Struct, frozen=True, omit_defaults=True, gc=False):
    """The reply to one request, on its way back; also what recovery rebuilds idempotency from."""

    room: str
    user: str
    digest: int  # of the command, so that an id used twice for different commands is seen; 0 = never retried, not remembered
    reply: Accepted | Refused
    source: str = ""
    connection: int = 0
    repeated: bool = False  # a retry was given the original outcome
    kept: Role | None = None  # of who moved money: not forgotten for others' sake


class RoomSpan(Struct, frozen=True, rename={"from_": "from"}, gc=False):
    """Events of one room; event i has seq `from` + i."""

    from_: int
    events: tuple[Event, ...]


class Claim(Struct, frozen=True, tag="claim", gc=False):
    """An engine takes over the partition; the offset of this entry is its epoch."""

    v: int
    owner: str
    time_ms: int
    nonce: str = ""  # by which its owner knows it for its own: names come again


class Record(Struct, frozen=True, omit_defaults=True, rename={"from_": "from"}, tag="record", gc=False):
    """One step: the span [from, to) of command offsets, all its effects and all its replies, written whole or not at all."""

    v: int
    epoch: int
    step: int
    from_: int
    to: int
    time_ms: int
    rooms: dict[str, RoomSpan] = {}
    answers: tuple[Answer, ...] = ()
    keyframes: tuple[Keyframe, ...] = ()  # as after this record
    details: tuple[RoomDetail, ...] = ()  # as after this record; asked for by a gateway
    holdings: tuple[HoldingsPart, ...] = ()  # of the detail that follows
    after: str = ""  # of an epoch's first: the last record that counted before it, as its engine has read; see the acceptance rule


Entry = Union[Claim, Record]
