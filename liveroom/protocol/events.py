"""Events: what happened, past tense. An event has a seq in its room and is never changed."""

from __future__ import annotations

from typing import Literal, Union, get_args

from msgspec import Struct

from liveroom.messages.base import EventBase
from liveroom.protocol.commands import Product
from liveroom.features.coupon.messages import CouponClaimed, CouponExpired, CouponIssued, CouponLeft, CouponRedeemed, CouponReleased, CouponStopped
from liveroom.messages.fields import Delivery, Role
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
from liveroom.features.red_envelope.messages import RedEnvelopeClosed, RedEnvelopeDropped, RedEnvelopeGrabbed, RedEnvelopeOpened, RedEnvelopeSealed

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


class RoomRules(Struct, frozen=True, omit_defaults=True):
    """The numbers that a room's rules count with, written down so that replay never depends on settings."""

    chat_interval_ms: int
    chat_burst: int
    chat_budget: int
    audience_expiry_ms: int


class RoomOpened(EventBase, frozen=True, tag="room_opened"):
    """The room was opened; `epoch` names its stream of seqs and stays for its life."""

    title: str
    anchor: str
    epoch: str
    rules: RoomRules
    anchor_name: str = ""


class RoomClosed(EventBase, frozen=True, tag="room_closed"):
    """The room was closed."""

    reason: str = ""


class AnnouncementSet(EventBase, frozen=True, tag="announcement_set"):
    """The announcement was changed; empty = taken down."""

    text: str


class ChatSent(EventBase, frozen=True, tag="chat_sent"):
    """A line was said; its seq is its message id. `shown` is false when the room's budget was spent."""

    delivery = Delivery.lossy
    user: str
    name: str
    text: str
    role: Role = Role.viewer
    buyer: bool = False
    shown: bool = True


class MessageDeleted(EventBase, frozen=True, tag="message_deleted"):
    """A chat line was taken back."""

    message: int
    by: str


class UserMuted(EventBase, frozen=True, tag="user_muted"):
    """A user may not speak until `until_ms`; why is told to that user alone, by `sanction_explained`."""

    user: str
    until_ms: int
    by: str


class UserUnmuted(EventBase, frozen=True, tag="user_unmuted"):
    """A user may speak again."""

    user: str
    by: str


class UserBanned(EventBase, frozen=True, tag="user_banned"):
    """A user is out of the room until `until_ms`. With `messages_deleted` all chat lines of the user are taken back."""

    user: str
    until_ms: int
    by: str
    messages_deleted: bool = False


class SanctionExplained(EventBase, frozen=True, tag="sanction_explained"):
    """Why a user was muted or banned by the event right before; only that user is told, and whoever reads the journal."""

    delivery = Delivery.personal
    user: str
    sanction: Literal["mute", "ban"]
    reason: str


class UserUnbanned(EventBase, frozen=True, tag="user_unbanned"):
    """A user may come back."""

    user: str
    by: str


class SlowModeSet(EventBase, frozen=True, tag="slow_mode_set"):
    """Each viewer may speak once per interval; 0 = off."""

    interval_ms: int


class BannedWordsSet(EventBase, frozen=True, tag="banned_words_set"):
    """The list of banned words was replaced."""

    delivery = Delivery.internal
    words: tuple[str, ...]
    by: str


class ChatBudgetSet(EventBase, frozen=True, tag="chat_budget_set"):
    """The number of chat lines shown a second was changed."""

    lines_per_s: int


class QuestionAsked(EventBase, frozen=True, tag="question_asked"):
    """A question to the anchor; its seq is its id."""

    user: str
    name: str
    text: str


class QuestionPicked(EventBase, frozen=True, tag="question_picked"):
    """The question being answered."""

    question: int


class QuestionAnswered(EventBase, frozen=True, tag="question_answered"):
    """The question was answered, in writing when `text` is not empty."""

    question: int
    text: str = ""


class QuestionDismissed(EventBase, frozen=True, tag="question_dismissed"):
    """The question was taken off the list."""

    question: int


class LikesAdded(EventBase, frozen=True, tag="likes_added"):
    """`count` likes came in; `total` is the sum over the room's life."""

    delivery = Delivery.latest
    count: int
    total: int


class ProductAdded(EventBase, frozen=True, tag="product_added"):
    """A product was put into the showcase or replaced there."""

    product: Product


class ProductRemoved(EventBase, frozen=True, tag="product_removed"):
    """A product left the showcase."""

    product: str


class ProductPinned(EventBase, frozen=True, tag="product_pinned"):
    """The product being explained."""

    product: Product


class ProductUnpinned(EventBase, frozen=True, tag="product_unpinned"):
    """No product is being explained."""

    product: str


class TryOnRequested(EventBase, frozen=True, tag="try_on_requested"):
    """A viewer wishes to see a product tried on; `count` viewers do by now."""

    delivery = Delivery.latest
    latest_key = "product"
    product: str
    user: str
    count: int


class AddressCounted(EventBase, frozen=True, tag="address_counted"):
    """What a user just got of an item counts for a network address, which `mark` stands for; `hold` is -1 unless it is a hold."""

    delivery = Delivery.internal
    item: int
    user: str
    mark: str
    hold: int = -1


class AudienceReported(EventBase, frozen=True, tag="audience_reported"):
    """A gateway's own count; `seen` holds what its new users changed in the room's sketch of unique users."""

    delivery = Delivery.internal
    gateway: str
    viewers: int
    seen: tuple[int, ...] = ()


class AudienceCounted(EventBase, frozen=True, tag="audience_counted"):
    """The room's audience over all gateways; `unique` is exact until `unique_estimated`."""

    delivery = Delivery.latest
    viewers: int
    unique: int
    peak: int
    unique_estimated: bool = False


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
