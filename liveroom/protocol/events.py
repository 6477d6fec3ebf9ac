"""Events: what happened, past tense. An event has a seq in its room and is never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union, get_args

from liveroom.features.address_limits.messages import AddressCounted
from liveroom.features.audience.messages import AudienceCounted, AudienceReported
from liveroom.features.chat.messages import ChatBudgetSet, ChatSent, MessageDeleted, SlowModeSet
from liveroom.features.coupon.messages import CouponClaimed, CouponExpired, CouponIssued, CouponLeft, CouponRedeemed, CouponReleased, CouponStopped
from liveroom.features.flash_sale.messages import (
    FlashSaleAnnounced,
    FlashSaleClosed,
    FlashSaleOpened,
    FlashSaleRestocked,
    HoldCancelled,
    HoldConfirmed,
    HoldExpired,
    StockChanged,
    StockReserved,
)
from liveroom.features.lifecycle.messages import AnnouncementSet, RoomClosed, RoomOpened, RoomRules
from liveroom.features.likes.messages import LikesAdded
from liveroom.features.moderation.messages import BannedWordsSet, SanctionExplained, UserBanned, UserMuted, UserUnbanned, UserUnmuted
from liveroom.features.questions.messages import QuestionAnswered, QuestionAsked, QuestionDismissed, QuestionPicked
from liveroom.features.red_envelope.messages import RedEnvelopeClosed, RedEnvelopeDropped, RedEnvelopeGrabbed, RedEnvelopeOpened, RedEnvelopeSealed
from liveroom.features.showcase.messages import ProductAdded, ProductPinned, ProductRemoved, ProductUnpinned, TryOnRequested
from liveroom.messages.base import EventBase

__all__ = [
    "EVENTS",
    "AddressCounted",
    "AnnouncementSet",
    "AudienceCounted",
    "AudienceReported",
    "BannedWordsSet",
    "ChatBudgetSet",
    "ChatSent",
    "CouponClaimed",
    "CouponExpired",
    "CouponIssued",
    "CouponLeft",
    "CouponRedeemed",
    "CouponReleased",
    "CouponStopped",
    "Event",
    "EventBase",
    "FlashSaleAnnounced",
    "FlashSaleClosed",
    "FlashSaleOpened",
    "FlashSaleRestocked",
    "HoldCancelled",
    "HoldConfirmed",
    "HoldExpired",
    "LikesAdded",
    "MessageDeleted",
    "ProductAdded",
    "ProductPinned",
    "ProductRemoved",
    "ProductUnpinned",
    "QuestionAnswered",
    "QuestionAsked",
    "QuestionDismissed",
    "QuestionPicked",
    "RedEnvelopeClosed",
    "RedEnvelopeDropped",
    "RedEnvelopeGrabbed",
    "RedEnvelopeOpened",
    "RedEnvelopeSealed",
    "RoomClosed",
    "RoomOpened",
    "RoomRules",
    "SanctionExplained",
    "SlowModeSet",
    "StockChanged",
    "StockReserved",
    "TryOnRequested",
    "UserBanned",
    "UserMuted",
    "UserUnbanned",
    "UserUnmuted",
]


if TYPE_CHECKING:
    # To a type checker an event is any event: a feature's rules make events without knowing those of other features.
    Event = EventBase
else:
    Event = Union[
        RoomOpened,
        RoomClosed,
        AnnouncementSet,
        ChatSent,
        MessageDeleted,
        UserMuted,
        UserUnmuted,
        UserBanned,
        UserUnbanned,
        SanctionExplained,
        SlowModeSet,
        BannedWordsSet,
        ChatBudgetSet,
        QuestionAsked,
        QuestionPicked,
        QuestionAnswered,
        QuestionDismissed,
        LikesAdded,
        ProductAdded,
        ProductRemoved,
        ProductPinned,
        ProductUnpinned,
        TryOnRequested,
        AudienceReported,
        AudienceCounted,
        RedEnvelopeDropped,
        RedEnvelopeSealed,
        RedEnvelopeOpened,
        RedEnvelopeGrabbed,
        RedEnvelopeClosed,
        CouponIssued,
        CouponClaimed,
        CouponLeft,
        CouponRedeemed,
        CouponReleased,
        CouponStopped,
        CouponExpired,
        FlashSaleAnnounced,
        FlashSaleOpened,
        StockChanged,
        StockReserved,
        HoldConfirmed,
        HoldCancelled,
        HoldExpired,
        FlashSaleRestocked,
        FlashSaleClosed,
        AddressCounted,
    ]

#: Name -> class, in the order of the vocabulary.
EVENTS: dict[str, type[EventBase]] = {str(c.__struct_config__.tag): c for c in get_args(Event)}
