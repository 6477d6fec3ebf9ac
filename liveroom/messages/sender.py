"""The sender of a command."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from liveroom.messages.fields import Count, Role, UserId, UserName

__all__ = ["Sender"]


class Sender(Struct, frozen=True, omit_defaults=True, array_like=True, gc=False):
    """The user that sends a command, from the user's token; `backend` is true for a gateway's own commands."""

    user: UserId
    name: UserName
    role: Role = Role.viewer
    buyer: bool = False
    backend: bool = False
    #: Whole seconds that the user has watched without a break, seen by the gateway; 0 for commands without a gateway.
    watched_s: Count = 0
    #: Hash of a claim's network address, different for each item; empty if the address is unknown or the item has no address limit.
    address_hash: Annotated[str, Meta(max_length=16)] = ""
