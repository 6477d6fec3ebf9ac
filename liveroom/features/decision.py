"""The input and output of a decision: a turn in, events or a refusal out."""

from __future__ import annotations

from typing import Protocol, final

from msgspec import Struct

from liveroom.features.state import RoomState
from liveroom.messages.base import EventBase
from liveroom.messages.replies import Result
from liveroom.messages.sender import Sender
from liveroom.messages.settings import RoomSettings

__all__ = ["Decided", "Decision", "Refusal", "Rng", "Turn"]


class Rng(Protocol):
    """The part of `random.Random` that rooms need. Every drawn value is written into an event."""

    def getrandbits(self, k: int, /) -> int:
        """An integer of `k` random bits."""


class Decided(Struct, frozen=True, gc=False):
    """Yes: these events happen, at consecutive seqs from the state's own on, and the sender gets `result`."""

    events: tuple[EventBase, ...]
    result: Result = {}


@final
class Refusal(Struct, frozen=True, gc=False):
    """No: `code` is a common one or the feature's own, `detail` is for people, `retry_after_ms` is 0 if waiting does not help."""

    code: str
    detail: str
    field: str = ""
    retry_after_ms: int = 0


Decision = Decided | Refusal


class Turn(Struct, frozen=True, gc=False):
    """The input of a decision beside the command."""

    state: RoomState
    sender: Sender
    now_ms: int
    rules: RoomSettings
    rng: Rng
