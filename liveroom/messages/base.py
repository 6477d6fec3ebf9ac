"""The base classes of all commands and events.

Messages are trees of plain values that never change, so no message can be part of a reference cycle.
The garbage collector skips them (`gc=False`), because an engine holds hundreds of thousands of them in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct

from liveroom.messages.fields import Delivery, Role

__all__ = ["ANCHORS", "BACKEND", "EVERYONE", "MODERATORS", "PLATFORM", "VIEWERS", "CommandBase", "EventBase"]


class CommandBase(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type", gc=False):
    """The base of all commands; `roles` may send it. With no roles only liveroom's own gateways may.

    `results` describes the fields of the reply's `result`, by name.
    `moves_money` marks commands whose outcome is never forgotten before `engine.dedupe_window_ms` is over.
    `more_bytes_max` is the most that its events take in a record beyond the usual bound of a command (`engine/sizes.py`).
    """

    roles: ClassVar[frozenset[Role]]
    results: ClassVar[Mapping[str, str]] = {}
    moves_money: ClassVar[bool] = False
    more_bytes_max: ClassVar[int] = 0


EVERYONE = frozenset(Role)
MODERATORS = frozenset({Role.moderator, Role.anchor, Role.platform})
ANCHORS = frozenset({Role.anchor, Role.platform})
#: Gateways send these about their viewers; no token allows them.
BACKEND: frozenset[Role] = frozenset()
#: Roles that may claim offers. Staff may not, because they give the offers.
VIEWERS = frozenset({Role.viewer, Role.moderator})
#: The platform's own services send these: orders and payments.
PLATFORM = frozenset({Role.platform})


class EventBase(Struct, frozen=True, omit_defaults=True, tag_field="type", gc=False):
    """The base of all events: the delivery class and, for `latest`, the field that is the key ("" = one key)."""

    delivery: ClassVar[Delivery] = Delivery.must
    latest_key: ClassVar[str] = ""
