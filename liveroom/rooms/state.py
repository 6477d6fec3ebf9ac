"""The state of a room with the parts of all features, and its encoding."""

from __future__ import annotations

from importlib import import_module
from typing import Final, cast

import msgspec
from msgspec import defstruct

from liveroom.features.lifecycle.messages import RoomOpened
from liveroom.features.registry import FEATURES
from liveroom.features.ruleset import Rules
from liveroom.features.state import RoomState

__all__ = ["RULES", "decode_state", "encode_state", "new_room"]

#: The rules of each feature by its name, in the order of the list.
RULES: Final[dict[str, Rules]] = {feature.name: import_module(feature.rules).RULES for feature in FEATURES}

#: The core with one field per feature that has a state; an absent part is `None`.
_Room: Final = cast(
    type[RoomState],
    defstruct(
        "RoomState",
        [(name, rules.state | None, None) for name, rules in RULES.items() if rules.state is not None],
        bases=(RoomState,),
        omit_defaults=True,
        forbid_unknown_fields=True,  # otherwise the money of a feature that this version lacks would be dropped without a word
    ),
)

_decoder = msgspec.json.Decoder(_Room)
encode_state = msgspec.json.Encoder().encode


def new_room(event: RoomOpened, time_ms: int) -> RoomState:
    """A room before its first event, which opens it."""
    return _Room(stream_id=event.stream_id, seq=0, title="", anchor="", open=False, opened_ms=time_ms, rules=event.rules)


def decode_state(data: bytes) -> RoomState:
    """The state that `encode_state` wrote; raises `msgspec.DecodeError` on anything else."""
    return _decoder.decode(data)
