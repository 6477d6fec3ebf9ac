"""Frames: what a gateway sends to a viewer, and the keyframe that every stage shares."""

from __future__ import annotations

from typing import Any, Union, get_args

from msgspec import Struct

from liveroom.protocol.belongings import Grant, OwnedCoupon, OwnedHold
from liveroom.protocol.commands import Product
from liveroom.features.coupon.messages import CouponTerms
from liveroom.messages.fields import Role
from liveroom.features.red_envelope.messages import EnvelopeCondition

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

#: What a reply tells beside yes: plain values by name.
Result = dict[str, str | int | bool]


class FrameBase(Struct, frozen=True, omit_defaults=True, tag_field="type", gc=False):
    """What every frame has: its type."""


class ChatLine(Struct, frozen=True, omit_defaults=True, gc=False):
    """A chat line inside a keyframe."""

    seq: int
    user: str
    name: str
    text: str
    role: Role = Role.viewer
    buyer: bool = False


class Question(Struct, frozen=True, omit_defaults=True, gc=False):
    """A question inside a keyframe; `state` is asked, picked or answered."""

    seq: int
    user: str
    name: str
    text: str
    state: str = "asked"
    answer: str = ""


class EnvelopeView(Struct, frozen=True, omit_defaults=True):
    """A red envelope inside a keyframe: announced or open."""

    envelope: int
    title: str
    total_fen: int
    parts: int
    parts_left: int
    left_fen: int
    split: str
    opens_ms: int
    closes_ms: int
    commitment: str
    open: bool = False
    condition: EnvelopeCondition = EnvelopeCondition()
    users_per_address_max: int = 0


class CouponView(Struct, frozen=True, omit_defaults=True):
    """A coupon inside a keyframe that can be claimed."""

    coupon: int
    title: str
    terms: CouponTerms
    stock: int
    left: int
    per_user_max: int
    claimable_until_ms: int
    valid_until_ms: int
    users_per_address_max: int = 0


class SaleView(Struct, frozen=True, omit_defaults=True):
    """A flash sale inside a keyframe: announced or open, or closed with holds that are not resolved."""

    sale: int
    product: str
    title: str
    price_fen: int
    stock: int
    available: int
    held: int
    sold: int
    per_user_max: int
    opens_ms: int
    closes_ms: int
    hold_ms: int
    state: str  # announced, open or closed
    users_per_address_max: int = 0


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


class Accepted(FrameBase, frozen=True, tag="accepted"):
    """The command `id` happened; its events have seqs below `seq`."""

    id: str
    seq: int
    result: Result = {}


class Refused(FrameBase, frozen=True, tag="refused"):
    """The command `id` did not happen; `code` is one of the refusal codes. `id` is empty if none could be read."""

    id: str
    code: str
    detail: str
    seq: int = 0
    field: str = ""
    retry_after_ms: int = 0


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
