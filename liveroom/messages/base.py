"""What all commands and all events have in common.

All messages are trees of plain values that never change: nothing in them can refer back to them, so the garbage
collector need not look at them (`gc=False`). There are hundreds of thousands of them in an engine's memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct

from liveroom.messages.fields import Delivery, Role

__all__ = ["ANCHORS", "BACKEND", "EVERYONE", "MODERATORS", "PLATFORM", "VIEWERS", "CommandBase", "EventBase"]


class CommandBase(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type", gc=False):
    """What every command has: the roles that may send it (none: the backend's own gateways only).

    `results`: what its answer holds when it is accepted, in words by name.
    `moves_money`: once it happened, its outcome is remembered for the whole of the time in which it may be repeated.
    """

    roles: ClassVar[frozenset[Role]]
    results: ClassVar[Mapping[str, str]] = {}
    moves_money: ClassVar[bool] = False


EVERYONE = frozenset(Role)
MODERATORS = frozenset({Role.moderator, Role.anchor, Role.platform})
ANCHORS = frozenset({Role.anchor, Role.platform})
#: Sent by gateways about their viewers; no token can send these.
BACKEND: frozenset[Role] = frozenset()
#: Those who watch: who runs the room takes nothing out of it.
VIEWERS = frozenset({Role.viewer, Role.moderator})
#: Sent by the platform's own services: orders, payments.
PLATFORM = frozenset({Role.platform})


class EventBase(Struct, frozen=True, omit_defaults=True, tag_field="type", gc=False):
    """What every event class has: its delivery class and, for `latest`, the field that is the key ("" = one key)."""

    delivery: ClassVar[Delivery] = Delivery.must
    latest_key: ClassVar[str] = ""
