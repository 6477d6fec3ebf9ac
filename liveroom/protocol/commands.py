"""Commands: wishes, imperative. A command is decided once and answered by exactly one reply."""

from __future__ import annotations

from typing import Annotated, Union, get_args

from msgspec import Meta, Struct

from liveroom.messages.base import ANCHORS, BACKEND, EVERYONE, MODERATORS, CommandBase
from liveroom.features.coupon.messages import ClaimCoupon, IssueCoupon, RedeemCoupon, ReleaseCoupon, StopCoupon
from liveroom.messages.fields import (
    CHAT_BUDGET_MAX,
    BannedWord,
    Count,
    DurationMs,
    Fen,
    GatewayId,
    Line,
    ProductId,
    Reason,
    Seq,
    Text,
    Title,
    Url,
    UserId,
)
from liveroom.features.flash_sale.messages import AnnounceFlashSale, CancelHold, CloseFlashSale, ConfirmHold, ReserveStock, RestockFlashSale
from liveroom.features.red_envelope.messages import CancelRedEnvelope, DropRedEnvelope, GrabRedEnvelope

__all__ = [
    "ANCHORS",
    "BACKEND",
    "COMMANDS",
    "EVERYONE",
    "MODERATORS",
    "AddProduct",
    "AnnounceFlashSale",
    "AnswerQuestion",
    "AskQuestion",
    "BanUser",
    "CancelHold",
    "CancelRedEnvelope",
    "ClaimCoupon",
    "CloseFlashSale",
    "CloseRoom",
    "Command",
    "CommandBase",
    "ConfirmHold",
    "DeleteMessage",
    "DismissQuestion",
    "DropRedEnvelope",
    "GrabRedEnvelope",
    "IssueCoupon",
    "MuteUser",
    "OpenRoom",
    "PickQuestion",
    "PinProduct",
    "Product",
    "RedeemCoupon",
    "ReleaseCoupon",
    "RemoveProduct",
    "ReportAudience",
    "ReportLikes",
    "RequestKeyframe",
    "RequestTryOn",
    "ReserveStock",
    "RestockFlashSale",
    "SendChat",
    "SendLikes",
    "SetAnnouncement",
    "SetBannedWords",
    "SetChatBudget",
    "SetSlowMode",
    "StopCoupon",
    "UnbanUser",
    "UnmuteUser",
    "UnpinProduct",
]


class Product(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One product of the showcase."""

    id: ProductId
    title: Title
    price_fen: Fen
    image_url: Url = ""
    link_url: Url = ""


# The room


class OpenRoom(CommandBase, frozen=True, tag="open_room"):
    """Open the room, or open it again after it was closed."""

    roles = ANCHORS
    results = {"epoch": "names the numbering of the room's seqs"}
    title: Title


class CloseRoom(CommandBase, frozen=True, tag="close_room"):
    """Close the room: viewers stay connected and see it end; nothing more may be said."""

    roles = ANCHORS
    reason: Reason = ""


class SetAnnouncement(CommandBase, frozen=True, tag="set_announcement"):
    """Show an announcement to everyone; an empty text takes it down."""

    roles = MODERATORS
    text: Text


# Chat and moderation


class SendChat(CommandBase, frozen=True, tag="send_chat"):
    """Say one line to the room."""

    roles = EVERYONE
    results = {"message": "the line's name, for `delete_message`", "shown": "whether the room is shown it (false: over its budget)"}
    text: Line


class DeleteMessage(CommandBase, frozen=True, tag="delete_message"):
    """Take back a chat line; a message is named by its seq."""

    roles = MODERATORS
    message: Seq


class MuteUser(CommandBase, frozen=True, tag="mute_user"):
    """Forbid a user to speak for a while; the user sees the reason."""

    roles = MODERATORS
    results = {"until_ms": "when the mute ends"}
    user: UserId
    duration_ms: DurationMs
    reason: Reason = ""


class UnmuteUser(CommandBase, frozen=True, tag="unmute_user"):
    """Let a muted user speak again."""

    roles = MODERATORS
    user: UserId


class BanUser(CommandBase, frozen=True, tag="ban_user"):
    """Put a user out of the room for a while; open connections are closed, and the user's chat lines are taken back unless they shall stay."""

    roles = MODERATORS
    results = {"until_ms": "when the ban ends"}
    user: UserId
    duration_ms: DurationMs
    reason: Reason = ""
    delete_messages: bool = True


class UnbanUser(CommandBase, frozen=True, tag="unban_user"):
    """Let a banned user come back."""

    roles = MODERATORS
    user: UserId


class SetSlowMode(CommandBase, frozen=True, tag="set_slow_mode"):
    """Let each viewer speak once per interval; 0 turns slow mode off."""

    roles = MODERATORS
    interval_ms: Annotated[int, Meta(ge=0, le=3_600_000)]


class SetBannedWords(CommandBase, frozen=True, tag="set_banned_words"):
    """Replace the room's list of banned words; matched after NFKC and case folding."""

    roles = MODERATORS
    results = {"words": "how many there are now"}
    words: Annotated[tuple[BannedWord, ...], Meta(max_length=500)]


class SetChatBudget(CommandBase, frozen=True, tag="set_chat_budget"):
    """Set how many chat lines a second the room shows; the rest is kept but not shown."""

    roles = ANCHORS
    lines_per_s: Annotated[int, Meta(ge=1, le=CHAT_BUDGET_MAX)]


# Questions to the anchor


class AskQuestion(CommandBase, frozen=True, tag="ask_question"):
    """Ask the anchor a question; a question is named by its seq."""

    roles = EVERYONE
    results = {"question": "the question's name"}
    text: Line


class PickQuestion(CommandBase, frozen=True, tag="pick_question"):
    """Show a question as the one being answered."""

    roles = MODERATORS
    question: Seq


class AnswerQuestion(CommandBase, frozen=True, tag="answer_question"):
    """Mark a question as answered, with a text when it was answered in writing."""

    roles = MODERATORS
    question: Seq
    text: Text = ""


class DismissQuestion(CommandBase, frozen=True, tag="dismiss_question"):
    """Take a question off the list without an answer."""

    roles = MODERATORS
    question: Seq


# Likes


class SendLikes(CommandBase, frozen=True, tag="send_likes"):
    """Tap: `count` likes since the last time; a gateway adds up its viewers' taps before it passes them on."""

    roles = EVERYONE
    results = {"total": "likes of the room; not told by gateways, which add up taps first"}
    count: Annotated[int, Meta(ge=1, le=50)] = 1


class ReportLikes(CommandBase, frozen=True, tag="report_likes"):
    """A gateway's sum of its viewers' taps."""

    roles = BACKEND
    results = {"total": "likes of the room"}
    count: Annotated[int, Meta(ge=1, le=10_000_000)]


# Showcase


class AddProduct(CommandBase, frozen=True, tag="add_product"):
    """Put a product into the showcase, or replace the one with the same id."""

    roles = ANCHORS
    results = {"version": "the showcase's version with it"}
    product: Product


class RemoveProduct(CommandBase, frozen=True, tag="remove_product"):
    """Take a product out of the showcase; a pinned one is unpinned first."""

    roles = ANCHORS
    results = {"version": "the showcase's version without it"}
    product: ProductId


class PinProduct(CommandBase, frozen=True, tag="pin_product"):
    """Pin the product that is being explained; it takes the place of the one pinned before."""

    roles = MODERATORS
    product: ProductId


class UnpinProduct(CommandBase, frozen=True, tag="unpin_product"):
    """Unpin the product that was being explained."""

    roles = MODERATORS


class RequestTryOn(CommandBase, frozen=True, tag="request_try_on"):
    """Wish to see a product tried on; counted once per viewer and product."""

    roles = EVERYONE
    results = {"count": "how many wish it now"}
    product: ProductId


# Backend


class ReportAudience(CommandBase, frozen=True, tag="report_audience"):
    """A gateway's count of viewers in the room, and 53-bit hashes of users who came since its last report."""

    roles = BACKEND
    results = {"viewers": "in the room now, over all gateways", "unique": "estimated over the room's life"}
    gateway: GatewayId
    viewers: Annotated[int, Meta(ge=0, le=10_000_000)]
    joined: Annotated[tuple[Count, ...], Meta(max_length=1_000)] = ()


class RequestKeyframe(CommandBase, frozen=True, tag="request_keyframe"):
    """Somebody who begins to hold a room asks for its detail; a gateway that begins to follow it, with what its users own."""

    roles = BACKEND
    holdings: bool = False


Command = Union[
    OpenRoom,
    CloseRoom,
    SetAnnouncement,
    SendChat,
    DeleteMessage,
    MuteUser,
    UnmuteUser,
    BanUser,
    UnbanUser,
    SetSlowMode,
    SetBannedWords,
    SetChatBudget,
    AskQuestion,
    PickQuestion,
    AnswerQuestion,
    DismissQuestion,
    SendLikes,
    ReportLikes,
    AddProduct,
    RemoveProduct,
    PinProduct,
    UnpinProduct,
    RequestTryOn,
    ReportAudience,
    RequestKeyframe,
    DropRedEnvelope,
    GrabRedEnvelope,
    CancelRedEnvelope,
    IssueCoupon,
    ClaimCoupon,
    StopCoupon,
    RedeemCoupon,
    ReleaseCoupon,
    AnnounceFlashSale,
    ReserveStock,
    ConfirmHold,
    CancelHold,
    RestockFlashSale,
    CloseFlashSale,
]

#: Name -> class, in the order of the vocabulary.
COMMANDS: dict[str, type[CommandBase]] = {str(c.__struct_config__.tag): c for c in get_args(Command)}
