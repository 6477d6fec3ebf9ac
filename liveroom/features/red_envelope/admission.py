"""Grabs of red envelopes in gateways' queues: one share per user, and no share returns."""

from __future__ import annotations

from liveroom.features.feature import Admission, StockChange
from liveroom.features.red_envelope.messages import EnvelopeView, GrabRedEnvelope, RedEnvelopeClosed, RedEnvelopeDropped, RedEnvelopeGrabbed

__all__ = ["GRAB"]


def _dropped(seq: int, event: RedEnvelopeDropped) -> StockChange:
    return StockChange(seq, (event.shares, 0), is_new=True, counts_addresses=event.users_per_address_max > 0)


def _grabbed(seq: int, event: RedEnvelopeGrabbed) -> StockChange:
    return StockChange(event.envelope, (event.shares_left, 0), event.user)


def _closed(seq: int, event: RedEnvelopeClosed) -> StockChange:
    return StockChange(event.envelope, end_code="envelope_empty" if event.reason == "empty" else "envelope_closed")


def _view(view: EnvelopeView) -> StockChange:
    return StockChange(view.envelope, (view.shares_left, 0), total=view.shares, counts_addresses=view.users_per_address_max > 0)


GRAB = Admission(
    command=GrabRedEnvelope,
    claim=lambda command: (command.envelope, 1),
    empty_code="envelope_empty",
    end_bytes_max=3_200,  # the luckiest users with their names
    changes={RedEnvelopeDropped: _dropped, RedEnvelopeGrabbed: _grabbed, RedEnvelopeClosed: _closed},
    views="envelopes",
    view=_view,
    one_per_user=True,
    needs_watch_time=True,
)
