"""The state of a room's red envelopes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field

from liveroom.features.red_envelope.entitlements import ENVELOPES_OVER_OWNED, GrabbedShare
from liveroom.features.red_envelope.messages import EnvelopeCondition, EnvelopeWinner
from liveroom.features.state import RoomState

__all__ = ["EnvelopeOver", "RedEnvelope", "RedEnvelopesState", "change", "of", "share_rows"]


class RedEnvelope(Struct, kw_only=True):
    """A red envelope that is announced or open; the i-th winner gets the i-th amount."""

    title: str
    total_fen: int
    shares: int
    split: str
    opens_ms: int
    closes_ms: int
    commitment: str
    condition: EnvelopeCondition
    keyword: str  # the condition's, normalized for the search
    left_fen: int
    seed: str = ""
    amounts_fen: list[int] = field(default_factory=list)
    opened: bool = False
    winners: dict[str, int] = field(default_factory=dict)  # user -> fen, in the order of the grabs
    best: list[EnvelopeWinner] = field(default_factory=list)
    said: dict[str, None] = field(default_factory=dict)  # users who said the keyword
    users_per_address_max: int = 0


class EnvelopeOver(Struct, array_like=True):
    """The remains of a red envelope that is over."""

    reason: str
    winners: dict[str, int]


class RedEnvelopesState(Struct):
    """A room's red envelopes, by seq."""

    live: dict[int, RedEnvelope] = field(default_factory=dict)  # announced or open
    over: dict[int, EnvelopeOver] = field(default_factory=dict)  # the last ones, oldest first


def of(room: RoomState) -> RedEnvelopesState:
    """The room's part of this feature, or an empty one that is not kept."""
    return room.red_envelope or RedEnvelopesState()


def change(room: RoomState) -> RedEnvelopesState:
    """The room's part of this feature, to fold an event into it."""
    part: RedEnvelopesState | None = room.red_envelope
    if part is None:
        part = room.red_envelope = RedEnvelopesState()
    return part


def share_rows(state: RoomState) -> Iterator[tuple[str, Any]]:
    """The shares of open red envelopes and of the last ended ones."""
    envelopes = of(state)
    over = [*envelopes.over.items()][-ENVELOPES_OVER_OWNED:]
    for number, _ in over:
        yield "envelopes_over", number
    for number, winners in [*((n, one.winners) for n, one in over), *((n, one.winners) for n, one in envelopes.live.items())]:
        for user, amount_fen in winners.items():
            yield "shares", GrabbedShare(number, user, amount_fen)
