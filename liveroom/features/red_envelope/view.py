"""The red envelopes that viewers see: those of a keyframe, kept current by the events after it."""

from __future__ import annotations

from liveroom.features.feature import View
from liveroom.features.red_envelope.messages import EnvelopeView, RedEnvelopeClosed, RedEnvelopeDropped, RedEnvelopeGrabbed, RedEnvelopeOpened
from liveroom.features.views import OFFERS_KEPT, replace_if

__all__ = ["VIEWS", "fold_envelopes"]


def fold_envelopes(envelopes: tuple[EnvelopeView, ...], event: object, seq: int, time_ms: int) -> tuple[EnvelopeView, ...]:
    """Red envelopes that are announced or open."""
    match event:
        case RedEnvelopeDropped():
            view = EnvelopeView(
                envelope=seq,
                title=event.title,
                total_fen=event.total_fen,
                shares=event.shares,
                shares_left=event.shares,
                left_fen=event.total_fen,
                split=event.split,
                opens_ms=event.opens_ms,
                closes_ms=event.closes_ms,
                commitment=event.commitment,
                condition=event.condition,
                users_per_address_max=event.users_per_address_max,
            )
            return (*envelopes, view)
        case RedEnvelopeOpened():
            return tuple(replace_if(view.envelope == event.envelope, view, open=True) for view in envelopes)
        case RedEnvelopeGrabbed():
            left = {"shares_left": event.shares_left, "left_fen": event.left_fen}
            return tuple(replace_if(view.envelope == event.envelope, view, **left) for view in envelopes)
        case RedEnvelopeClosed():
            return tuple(view for view in envelopes if view.envelope != event.envelope)
    return envelopes


VIEWS = (
    View(
        "envelopes",
        tuple[EnvelopeView, ...],
        (),
        (RedEnvelopeDropped, RedEnvelopeOpened, RedEnvelopeGrabbed, RedEnvelopeClosed),
        fold_envelopes,
        kept=OFFERS_KEPT,
    ),
)
