"""The claims of a token that liveroom reads."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from liveroom.messages.fields import ROOM_CLAIM_PATTERN, Role, UserId

__all__ = ["TokenClaims"]


class TokenClaims(Struct, frozen=True):
    """A user in a room with a role, until `exp` (Unix s). Tokens may have further claims."""

    sub: UserId
    room: Annotated[str, Meta(max_length=64, pattern=ROOM_CLAIM_PATTERN)]
    role: Role
    exp: int | float
    name: str | None = None
    buyer: bool | None = None
