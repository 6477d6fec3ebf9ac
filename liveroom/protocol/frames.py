"""Frames: what a gateway sends to a viewer, and the keyframe that every stage shares."""

from __future__ import annotations

from typing import Any, Union, get_args

from msgspec import Struct

from liveroom.features.chat.messages import ChatLine
from liveroom.features.coupon.messages import CouponView
from liveroom.features.flash_sale.messages import SaleView
from liveroom.features.questions.messages import Question
from liveroom.features.red_envelope.messages import EnvelopeView
from liveroom.features.showcase.messages import Product
from liveroom.messages.fields import Role
from liveroom.messages.replies import Accepted, FrameBase, Refused, Result
from liveroom.protocol.belongings import Grant, OwnedCoupon, OwnedHold

__all__ = [
    "FRAMES",
    "Accepted",
    "Banned",
    "Beat",
    "Belongings",
    "ChatLine",
    "CouponView",
    "Delta",
    "EnvelopeView",
    "GoingAway",
    "Interruption",
    "Joined",
    "Keyframe",
    "Parked",
    "Personal",
    "Question",
    "Refused",
    "Result",
    "RoomDetail",
    "SaleView",
    "Skipped",
]


class Keyframe(FrameBase, frozen=True, tag="keyframe"):
    """The public state of a room after all events below `seq`; at most `KEYFRAME_BYTES_MAX` as JSON."""

    room: str
    epoch: str
    seq: int
    time_ms: int
    title: str
    anchor: str
    open: bool
    opened_ms: int
    anchor_name: str = ""
    announcement: str = ""
    close_reason: str = ""  # why the room was closed, if somebody said why
    pinned: Product | None = None
    showcase_version: int = 0
    showcase_count: int = 0
    slow_mode_ms: int = 0
    chat_budget: int = 0
    likes: int = 0
    viewers: int = 0
    unique: int = 0
    unique_estimated: bool = False
    peak: int = 0
    try_ons: dict[str, int] = {}
    envelopes: tuple[EnvelopeView, ...] = ()
    coupons: tuple[CouponView, ...] = ()
    sales: tuple[SaleView, ...] = ()
    questions: tuple[Question, ...] = ()
    chat: tuple[ChatLine, ...] = ()


class RoomDetail(Struct, frozen=True, omit_defaults=True):
    """A keyframe and what the backend's readers need beside it; never sent to viewers as it is."""

    keyframe: Keyframe
    banned: dict[str, int] = {}  # user -> until_ms
    muted: dict[str, int] = {}  # user -> until_ms
    products: tuple[Product, ...] = ()
    questions: tuple[Question, ...] = ()
    banned_words: tuple[str, ...] = ()
    continues: bool = False  # the lists of the one before it, which was too large for one record
    holdings: int | None = None  # parts that came before it, of what users own; `None` = that was not asked for


class Joined(FrameBase, frozen=True, tag="joined"):
    """First frame of a connection: who you are, where you stand, and what you may do."""

    room: str
    epoch: str
    user: str
    name: str
    role: Role
    seq: int  # where the frames that follow begin
    resumed: bool  # true: the frames that follow continue at the seq you named; false: a keyframe follows
    time_ms: int
    command_bytes_max: int
    commands_per_s: int
    idle_ms: int  # send something (a ping will do) at least this often
    muted_until_ms: int = 0
    beat_ms: int = 0  # a frame comes at least this often, a `beat` if nothing else; 0 = silence means nothing


class Delta(FrameBase, frozen=True, rename={"from_": "from"}, tag="delta"):
    """The events of the span [from, to) of room seqs, less those counted in `left_out` by delivery class."""

    from_: int
    to: int
    time_ms: int
    events: tuple[Any, ...]  # event objects, each with its `seq`
    left_out: dict[str, int] = {}


class Skipped(FrameBase, frozen=True, rename={"from_": "from"}, tag="skipped"):
    """You were too slow or away too long: the span [from, to) will not come; a keyframe follows. With `to` below `from` the stream was set back."""

    from_: int
    to: int


class Personal(FrameBase, frozen=True, tag="personal"):
    """An event that concerns you alone, as soon as it happened: no delta holds it. `coupon` is what a claim added to your belongings."""

    seq: int
    time_ms: int
    event: Any  # an event object with its `seq`
    coupon: OwnedCoupon | None = None


class Belongings(FrameBase, frozen=True, tag="belongings"):
    """What you own in the room after all events below `seq`; `left_out` things more than the newest of each kind are not named."""

    seq: int
    grants: tuple[Grant, ...] = ()  # of envelopes that are announced or open, or closed lately
    coupons: tuple[OwnedCoupon, ...] = ()
    holds: tuple[OwnedHold, ...] = ()  # not resolved
    bought: dict[int, int] = {}  # sale -> units that were paid, of sales that are not over
    left_out: int = 0


class Parked(FrameBase, frozen=True, tag="parked"):
    """The command `id` waits in the line for something scarce, with at most `ahead` others before it; its reply is still to come."""

    id: str
    ahead: int


class Interruption(FrameBase, frozen=True, tag="interruption"):
    """The room is not heard from since `since_ms`: nothing new comes, and commands wait; `over`: it is again. The connection stays as it is."""

    since_ms: int
    over: bool = False


class GoingAway(FrameBase, frozen=True, tag="going_away"):
    """This gateway drains: come back after `reconnect_after_ms`, chosen for you alone."""

    reconnect_after_ms: int


class Banned(FrameBase, frozen=True, tag="banned"):
    """You are banned until `until_ms`, by the clock that shows `time_ms` now: the last frame before the close with 4502."""

    until_ms: int
    time_ms: int
    reason: str = ""


class Beat(FrameBase, frozen=True, tag="beat"):
    """A sign of life: nothing else came for `beat_ms`, or you sent a `probe`."""

    time_ms: int


Frame = Union[Joined, Keyframe, Belongings, Delta, Skipped, Personal, Parked, Accepted, Refused, Interruption, GoingAway, Banned, Beat]
FRAMES: dict[str, type[FrameBase]] = {str(c.__struct_config__.tag): c for c in get_args(Frame)}
