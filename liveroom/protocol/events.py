"""Events: facts with names in the past tense. An event has a seq in its room and never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

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
from liveroom.features.lifecycle.messages import AnnouncementSet, RoomClosed, RoomOpened
from liveroom.features.likes.messages import LikesAdded
from liveroom.features.moderation.messages import BannedWordsSet, SanctionExplained, UserBanned, UserMuted, UserUnbanned, UserUnmuted
from liveroom.features.questions.messages import QuestionAnswered, QuestionAsked, QuestionDismissed, QuestionPicked
from liveroom.features.red_envelope.messages import RedEnvelopeClosed, RedEnvelopeDropped, RedEnvelopeGrabbed, RedEnvelopeOpened, RedEnvelopeSealed
from liveroom.features.registry import FEATURES
from liveroom.features.showcase.messages import ProductAdded, ProductPinned, ProductRemoved, ProductUnpinned, TryOnRequested
from liveroom.messages.base import EventBase
from liveroom.messages.room_rules import RoomRules

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
    Event = EventBase  # to a type checker an event is any event: the union follows from the list of features
else:
    Event = Union[tuple(event for feature in FEATURES for event in feature.events)]

#: Name -> class, in the order of the vocabulary.
EVENTS: dict[str, type[EventBase]] = {str(c.__struct_config__.tag): c for feature in FEATURES for c in feature.events}
