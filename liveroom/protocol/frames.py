"""Frames: the gateway's messages to a viewer, and the keyframe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Union, get_args

from msgspec import Struct, defstruct

from liveroom.features.feature import View
from liveroom.features.registry import FEATURES
from liveroom.features.tables import ENTITLEMENTS
from liveroom.messages.fields import Role
from liveroom.messages.replies import Accepted, FrameBase, Refused, Reply, Result
from liveroom.messages.structs import fields_of

__all__ = [
    "DETAILS",
    "FRAMES",
    "VIEWS",
    "Accepted",
    "Banned",
    "Beat",
    "Delta",
    "Entitlements",
    "GoingAway",
    "Interruption",
    "Joined",
    "Keyframe",
    "Personal",
    "Queued",
    "Refused",
    "Reply",
    "Result",
    "RoomDetail",
    "Skipped",
]


#: The features' fields of the keyframe and of the detail.
VIEWS: Final[tuple[View, ...]] = tuple(view for feature in FEATURES for view in feature.views)
DETAILS: Final[tuple[View, ...]] = tuple(view for feature in FEATURES for view in feature.details)


class KeyframeCore(FrameBase, frozen=True):
    """The fields of a keyframe that every room has."""

    room: str
    stream_id: str
    seq: int
    time_ms: int
    title: str
    anchor: str
    open: bool
    opened_ms: int
    anchor_name: str = ""
    announcement: str = ""
    close_reason: str = ""  # the reason given by `close_room`


if TYPE_CHECKING:

    class Keyframe(KeyframeCore, frozen=True):
        """The core, and to a type checker any field of any feature."""

        def __init__(self, *core: Any, **fields: Any) -> None: ...

        def __getattr__(self, field: str) -> Any: ...

else:
    Keyframe = defstruct(
        "Keyframe",
        [(view.field, view.kind, view.default) for view in VIEWS if view.field not in KeyframeCore.__struct_fields__],
        bases=(KeyframeCore,),
        namespace={"__doc__": "The public state of a room after all events below `seq`."},
        module=__name__,
        tag="keyframe",
        frozen=True,
    )


class RoomDetailCore(Struct, frozen=True, omit_defaults=True):
    """The fields of a detail that are no feature's."""

    keyframe: Keyframe
    continues: bool = False  # it holds the rest of the lists of the detail before it, which was too large for one record
    entitlements: int | None = None  # number of chunks with users' entitlements before it; `None` = they were not requested


if TYPE_CHECKING:

    class RoomDetail(RoomDetailCore, frozen=True):
        """The core, and to a type checker any field of any feature."""

        def __init__(self, *core: Any, **fields: Any) -> None: ...

        def __getattr__(self, field: str) -> Any: ...

else:
    RoomDetail = defstruct(
        "RoomDetail",
        [(view.field, view.kind, view.default) for view in DETAILS],
        bases=(RoomDetailCore,),
        namespace={"__doc__": "A keyframe with further state for gateways and consoles; viewers never receive it."},
        module=__name__,
        frozen=True,
    )


class Joined(FrameBase, frozen=True, tag="joined"):
    """The first frame of a connection: your user, your position in the stream, and your limits."""

    room: str
    stream_id: str
    user: str
    name: str
    role: Role
    seq: int  # where the following frames begin
    resumed: bool  # true: the following frames continue at your seq; false: a keyframe follows
    time_ms: int
    command_bytes_max: int
    commands_per_s: int
    idle_ms: int  # send a message or a ping at least this often
    muted_until_ms: int = 0
    beat_ms: int = 0  # you get a frame at least this often, if need be a `beat`; 0 = no beats


class Delta(FrameBase, frozen=True, rename={"from_": "from"}, tag="delta"):
    """The events with seqs in [from, to), except the omitted ones, which `omitted` counts by delivery class."""

    from_: int
    to: int
    time_ms: int
    events: tuple[Any, ...]  # event objects, each with its `seq`
    omitted: dict[str, int] = {}


class Skipped(FrameBase, frozen=True, rename={"from_": "from"}, tag="skipped"):
    """You were too slow or away too long: events in [from, to) are skipped. A keyframe follows. With `to` below `from`, the stream was set back."""

    from_: int
    to: int


class _Personal(FrameBase, frozen=True):
    """An event for you alone, sent at once and in no delta. Further fields are new entries of the `entitlements` frame."""

    seq: int
    time_ms: int
    event: Any  # an event object with its `seq`


class _Entitlements(FrameBase, frozen=True):
    """Your entitlements in the room after all events below `seq`: the newest of each kind. `omitted` counts the older ones."""

    seq: int


if TYPE_CHECKING:

    class Personal(_Personal, frozen=True):
        """An event for one user, with the fields that its feature adds."""

        def __init__(self, seq: int, time_ms: int, event: Any, **added: Any) -> None: ...

        def __getattr__(self, name: str) -> Any: ...

    class Entitlements(_Entitlements, frozen=True):
        """One user's entitlements from all features."""

        omitted: int

        def __init__(self, seq: int, *, omitted: int = 0, **owned: Any) -> None: ...

        def __getattr__(self, name: str) -> Any: ...

else:
    Personal = defstruct(
        "Personal",
        fields_of(fold.added for fold in ENTITLEMENTS),
        bases=(_Personal,),
        namespace={"__doc__": _Personal.__doc__},
        module=__name__,
        tag="personal",
        frozen=True,
    )
    Entitlements = defstruct(
        "Entitlements",
        [*fields_of(fold.owned for fold in ENTITLEMENTS), ("omitted", int, 0)],
        bases=(_Entitlements,),
        namespace={"__doc__": _Entitlements.__doc__},
        module=__name__,
        tag="entitlements",
        frozen=True,
    )


class Queued(FrameBase, frozen=True, tag="queued"):
    """The command `id` waits in an admission queue with at most `ahead` claims before it; its reply follows later."""

    id: str
    ahead: int


class Interruption(FrameBase, frozen=True, tag="interruption"):
    """The room is interrupted since `since_ms`: no events arrive and commands wait. `over` marks the end. The connection stays open."""

    since_ms: int
    over: bool = False


class GoingAway(FrameBase, frozen=True, tag="going_away"):
    """The gateway shuts down: reconnect after `reconnect_after_ms`, which differs for each connection."""

    reconnect_after_ms: int


class Banned(FrameBase, frozen=True, tag="banned"):
    """You are banned until `until_ms`, by a clock that shows `time_ms` now. The connection is then closed with 4502."""

    until_ms: int
    time_ms: int
    reason: str = ""


class Beat(FrameBase, frozen=True, tag="beat"):
    """A sign of life, sent after `beat_ms` without another frame, or in reply to a `probe`."""

    time_ms: int


Frame = Union[Joined, Keyframe, Entitlements, Delta, Skipped, Personal, Queued, Accepted, Refused, Interruption, GoingAway, Banned, Beat]
FRAMES: dict[str, type[FrameBase]] = {str(c.__struct_config__.tag): c for c in get_args(Frame)}
