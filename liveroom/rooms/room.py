"""A room: `decide` says what a command makes happen, `evolve` folds what happened. Both are pure.

Each feature is a module with one function per command (what it decides) and one per event (how it folds);
this module knows which is whose, who may send what, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from liveroom.config.schema import RoomsConfig
from liveroom.features.address_limits import rules as addresses
from liveroom.features.audience import rules as audience
from liveroom.features.chat import rules as chat
from liveroom.features.coupon import rules as coupon
from liveroom.features.decision import Decided, Decision, Refusal, Rng, Turn
from liveroom.features.flash_sale import rules as flash_sale
from liveroom.features.likes import rules as likes
from liveroom.features.moderation import banned_words as words
from liveroom.features.moderation import rules as moderation
from liveroom.features.questions import rules as questions
from liveroom.features.red_envelope import rules as red_envelope
from liveroom.features.showcase import rules as showcase
from liveroom.features.state import RoomState, decode_state, encode_state
from liveroom.protocol import commands as c
from liveroom.protocol import events as e
from liveroom.protocol.records import Request, Sender
from liveroom.rooms import lifecycle
from liveroom.rooms.holdings import holdings
from liveroom.rooms.keyframe import KEYFRAME_BYTES_MAX, detail, keyframe

__all__ = [
    "KEYFRAME_BYTES_MAX",
    "Decided",
    "Refusal",
    "Rng",
    "RoomState",
    "decide",
    "decide_due",
    "decode_state",
    "detail",
    "due_ms",
    "encode_state",
    "evolve",
    "evolve_all",
    "holdings",
    "keyframe",
    "rests",
]


def _request_keyframe(turn: Turn, command: c.RequestKeyframe) -> Decision:
    """Nothing happens in the room; whoever runs it adds its detail to the answer's record."""
    return Decided(())


def _open_again(turn: Turn, command: c.OpenRoom) -> Decision:
    """A room that was open before."""
    return lifecycle.open_room(turn.state, command, turn.sender, turn.rng, turn.rules)


_DECIDERS: Final[dict[type[c.CommandBase], Callable[[Turn, Any], Decision]]] = {
    c.OpenRoom: _open_again,
    c.CloseRoom: lifecycle.close_room,
    c.SetAnnouncement: lifecycle.set_announcement,
    c.SendChat: chat.send_chat,
    c.DeleteMessage: chat.delete_message,
    c.MuteUser: moderation.mute_user,
    c.UnmuteUser: moderation.unmute_user,
    c.BanUser: moderation.ban_user,
    c.UnbanUser: moderation.unban_user,
    c.SetSlowMode: chat.set_slow_mode,
    c.SetBannedWords: words.set_banned_words,
    c.SetChatBudget: chat.set_chat_budget,
    c.AskQuestion: questions.ask_question,
    c.PickQuestion: questions.pick_question,
    c.AnswerQuestion: questions.answer_question,
    c.DismissQuestion: questions.dismiss_question,
    c.SendLikes: likes.send_likes,
    c.ReportLikes: likes.report_likes,
    c.AddProduct: showcase.add_product,
    c.RemoveProduct: showcase.remove_product,
    c.PinProduct: showcase.pin_product,
    c.UnpinProduct: showcase.unpin_product,
    c.RequestTryOn: showcase.request_try_on,
    c.ReportAudience: audience.report_audience,
    c.RequestKeyframe: _request_keyframe,
    c.DropRedEnvelope: red_envelope.drop_red_envelope,
    c.GrabRedEnvelope: red_envelope.grab_red_envelope,
    c.CancelRedEnvelope: red_envelope.cancel_red_envelope,
    c.IssueCoupon: coupon.issue_coupon,
    c.ClaimCoupon: coupon.claim_coupon,
    c.StopCoupon: coupon.stop_coupon,
    c.RedeemCoupon: coupon.redeem_coupon,
    c.ReleaseCoupon: coupon.release_coupon,
    c.AnnounceFlashSale: flash_sale.announce_flash_sale,
    c.ReserveStock: flash_sale.reserve_stock,
    c.ConfirmHold: flash_sale.confirm_hold,
    c.CancelHold: flash_sale.cancel_hold,
    c.RestockFlashSale: flash_sale.restock_flash_sale,
    c.CloseFlashSale: flash_sale.close_flash_sale,
}

_FOLDERS: Final[dict[type[e.EventBase], Callable[[RoomState, Any, int, int], object]]] = {
    e.RoomOpened: lifecycle.room_opened,
    e.RoomClosed: lifecycle.room_closed,
    e.AnnouncementSet: lifecycle.announcement_set,
    e.ChatSent: chat.chat_sent,
    e.MessageDeleted: chat.message_deleted,
    e.UserMuted: moderation.user_muted,
    e.UserUnmuted: moderation.user_unmuted,
    e.UserBanned: moderation.user_banned,
    e.UserUnbanned: moderation.user_unbanned,
    e.SanctionExplained: moderation.sanction_explained,
    e.SlowModeSet: chat.slow_mode_set,
    e.BannedWordsSet: words.banned_words_set,
    e.ChatBudgetSet: chat.chat_budget_set,
    e.QuestionAsked: questions.question_asked,
    e.QuestionPicked: questions.question_picked,
    e.QuestionAnswered: questions.question_answered,
    e.QuestionDismissed: questions.question_dismissed,
    e.LikesAdded: likes.likes_added,
    e.ProductAdded: showcase.product_added,
    e.ProductRemoved: showcase.product_removed,
    e.ProductPinned: showcase.product_pinned,
    e.ProductUnpinned: showcase.product_unpinned,
    e.TryOnRequested: showcase.try_on_requested,
    e.AudienceReported: audience.audience_reported,
    e.AudienceCounted: audience.audience_counted,
    e.RedEnvelopeDropped: red_envelope.red_envelope_dropped,
    e.RedEnvelopeSealed: red_envelope.red_envelope_sealed,
    e.RedEnvelopeOpened: red_envelope.red_envelope_opened,
    e.RedEnvelopeGrabbed: red_envelope.red_envelope_grabbed,
    e.RedEnvelopeClosed: red_envelope.red_envelope_closed,
    e.CouponIssued: coupon.coupon_issued,
    e.CouponClaimed: coupon.coupon_claimed,
    e.CouponLeft: coupon.coupon_left,
    e.CouponRedeemed: coupon.coupon_redeemed,
    e.CouponReleased: coupon.coupon_released,
    e.CouponStopped: coupon.coupon_stopped,
    e.CouponExpired: coupon.coupon_expired,
    e.FlashSaleAnnounced: flash_sale.flash_sale_announced,
    e.FlashSaleOpened: flash_sale.flash_sale_opened,
    e.StockChanged: flash_sale.stock_changed,
    e.StockReserved: flash_sale.stock_reserved,
    e.HoldConfirmed: flash_sale.hold_confirmed,
    e.HoldCancelled: flash_sale.hold_cancelled,
    e.HoldExpired: flash_sale.hold_expired,
    e.FlashSaleRestocked: flash_sale.flash_sale_restocked,
    e.FlashSaleClosed: flash_sale.flash_sale_closed,
    e.AddressCounted: addresses.address_counted,
}


def decide(state: RoomState | None, request: Request, now_ms: int, rng: Rng, rules: RoomsConfig) -> Decision:
    """What `request` makes happen in a room (`None`: never opened). Never changes the state; event i gets seq `state.seq` + i."""
    command, sender = request.command, request.sender
    if sender.role not in command.roles or (state is not None and sender.user in state.banned):
        refusal = _check_sender(state, command, sender, now_ms)
        if refusal is not None:
            return refusal
    if state is not None:
        return _DECIDERS[type(command)](Turn(state, sender, now_ms, rules, rng), command)
    if isinstance(command, c.OpenRoom):
        return lifecycle.open_room(None, command, sender, rng, rules)
    return Refusal("room_not_found", f"room {request.room!r} was never opened")


def _check_sender(state: RoomState | None, command: c.Command, sender: Sender, now_ms: int) -> Refusal | None:
    if not command.roles:
        return None if sender.backend else Refusal("forbidden", "only the backend's own gateways may send this")
    if sender.role not in command.roles:
        return Refusal("forbidden", f"the role {sender.role.value} may not send this")
    return None if state is None else moderation.check_banned(state, sender, now_ms)


def evolve(state: RoomState | None, event: e.Event, seq: int, time_ms: int) -> RoomState:
    """Fold the event at `seq` into the state, which may be changed in place and returned."""
    return evolve_all(state, (event,), seq, time_ms)


def evolve_all(state: RoomState | None, events: Sequence[e.Event], seq: int, time_ms: int) -> RoomState:
    """Fold events from `seq` on into the state, which may be changed in place and returned; a room's first event opens it."""
    if state is None:
        opened = events[0]
        assert isinstance(opened, e.RoomOpened), "a room begins by being opened"
        assert seq == 0, "a room's events are counted from 0"
        state = lifecycle.new_room(opened, time_ms)
    assert seq == state.seq, f"event {seq} is not the next one, {state.seq}"
    for event in events:
        _FOLDERS[type(event)](state, event, seq, time_ms)
        seq += 1
    state.seq = seq
    return state


def due_ms(state: RoomState) -> int | None:
    """When `decide_due` has something to say, if nothing else happens; `None` = never."""
    due = (
        audience.audience_due_ms(state),
        red_envelope.envelopes_due_ms(state),
        coupon.coupons_due_ms(state),
        flash_sale.sales_due_ms(state),
    )
    return min((one_ms for one_ms in due if one_ms is not None), default=None)


def rests(state: RoomState) -> bool:
    """Whether a room is closed and waits for no time: nothing happens in it unless a command comes."""
    return not state.open and due_ms(state) is None


def decide_due(state: RoomState, now_ms: int) -> tuple[e.Event, ...]:
    """What the passing of time makes happen: counts of silent gateways and coupons and holds expire, envelopes and sales open and close."""
    return (
        *audience.audience_expired(state, now_ms),
        *red_envelope.envelopes_due(state, now_ms),
        *coupon.coupons_due(state, now_ms),
        *flash_sale.sales_due(state, now_ms),
    )
