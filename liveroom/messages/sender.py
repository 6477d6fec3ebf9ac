"""The sender of a command."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from liveroom.messages.fields import Count, Role, UserId, UserName

__all__ = ["Sender"]


class Sender(Struct, frozen=True, omit_defaults=True, array_like=True, gc=False):
    """Who sends a command, as its token says; gateways themselves send with `backend`."""

    user: UserId
    name: UserName
    role: Role = Role.viewer
    buyer: bool = False
    backend: bool = False
    #: How long the gateway has seen the user watch without a break, in whole seconds; 0 when nobody saw it.
    watched_s: Count = 0
    #: Stands for the network address that a claim comes from, for the claimed item alone; empty when nobody knows it or it does not matter.
    address_mark: Annotated[str, Meta(max_length=16)] = ""
