"""A room's gates: which command claims which thing, and what the room's events say about the units that are left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from liveroom.features.coupon.messages import ClaimCoupon, CouponClaimed, CouponExpired, CouponIssued, CouponLeft, CouponStopped
from liveroom.features.flash_sale.messages import FlashSaleAnnounced, FlashSaleClosed, ReserveStock, StockChanged, StockReserved
from liveroom.features.red_envelope.messages import GrabRedEnvelope, RedEnvelopeClosed, RedEnvelopeDropped, RedEnvelopeGrabbed
from liveroom.gateway.admission_queue import Gate
from liveroom.gateway.replay_buffer import Past
from liveroom.protocol.commands import Command
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Keyframe

__all__ = ["GATES_MAX", "Gates", "units_of"]

#: Things of one room whose gates are kept; the oldest without claims are forgotten first, those that are gone before others.
GATES_MAX: Final = 200

_Key = tuple[type, int]


def units_of(command: Command) -> int:
    """How many units a claim is for; 0 for what is no claim."""
    if isinstance(command, ReserveStock):
        return command.quantity
    return int(isinstance(command, GrabRedEnvelope | ClaimCoupon))


class Gates:
    """By thing. Of a room that is not known yet every thing may exist: its claims go to the engine a few at a time."""

    def __init__(self, margin: int, wait_s: float) -> None:
        self._margin = margin
        self._wait_s = wait_s
        self._gates: dict[_Key, Gate] = {}
        self._heard: dict[Gate, None] = {}  # of which the stream said something since they were last looked at

    def find(self, command: Command, *, live: bool) -> Gate | None:
        """The gate that a claim stands before; `None` for what is no claim, or claims what there is not. `live`: the room is known."""
        key = _key_of(command)
        if key is None:
            return None
        gate = self._gates.get(key)
        if gate is None and not live:
            gate = self._add(key)
        # For more than one user may have there are never units: the engine says so.
        return None if gate is None or units_of(command) > gate.units_max else gate

    def take_heard(self) -> list[Gate]:
        """The gates of which the stream said something since this was last asked."""
        if not self._heard:
            return []
        heard, self._heard = list(self._heard), {}
        return heard

    def heed(self, seq: int, event: Event) -> None:
        """Take an event of the room's stream."""
        heed = _HEEDS.get(type(event))
        if heed is None:
            return
        key, change = heed(seq, event)
        gate = self._gates.get(key)
        if gate is None or isinstance(event, _BEGINNINGS):
            if not isinstance(event, _BEGINNINGS):
                return  # of a thing from before the stream was followed
            gate = gate or self._add(key)
            gate.counts_addresses = event.users_per_address_max > 0
            gate.vouch()
        change(gate)
        gate.seq = seq + 1
        self._heard[gate] = None

    def begin(self, keyframe: Keyframe, past: Sequence[Past]) -> None:
        """The room begins at `keyframe` after `past`, or goes on there after a gap: what happened in between is not known."""
        before = list(self._gates.values())
        for gate in before:
            gate.doubt()
        for span in past:
            for i, event in enumerate(span.events):
                self.heed(span.from_ + i, event)
        for envelope in keyframe.envelopes:
            gate = self._view(keyframe.seq, (GrabRedEnvelope, envelope.envelope), envelope.parts, envelope.parts_left)
            gate.counts_addresses = envelope.users_per_address_max > 0
        for coupon in keyframe.coupons:
            gate = self._view(keyframe.seq, (ClaimCoupon, coupon.coupon), coupon.stock, coupon.left)
            gate.counts_addresses = coupon.users_per_address_max > 0
        for sale in keyframe.sales:
            gate = self._view(keyframe.seq, (ReserveStock, sale.sale), sale.stock, sale.available, sale.held)
            gate.units_max = sale.per_user_max
            gate.counts_addresses = sale.users_per_address_max > 0
            if sale.state == "closed":
                gate.end("sale_closed")
        self._heard.update(dict.fromkeys(before))

    def _view(self, seq: int, key: _Key, total: int, left: int, held: int = 0) -> Gate:
        """A thing as a keyframe has it; of one that is untouched all is known."""
        gate = self._gates.get(key)
        if gate is None:
            gate = self._add(key)
            if left == total:
                gate.vouch()
        gate.stand(left, held)
        gate.seq = seq
        self._heard[gate] = None
        return gate

    def _add(self, key: _Key) -> Gate:
        if len(self._gates) >= GATES_MAX:
            idle = [k for k, g in self._gates.items() if g.idle]
            for over in [k for k in idle if self._gates[k].gone][:1] or idle[:1]:
                del self._gates[over]
        gate = self._gates[key] = _KINDS[key[0]](self._margin, self._wait_s)
        return gate


_KINDS: Final[dict[type, Callable[[int, float], Gate]]] = {
    GrabRedEnvelope: lambda margin, wait_s: Gate("envelope_empty", margin, wait_s, once=True),
    ClaimCoupon: lambda margin, wait_s: Gate("coupon_gone", margin, wait_s),
    ReserveStock: lambda margin, wait_s: Gate("sold_out", margin, wait_s, returns=True),
}


def _key_of(command: Command) -> _Key | None:
    match command:
        case GrabRedEnvelope():
            return GrabRedEnvelope, command.envelope
        case ClaimCoupon():
            return ClaimCoupon, command.coupon
        case ReserveStock():
            return ReserveStock, command.sale
    return None


_BEGINNINGS: Final = (RedEnvelopeDropped, CouponIssued, FlashSaleAnnounced)


_Heed = Callable[[int, Any], tuple[_Key, Callable[[Gate], None]]]

#: What an event says, of which thing.
_HEEDS: Final[dict[type, _Heed]] = {
    RedEnvelopeDropped: lambda seq, e: ((GrabRedEnvelope, seq), lambda gate: gate.stand(e.parts)),
    RedEnvelopeGrabbed: lambda _, e: ((GrabRedEnvelope, e.envelope), lambda gate: _grabbed(gate, e)),
    RedEnvelopeClosed: lambda _, e: ((GrabRedEnvelope, e.envelope), lambda gate: gate.end(_over(e))),
    CouponIssued: lambda seq, e: ((ClaimCoupon, seq), lambda gate: gate.stand(e.stock)),
    CouponClaimed: lambda _, e: ((ClaimCoupon, e.coupon), lambda gate: gate.won(e.user)),
    CouponLeft: lambda _, e: ((ClaimCoupon, e.coupon), lambda gate: gate.stand(e.left)),
    CouponStopped: lambda _, e: ((ClaimCoupon, e.coupon), lambda gate: gate.end("coupon_stopped")),
    CouponExpired: lambda _, e: ((ClaimCoupon, e.coupon), lambda gate: gate.end("coupon_expired")),
    FlashSaleAnnounced: lambda seq, e: ((ReserveStock, seq), lambda gate: _announced(gate, e)),
    StockReserved: lambda _, e: ((ReserveStock, e.sale), lambda gate: gate.won(e.user)),
    StockChanged: lambda _, e: ((ReserveStock, e.sale), lambda gate: gate.stand(e.available, e.held)),
    FlashSaleClosed: lambda _, e: ((ReserveStock, e.sale), lambda gate: gate.end("sale_closed")),
}


def _grabbed(gate: Gate, event: RedEnvelopeGrabbed) -> None:
    gate.won(event.user)
    gate.stand(event.parts_left)


def _announced(gate: Gate, event: FlashSaleAnnounced) -> None:
    gate.units_max = event.per_user_max
    gate.stand(event.stock)


def _over(event: RedEnvelopeClosed) -> str:
    return "envelope_empty" if event.reason == "empty" else "envelope_closed"
