"""The keyframe of a room, small enough for every join, and the room detail for gateways and consoles."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest
from typing import Final, TypeVar

from msgspec.structs import replace

from liveroom.config.schema import RoomsConfig
from liveroom.features.audience import state as audience
from liveroom.features.chat import state as chat
from liveroom.features.coupon import state as coupons
from liveroom.features.coupon.state import Coupon
from liveroom.features.flash_sale import state as flash_sales
from liveroom.features.flash_sale.state import FlashSale
from liveroom.features.likes import state as likes
from liveroom.features.moderation import state as moderation
from liveroom.features.moderation.rules import active
from liveroom.features.moderation.state import Sanction
from liveroom.features.questions import state as questions
from liveroom.features.red_envelope import state as red_envelopes
from liveroom.features.red_envelope.state import EnvelopeState
from liveroom.features.showcase import state as showcase
from liveroom.features.state import RoomState
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import ChatLine, CouponView, EnvelopeView, Keyframe, Question, RoomDetail, SaleView

__all__ = [
    "COUPONS_SHOWN",
    "KEYFRAME_BYTES_MAX",
    "KEYFRAME_FILLED_BYTES",
    "QUESTIONS_SHOWN",
    "SALES_SHOWN",
    "TRY_ONS_SHOWN",
    "detail",
    "keyframe",
]

#: No keyframe is larger; one with every text at its longest and as many red envelopes as there may be comes near.
KEYFRAME_BYTES_MAX: Final = 32 * 1024
#: Questions and chat fill a keyframe up to this size; only what must be there may make it larger.
KEYFRAME_FILLED_BYTES: Final = 16 * 1024
#: Newest questions in a keyframe, beside the one that is picked.
QUESTIONS_SHOWN: Final = 20
#: Products in a keyframe with the most try-on requests.
TRY_ONS_SHOWN: Final = 30

#: Flash sales in a keyframe: the newest ones that are not closed, then the newest closed ones.
SALES_SHOWN: Final = 10
#: Newest coupons in a keyframe.
COUPONS_SHOWN: Final = 10

Item = TypeVar("Item", ChatLine, CouponView, Question, SaleView)


def keyframe(room: str, state: RoomState, time_ms: int, rules: RoomsConfig) -> Keyframe:
    """The public state; questions, then lines of chat, the newest first, fill it up to `KEYFRAME_FILLED_BYTES`."""
    frame = _frame(room, state, time_ms)
    bare_bytes = len(encode(frame)) + len(',"coupons":[],"sales":[],"questions":[],"chat":[]')
    assert bare_bytes <= KEYFRAME_BYTES_MAX, "the fields' limits leave room in a keyframe"
    shown_sales, sales_bytes = _fit(_sales(state), KEYFRAME_BYTES_MAX - bare_bytes)
    shown_coupons, coupons_bytes = _fit(_coupons(state), KEYFRAME_BYTES_MAX - bare_bytes - sales_bytes)
    left = max(0, KEYFRAME_FILLED_BYTES - bare_bytes - sales_bytes - coupons_bytes)
    shown_questions, used = _fit(_questions(state), left // 2)
    lines = chat.of(state).lines[-rules.chat_lines_kept :] if rules.chat_lines_kept else []
    shown_lines, _used = _fit(reversed(lines), left - used)
    return replace(
        frame,
        coupons=tuple(sorted(shown_coupons, key=lambda coupon: coupon.coupon)),
        sales=tuple(sorted(shown_sales, key=lambda sale: sale.sale)),
        questions=tuple(sorted(shown_questions, key=lambda question: question.seq)),
        chat=tuple(reversed(shown_lines)),
    )


def _frame(room: str, state: RoomState, time_ms: int) -> Keyframe:
    """The part of a keyframe that is never cut."""
    shop, crowd = showcase.of(state), audience.of(state)
    return Keyframe(
        room=room,
        stream_id=state.stream_id,
        seq=state.seq,
        time_ms=time_ms,
        title=state.title,
        anchor=state.anchor,
        anchor_name=state.anchor_name,
        open=state.open,
        opened_ms=state.opened_ms,
        announcement=state.announcement,
        close_reason=state.close_reason,
        pinned=shop.products[shop.pinned] if shop.pinned else None,
        showcase_version=shop.version,
        showcase_count=len(shop.products),
        slow_mode_ms=chat.of(state).slow_mode_ms,
        chat_budget=state.rules.chat_budget,
        likes=likes.of(state).total,
        viewers=crowd.viewers,
        unique=crowd.unique,
        unique_estimated=crowd.unique_estimated,
        peak=crowd.peak,
        try_ons=_try_ons(state),
        envelopes=tuple(_envelope(number, envelope) for number, envelope in red_envelopes.of(state).live.items()),
    )


def _try_ons(state: RoomState) -> dict[str, int]:
    counts = [(-len(users), product) for product, users in showcase.of(state).try_ons.items()]
    return {product: -count for count, product in nsmallest(TRY_ONS_SHOWN, counts)}


def _envelope(number: int, envelope: EnvelopeState) -> EnvelopeView:
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


def _sales(state: RoomState) -> list[SaleView]:
    """In order of importance: those that are not closed, newest first, then the closed ones, newest first."""
    sales = flash_sales.of(state).live
    newest = [(seq, sales[seq]) for seq in reversed(sales)]
    newest.sort(key=lambda numbered: numbered[1].phase == "closed")
    return [_sale(seq, sale) for seq, sale in newest[:SALES_SHOWN]]


def _sale(seq: int, sale: FlashSale) -> SaleView:
    return SaleView(
        sale=seq,
        product=sale.product,
        title=sale.title,
        price_fen=sale.price_fen,
        stock=sale.stock,
        available=sale.available,
        held=sale.held,
        sold=sale.sold,
        per_user_max=sale.per_user_max,
        opens_ms=sale.opens_ms,
        closes_ms=sale.closes_ms,
        hold_ms=sale.hold_ms,
        state=sale.phase,
        users_per_address_max=sale.users_per_address_max,
    )


def _coupons(state: RoomState) -> list[CouponView]:
    """The claimable coupons, newest first."""
    live = coupons.of(state).live
    claimable = [seq for seq in reversed(live) if not live[seq].stopped]
    return [_coupon(seq, live[seq]) for seq in claimable[:COUPONS_SHOWN]]


def _coupon(seq: int, coupon: Coupon) -> CouponView:
    return CouponView(
        coupon=seq,
        title=coupon.title,
        terms=coupon.terms,
        stock=coupon.stock,
        left=coupon.left,
        per_user_max=coupon.per_user_max,
        claimable_until_ms=coupon.claimable_until_ms,
        valid_until_ms=coupon.valid_until_ms,
        users_per_address_max=coupon.users_per_address_max,
    )


def _questions(state: RoomState) -> list[Question]:
    """In order of importance: the picked one, the open ones newest first, the answered ones newest first."""
    asked_of = questions.of(state)
    newest = list(reversed(asked_of.live.values()))
    picked = [question for question in newest if question.state == "picked"]
    asked = [question for question in newest if question.state != "picked"][:QUESTIONS_SHOWN]
    return picked + asked + asked_of.answered[: -QUESTIONS_SHOWN - 1 : -1]


def _fit(items: Iterable[Item], bytes_max: int) -> tuple[list[Item], int]:
    """The first items that fit in `bytes_max` as JSON, and their bytes with a comma each."""
    kept: list[Item] = []
    used = 0
    for item in items:
        size = len(encode(item)) + 1
        if used + size > bytes_max:
            break
        used += size
        kept.append(item)
    return kept, used


def detail(room: str, state: RoomState, time_ms: int, rules: RoomsConfig) -> RoomDetail:
    """The keyframe with mutes, bans, the whole showcase, all questions and the banned words."""
    return RoomDetail(
        keyframe=keyframe(room, state, time_ms, rules),
        banned=_until(moderation.of(state).banned, time_ms),
        muted=_until(moderation.of(state).muted, time_ms),
        products=tuple(showcase.of(state).products.values()),
        questions=tuple(sorted([*questions.of(state).live.values(), *questions.of(state).answered], key=lambda question: question.seq)),
        banned_words=moderation.of(state).banned_words.words,
    )


def _until(sanctions: dict[str, Sanction], time_ms: int) -> dict[str, int]:
    return {user: sanction.until_ms for user, sanction in active(sanctions, time_ms).items()}
