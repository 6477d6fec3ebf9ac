"""Red envelopes in a room's keyframe."""

from __future__ import annotations

from typing import Any

from liveroom.features.red_envelope.messages import EnvelopeView
from liveroom.features.red_envelope.state import RedEnvelope, of
from liveroom.features.state import RoomState

__all__ = ["red_envelopes_keyframe"]


def red_envelopes_keyframe(state: RoomState) -> dict[str, Any]:
    """All that are announced or open."""
    return {"envelopes": tuple(_view(number, envelope) for number, envelope in of(state).live.items())}


def _view(number: int, envelope: RedEnvelope) -> EnvelopeView:
    return EnvelopeView(
        envelope=number,
        title=envelope.title,
        total_fen=envelope.total_fen,
        shares=envelope.shares,
        shares_left=envelope.shares - len(envelope.winners),
        left_fen=envelope.left_fen,
        split=envelope.split,
        opens_ms=envelope.opens_ms,
        closes_ms=envelope.closes_ms,
        commitment=envelope.commitment,
        open=envelope.opened,
        condition=envelope.condition,
        users_per_address_max=envelope.users_per_address_max,
    )
