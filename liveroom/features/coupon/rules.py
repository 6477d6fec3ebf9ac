"""Coupons: users claim them while stock lasts, each claim is a code, and one order at a time uses a code.

A code works for anybody who has it. The platform may redeem it for any user's order, and any user may apply it to a hold of a
flash sale (`flash_sale/rules.py`), which uses it under the order `hold-<seq of the hold>`.
"""

from __future__ import annotations

from base64 import b32encode
from itertools import islice
from typing import Final

from msgspec import Struct

from liveroom.features.address_limits.rules import check_address, count_address, forget_addresses, limit_addresses
from liveroom.features.coupon.keyframe import FILLS
from liveroom.features.coupon.messages import (
    ClaimCoupon,
    CouponClaimed,
    CouponExpired,
    CouponIssued,
    CouponLeft,
    CouponRedeemed,
    CouponReleased,
    CouponStopped,
    CouponTerms,
    IssueCoupon,
    RedeemCoupon,
    ReleaseCoupon,
    StopCoupon,
)
from liveroom.features.coupon.price import discount_fen, meets_minimum
from liveroom.features.coupon.state import ClaimedCode, CodeUse, Coupon, CouponsState, change, coupon_rows, of
from liveroom.features.decision import Decided, Decision, Refusal, Rng, Turn
from liveroom.features.ruleset import Rules
from liveroom.features.state import RoomState
from liveroom.features.texts import check_line
from liveroom.messages.base import EventBase
from liveroom.messages.errors import InvariantBroken

__all__ = [
    "COUPONS_OVER_MAX",
    "EXPIRED_CODES_MAX",
    "HOLD_ORDER",
    "RULES",
    "claim_coupon",
    "coupon_claimed",
    "coupon_expired",
    "coupon_issued",
    "coupon_left",
    "coupon_redeemed",
    "coupon_released",
    "coupon_stopped",
    "coupons_due",
    "coupons_due_ms",
    "hold_code",
    "issue_coupon",
    "redeem_coupon",
    "release_code",
    "release_coupon",
    "stop_all",
    "stop_coupon",
    "unhold_code",
    "use_code",
]

#: Last expired coupons that the state remembers; a forgotten one looks like one that never existed.
COUPONS_OVER_MAX: Final = 200
#: Last expired codes that the state remembers, each with the order that used it.
EXPIRED_CODES_MAX: Final = 2_000
#: Prefix of the orders of holds; the platform's own orders may not use it.
HOLD_ORDER: Final = "hold-"

_CODE_BITS: Final = 80


class _Found(Struct, frozen=True):
    """A valid code and its coupon."""

    seq: int
    coupon: Coupon
    claim: ClaimedCode


def issue_coupon(turn: Turn, command: IssueCoupon) -> Decision:
    """Issue a coupon. It can be claimed for `claimable_ms` from now on, and its codes are valid for `valid_ms` from now on."""
    state, now_ms, rules = turn.state, turn.now_ms, turn.rules
    if not state.open:
        return Refusal("room_closed", "the room is closed: nothing is issued")
    refusal = check_line(command.title, "title") or _check_terms(command.terms)
    if refusal is not None:
        return refusal
    if command.valid_ms < command.claimable_ms:
        return Refusal("out_of_range", "codes must be valid for at least as long as they can be claimed", "valid_ms")
    live = of(state).live
    if len(live) >= rules.coupons_live_max:
        return Refusal("limit_reached", f"{rules.coupons_live_max} coupons have not expired yet")
    if sum(map(_codes, live.values())) + command.stock > rules.coupon_codes_max:
        return Refusal("limit_reached", f"all coupons together may have {rules.coupon_codes_max} codes", "stock")
    issued = CouponIssued(
        title=command.title,
        terms=command.terms,
        stock=command.stock,
        per_user_max=command.per_user_max,
        claimable_until_ms=now_ms + command.claimable_ms,
        valid_until_ms=now_ms + command.valid_ms,
        by=turn.sender.user,
        users_per_address_max=command.users_per_address_max,
    )
    return Decided((issued,), {"coupon": state.seq})


def _check_terms(terms: CouponTerms) -> Refusal | None:
    if bool(terms.amount_fen) == bool(terms.percent_off):
        return Refusal("bad_value", "a coupon takes off either an amount or a percentage", "terms")
    if terms.amount_fen and terms.discount_max_fen:
        return Refusal("bad_value", "only a percentage may have a largest discount", "terms.discount_max_fen")
    return None


def _codes(coupon: Coupon) -> int:
    """Number of codes that the coupon has or may still get."""
    return len(coupon.codes) if coupon.stopped else coupon.stock


def claim_coupon(turn: Turn, command: ClaimCoupon) -> Decision:
    """Claim a code, up to the coupon's limit per user."""
    user = turn.sender.user
    coupon = _claimable(turn, command.coupon)
    if isinstance(coupon, Refusal):
        return coupon
    if coupon.claimed.get(user, 0) >= coupon.per_user_max:
        return Refusal("per_user_limit", f"you have {coupon.per_user_max} of this coupon already")
    if not coupon.left:
        return Refusal("coupon_gone", f"all {coupon.stock} are claimed")
    counted: tuple[EventBase, ...] = ()
    if coupon.users_per_address_max:
        refusal = check_address(turn, command.coupon)
        if refusal is not None:
            return refusal
        counted = count_address(command.coupon, turn.sender)
    code, left = _draw(of(turn.state), turn.rng), coupon.left - 1
    events = (CouponClaimed(command.coupon, user, code), *counted, CouponLeft(command.coupon, left))
    return Decided(events, {"coupon": command.coupon, "code": code, "left": left})


def _claimable(turn: Turn, seq: int) -> Coupon | Refusal:
    coupons = of(turn.state)
    coupon = coupons.live.get(seq)
    if coupon is None and seq not in coupons.over:
        return Refusal("coupon_not_found", "there is no such coupon", "coupon")
    if coupon is None or coupon.valid_until_ms <= turn.now_ms:
        return Refusal("coupon_expired", "the coupon has expired")
    if coupon.stopped or coupon.claimable_until_ms <= turn.now_ms:
        return Refusal("coupon_stopped", "the coupon was stopped and can no longer be claimed")
    return coupon


def _draw(coupons: CouponsState, rng: Rng) -> str:
    while True:
        code = b32encode(rng.getrandbits(_CODE_BITS).to_bytes(_CODE_BITS // 8, "big")).decode()
        if not any(code in coupon.codes for coupon in coupons.live.values()) and code not in coupons.expired_codes:
            return code


def stop_coupon(turn: Turn, command: StopCoupon) -> Decision:
    """Stop a coupon; claimed codes stay valid."""
    coupon = _claimable(turn, command.coupon)
    return coupon if isinstance(coupon, Refusal) else Decided((CouponStopped(command.coupon, turn.sender.user),))


def stop_all(turn: Turn) -> tuple[EventBase, ...]:
    """Stop all coupons because the room closes."""
    return tuple(CouponStopped(seq, turn.sender.user) for seq, coupon in of(turn.state).live.items() if not coupon.stopped)


def redeem_coupon(turn: Turn, command: RedeemCoupon) -> Decision:
    """Use a code for an order. The same order again has the first outcome, whatever it spends and however late."""
    if command.order.startswith(HOLD_ORDER):
        return Refusal("bad_value", f"only orders of holds may begin with {HOLD_ORDER!r}", "order")
    first = _last_use(of(turn.state), command.code)
    if first is not None and first.order == command.order:
        return Decided((), {"coupon": first.coupon, "discount_fen": first.discount_fen})
    used = use_code(turn, command.code, command.order, command.spend_fen, "code")
    return used if isinstance(used, Refusal) else Decided((used,), {"coupon": used.coupon, "discount_fen": used.discount_fen})


def _last_use(coupons: CouponsState, code: str) -> CodeUse | None:
    for seq, coupon in coupons.live.items():
        if code in coupon.codes:
            return _code_use(seq, coupon.codes[code])
    return coupons.expired_codes.get(code)


def _code_use(seq: int, claim: ClaimedCode) -> CodeUse | None:
    return CodeUse(seq, claim.order, claim.discount_fen) if claim.order else None


def release_coupon(turn: Turn, command: ReleaseCoupon) -> Decision:
    """Release a code. A code of an open hold is released with the hold alone."""
    found = _find(turn, command.code, "code")
    if isinstance(found, Refusal):
        return found
    if found.claim.order != command.order:
        return Refusal("coupon_not_used", "the code is not used by this order", "order")
    if command.code in of(turn.state).held_codes:
        return Refusal("coupon_used", "the code is applied to a hold that is still open: cancel the hold", "order")
    return Decided(release_code(turn.state, turn.now_ms, command.code))


def use_code(turn: Turn, code: str, order: str, spend_fen: int, field: str) -> CouponRedeemed | Refusal:
    """The event of an order of `spend_fen` that uses a code; `field` is the command's field with the code."""
    found = _find(turn, code, field)
    return found if isinstance(found, Refusal) else _use(found, code, order, spend_fen, field)


def release_code(state: RoomState, now_ms: int, code: str) -> tuple[EventBase, ...]:
    """The event that makes a used code usable again; none when it has expired."""
    for seq, coupon in of(state).live.items():
        claim = coupon.codes.get(code)
        if claim is not None and coupon.valid_until_ms > now_ms:
            return (CouponReleased(seq, claim.user, code, claim.order),)
    return ()


def hold_code(state: RoomState, code: str) -> CouponTerms:
    """Fold the use of a code by an open hold; returns the terms of its coupon."""
    coupons = of(state)
    coupons.held_codes[code] = None
    return next(coupon.terms for coupon in coupons.live.values() if code in coupon.codes)


def unhold_code(state: RoomState, code: str) -> None:
    """Fold the end of the hold that uses a code."""
    of(state).held_codes.pop(code)


def _find(turn: Turn, code: str, field: str) -> _Found | Refusal:
    coupons = of(turn.state)
    for seq, coupon in coupons.live.items():
        claim = coupon.codes.get(code)
        if claim is not None and coupon.valid_until_ms > turn.now_ms:
            return _Found(seq, coupon, claim)
        if claim is not None:
            return Refusal("coupon_expired", "the code has expired", field)
    if code in coupons.expired_codes:
        return Refusal("coupon_expired", "the code has expired", field)
    return Refusal("coupon_not_found", "there is no such code", field)


def _use(found: _Found, code: str, order: str, spend_fen: int, field: str) -> CouponRedeemed | Refusal:
    coupon, claim = found.coupon, found.claim
    if claim.order:
        return Refusal("coupon_used", "the code is used by another order", field)
    if not meets_minimum(coupon.terms, spend_fen):
        return Refusal("spend_too_small", f"the coupon needs a spend of at least {coupon.terms.min_spend_fen} fen, this is {spend_fen}")
    discount = discount_fen(coupon.terms, spend_fen)
    if not discount:  # a code without an effect stays unused
        return Refusal("no_discount", f"the coupon takes nothing off a spend of {spend_fen} fen", field)
    return CouponRedeemed(found.seq, claim.user, code, order, discount)


def coupons_due_ms(state: RoomState) -> int | None:
    """The time at which the next claim period ends or the next coupon expires."""
    return min((coupon.valid_until_ms if coupon.stopped else coupon.claimable_until_ms for coupon in of(state).live.values()), default=None)


def coupons_due(state: RoomState, now_ms: int) -> tuple[EventBase, ...]:
    """Expire coupons after their validity, and stop them after their claim period."""
    events: list[EventBase] = []
    for seq, coupon in of(state).live.items():
        if coupon.valid_until_ms <= now_ms:
            events.append(CouponExpired(seq))
        elif coupon.claimable_until_ms <= now_ms and not coupon.stopped:
            events.append(CouponStopped(seq, ""))
    return tuple(events)


def coupon_issued(state: RoomState, event: CouponIssued, seq: int, time_ms: int) -> None:
    """Fold a coupon."""
    change(state).live[seq] = Coupon(
        event.title,
        event.terms,
        event.stock,
        event.per_user_max,
        event.claimable_until_ms,
        event.valid_until_ms,
        users_per_address_max=event.users_per_address_max,
    )
    limit_addresses(state, seq, event.users_per_address_max)


def coupon_claimed(state: RoomState, event: CouponClaimed, seq: int, time_ms: int) -> None:
    """Fold a claim."""
    coupon = of(state).live[event.coupon]
    if coupon.left < 1:
        raise InvariantBroken("no more codes are claimed than were issued")
    if coupon.claimed.get(event.user, 0) >= coupon.per_user_max:
        raise InvariantBroken("a user has no more codes than one may have")
    if event.code in coupon.codes:
        raise InvariantBroken("a code is given once")
    coupon.codes[event.code] = ClaimedCode(event.user)
    coupon.claimed[event.user] = coupon.claimed.get(event.user, 0) + 1


def coupon_left(state: RoomState, event: CouponLeft, seq: int, time_ms: int) -> None:
    """Check the number left; the claim before this event has changed it already."""
    if of(state).live[event.coupon].left != event.left:
        raise InvariantBroken("the claims say how many are left")


def coupon_redeemed(state: RoomState, event: CouponRedeemed, seq: int, time_ms: int) -> None:
    """Fold a use."""
    if of(state).live[event.coupon].codes[event.code].order:
        raise InvariantBroken("a code is used by one order")
    of(state).live[event.coupon].codes[event.code] = ClaimedCode(event.user, event.order, event.discount_fen)


def coupon_released(state: RoomState, event: CouponReleased, seq: int, time_ms: int) -> None:
    """Fold a release."""
    if of(state).live[event.coupon].codes[event.code].order != event.order:
        raise InvariantBroken("an order releases the code that it uses")
    of(state).live[event.coupon].codes[event.code] = ClaimedCode(event.user)


def coupon_stopped(state: RoomState, event: CouponStopped, seq: int, time_ms: int) -> None:
    """Fold a stop."""
    of(state).live[event.coupon].stopped = True
    forget_addresses(state, event.coupon)


def coupon_expired(state: RoomState, event: CouponExpired, seq: int, time_ms: int) -> None:
    """Fold an expiry: the codes are dropped. The last of them are remembered as expired, with the order that used them."""
    coupons = of(state)
    coupon = coupons.live.pop(event.coupon)
    coupons.over.append(event.coupon)
    del coupons.over[:-COUPONS_OVER_MAX]
    forget_addresses(state, event.coupon)
    newest = list(islice(reversed(coupon.codes), EXPIRED_CODES_MAX))
    coupons.expired_codes.update((code, _code_use(event.coupon, coupon.codes[code])) for code in reversed(newest))
    for code in list(islice(coupons.expired_codes, max(0, len(coupons.expired_codes) - EXPIRED_CODES_MAX))):
        del coupons.expired_codes[code]


RULES = Rules(
    state=CouponsState,
    decide={
        IssueCoupon: issue_coupon,
        ClaimCoupon: claim_coupon,
        StopCoupon: stop_coupon,
        RedeemCoupon: redeem_coupon,
        ReleaseCoupon: release_coupon,
    },
    evolve={
        CouponIssued: coupon_issued,
        CouponClaimed: coupon_claimed,
        CouponLeft: coupon_left,
        CouponRedeemed: coupon_redeemed,
        CouponReleased: coupon_released,
        CouponStopped: coupon_stopped,
        CouponExpired: coupon_expired,
    },
    due_ms=coupons_due_ms,
    due=coupons_due,
    entitlements=coupon_rows,
    close=stop_all,
    fills=FILLS,
)
