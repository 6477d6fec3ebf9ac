"""A room's gates: which command claims which thing, and what the room's events say about the units that are left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from liveroom.features.coupon.messages import ClaimCoupon, CouponClaimed, CouponExpired, CouponIssued, CouponLeft, CouponStopped
from liveroom.features.flash_sale.messages import FlashSaleAnnounced, FlashSaleClosed, ReserveStock, StockChanged, StockReserved
from liveroom.features.red_envelope.messages import GrabRedEnvelope, RedEnvelopeClosed, RedEnvelopeDropped, RedEnvelopeGrabbed
from liveroom.gateway.admission_queue import AdmissionQueue
from liveroom.gateway.replay_buffer import EventSpan
from liveroom.protocol.commands import Command
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Keyframe

__all__ = ["QUEUES_MAX", "AdmissionQueues", "units_of"]

#: Things of one room whose gates are kept; the oldest without claims are forgotten first, those that are gone before others.
QUEUES_MAX: Final = 200

_Key = tuple[type, int]


def units_of(command: Command) -> int:
    """How many units a claim is for; 0 for what is no claim."""
    if isinstance(command, ReserveStock):
        return command.quantity
    return int(isinstance(command, GrabRedEnvelope | ClaimCoupon))


class AdmissionQueues:
    """By thing. Of a room that is not known yet every thing may exist: its claims go to the engine a few at a time."""

    def __init__(self, margin: int, wait_s: float) -> None:
        self._margin = margin
        self._wait_s = wait_s
        self._queues: dict[_Key, AdmissionQueue] = {}
        self._heard: dict[AdmissionQueue, None] = {}  # of which the stream said something since they were last looked at

    def find(self, command: Command, *, live: bool) -> AdmissionQueue | None:
        """The gate that a claim stands before; `None` for what is no claim, or claims what there is not. `live`: the room is known."""
        key = _key_of(command)
        if key is None:
            return None
        queue = self._queues.get(key)
        if queue is None and not live:
            queue = self._add(key)
        # For more than one user may have there are never units: the engine says so.
        return None if queue is None or units_of(command) > queue.units_max else queue

    def take_changed(self) -> list[AdmissionQueue]:
        """The gates of which the stream said something since this was last asked."""
        if not self._heard:
            return []
        heard, self._heard = list(self._heard), {}
        return heard

    def apply(self, seq: int, event: Event) -> None:
        """Take an event of the room's stream."""
        apply = _CHANGES.get(type(event))
        if apply is None:
            return
        key, change = apply(seq, event)
        queue = self._queues.get(key)
        if queue is None or isinstance(event, _BEGINNINGS):
            if not isinstance(event, _BEGINNINGS):
                return  # of a thing from before the stream was followed
            queue = queue or self._add(key)
            queue.counts_addresses = event.users_per_address_max > 0
            queue.mark_complete()
        change(queue)
        queue.seq = seq + 1
        self._heard[queue] = None

    def begin(self, keyframe: Keyframe, past: Sequence[EventSpan]) -> None:
        """The room begins at `keyframe` after `past`, or goes on there after a gap: what happened in between is not known."""
        before = list(self._queues.values())
        for queue in before:
            queue.mark_incomplete()
        for span in past:
            for i, event in enumerate(span.events):
                self.apply(span.from_ + i, event)
        for envelope in keyframe.envelopes:
            queue = self._view(keyframe.seq, (GrabRedEnvelope, envelope.envelope), envelope.parts, envelope.parts_left)
            queue.counts_addresses = envelope.users_per_address_max > 0
        for coupon in keyframe.coupons:
            queue = self._view(keyframe.seq, (ClaimCoupon, coupon.coupon), coupon.stock, coupon.left)
            queue.counts_addresses = coupon.users_per_address_max > 0
        for sale in keyframe.sales:
            queue = self._view(keyframe.seq, (ReserveStock, sale.sale), sale.stock, sale.available, sale.held)
            queue.units_max = sale.per_user_max
            queue.counts_addresses = sale.users_per_address_max > 0
            if sale.state == "closed":
                queue.end("sale_closed")
        self._heard.update(dict.fromkeys(before))

    def _view(self, seq: int, key: _Key, total: int, left: int, held: int = 0) -> AdmissionQueue:
        """A thing as a keyframe has it; of one that is untouched all is known."""
        queue = self._queues.get(key)
        if queue is None:
            queue = self._add(key)
            if left == total:
                queue.mark_complete()
        queue.set_stock(left, held)
        queue.seq = seq
        self._heard[queue] = None
        return queue

    def _add(self, key: _Key) -> AdmissionQueue:
        if len(self._queues) >= QUEUES_MAX:
            idle = [k for k, g in self._queues.items() if g.idle]
            for over in [k for k in idle if self._queues[k].gone][:1] or idle[:1]:
                del self._queues[over]
        queue = self._queues[key] = _KINDS[key[0]](self._margin, self._wait_s)
        return queue


_KINDS: Final[dict[type, Callable[[int, float], AdmissionQueue]]] = {
    GrabRedEnvelope: lambda margin, wait_s: AdmissionQueue("envelope_empty", margin, wait_s, once=True),
    ClaimCoupon: lambda margin, wait_s: AdmissionQueue("coupon_gone", margin, wait_s),
    ReserveStock: lambda margin, wait_s: AdmissionQueue("sold_out", margin, wait_s, returns=True),
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


_Change = Callable[[int, Any], tuple[_Key, Callable[[AdmissionQueue], None]]]

#: What an event says, of which thing.
_CHANGES: Final[dict[type, _Change]] = {
    RedEnvelopeDropped: lambda seq, e: ((GrabRedEnvelope, seq), lambda queue: queue.set_stock(e.parts)),
    RedEnvelopeGrabbed: lambda _, e: ((GrabRedEnvelope, e.envelope), lambda queue: _grabbed(queue, e)),
    RedEnvelopeClosed: lambda _, e: ((GrabRedEnvelope, e.envelope), lambda queue: queue.end(_over(e))),
    CouponIssued: lambda seq, e: ((ClaimCoupon, seq), lambda queue: queue.set_stock(e.stock)),
    CouponClaimed: lambda _, e: ((ClaimCoupon, e.coupon), lambda queue: queue.add_winner(e.user)),
    CouponLeft: lambda _, e: ((ClaimCoupon, e.coupon), lambda queue: queue.set_stock(e.left)),
    CouponStopped: lambda _, e: ((ClaimCoupon, e.coupon), lambda queue: queue.end("coupon_stopped")),
    CouponExpired: lambda _, e: ((ClaimCoupon, e.coupon), lambda queue: queue.end("coupon_expired")),
    FlashSaleAnnounced: lambda seq, e: ((ReserveStock, seq), lambda queue: _announced(queue, e)),
    StockReserved: lambda _, e: ((ReserveStock, e.sale), lambda queue: queue.add_winner(e.user)),
    StockChanged: lambda _, e: ((ReserveStock, e.sale), lambda queue: queue.set_stock(e.available, e.held)),
    FlashSaleClosed: lambda _, e: ((ReserveStock, e.sale), lambda queue: queue.end("sale_closed")),
}


def _grabbed(queue: AdmissionQueue, event: RedEnvelopeGrabbed) -> None:
    queue.add_winner(event.user)
    queue.set_stock(event.parts_left)


def _announced(queue: AdmissionQueue, event: FlashSaleAnnounced) -> None:
    queue.units_max = event.per_user_max
    queue.set_stock(event.stock)


def _over(event: RedEnvelopeClosed) -> str:
    return "envelope_empty" if event.reason == "empty" else "envelope_closed"
