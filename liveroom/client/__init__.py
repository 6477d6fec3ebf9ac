"""The Python SDK (and liveroom.js beside it): follow and act in a live room.

    async with connect("ws://127.0.0.1:8800", room="demo", token=token) as room:
        await room.send_chat("hi")
        async for item in room:
            if isinstance(item, RoomEvent):
                print(item.seq, item.event)

Start reading at `room.py`; `docs/client-python.md` shows how to use it.
"""

from liveroom.client.entitlements import fold_entitlements
from liveroom.client.exceptions import ClientError, CommandRefused, CommandUnanswered, Disconnected, TooManyCommands
from liveroom.client.items import EntitlementsReplaced, Item, PersonalEvent, Reconnecting, RoomEvent, StateReplaced, UnknownEvent
from liveroom.client.room import Room, connect
from liveroom.client.state import fold
from liveroom.protocol.frames import Accepted, Banned, Entitlements, Interruption, Joined, Keyframe, Queued, Skipped

__all__ = [
    "Accepted",
    "Banned",
    "ClientError",
    "CommandRefused",
    "CommandUnanswered",
    "Disconnected",
    "Entitlements",
    "EntitlementsReplaced",
    "Interruption",
    "Item",
    "Joined",
    "Keyframe",
    "PersonalEvent",
    "Queued",
    "Reconnecting",
    "Room",
    "RoomEvent",
    "Skipped",
    "StateReplaced",
    "TooManyCommands",
    "UnknownEvent",
    "connect",
    "fold",
    "fold_entitlements",
]
