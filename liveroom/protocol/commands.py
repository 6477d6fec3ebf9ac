"""Commands: requests with imperative names. Each is decided once and gets exactly one reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from liveroom.features.audience.messages import ReportAudience
from liveroom.features.chat.messages import DeleteMessage, SendChat, SetChatBudget, SetSlowMode
from liveroom.features.coupon.messages import ClaimCoupon, IssueCoupon, RedeemCoupon, ReleaseCoupon, StopCoupon
from liveroom.features.flash_sale.messages import AnnounceFlashSale, CancelHold, CloseFlashSale, ConfirmHold, ReserveStock, RestockFlashSale
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, RequestKeyframe, SetAnnouncement
from liveroom.features.likes.messages import ReportLikes, SendLikes
from liveroom.features.moderation.messages import BanUser, MuteUser, SetBannedWords, UnbanUser, UnmuteUser
from liveroom.features.questions.messages import AnswerQuestion, AskQuestion, DismissQuestion, PickQuestion
from liveroom.features.red_envelope.messages import CancelRedEnvelope, DropRedEnvelope, GrabRedEnvelope
from liveroom.features.registry import FEATURES
from liveroom.features.showcase.messages import AddProduct, PinProduct, Product, RemoveProduct, RequestTryOn, UnpinProduct
from liveroom.messages.base import ANCHORS, BACKEND, EVERYONE, MODERATORS, CommandBase

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


if TYPE_CHECKING:
    Command = CommandBase  # to a type checker a command is any command: the union follows from the list of features
else:
    Command = Union[tuple(command for feature in FEATURES for command in feature.commands)]

#: Name -> class, in the order of the vocabulary.
COMMANDS: dict[str, type[CommandBase]] = {str(c.__struct_config__.tag): c for feature in FEATURES for c in feature.commands}
