"""The sender of a command."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from liveroom.messages.fields import Count, Role, UserId, UserName

__all__ = ["Sender"]


class Sender(Struct, frozen=True, omit_defaults=True, array_like=True, gc=False):
    """The user that sends a command, as the user's token says. Gateways themselves send with `backend`."""

    user: UserId
    name: UserName
    role: Role = Role.viewer
    buyer: bool = False
    backend: bool = False
    #: Whole seconds that the gateway has seen the user watch without a break; 0 when no gateway saw it.
    watched_s: Count = 0
    #: Stands for the network address of a claim, for the claimed item alone; empty when the address is unknown or does not matter.
    address_mark: Annotated[str, Meta(max_length=16)] = ""
