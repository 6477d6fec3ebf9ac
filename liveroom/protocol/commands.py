"""Commands: wishes, imperative. A command is decided once and answered by exactly one reply."""

from __future__ import annotations

from typing import Union, get_args

from liveroom.features.audience.messages import ReportAudience
from liveroom.features.chat.messages import DeleteMessage, SendChat, SetChatBudget, SetSlowMode
from liveroom.features.coupon.messages import ClaimCoupon, IssueCoupon, RedeemCoupon, ReleaseCoupon, StopCoupon
from liveroom.features.flash_sale.messages import AnnounceFlashSale, CancelHold, CloseFlashSale, ConfirmHold, ReserveStock, RestockFlashSale
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, RequestKeyframe, SetAnnouncement
from liveroom.features.likes.messages import ReportLikes, SendLikes
from liveroom.features.moderation.messages import BanUser, MuteUser, SetBannedWords, UnbanUser, UnmuteUser
from liveroom.features.questions.messages import AnswerQuestion, AskQuestion, DismissQuestion, PickQuestion
from liveroom.features.red_envelope.messages import CancelRedEnvelope, DropRedEnvelope, GrabRedEnvelope
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
