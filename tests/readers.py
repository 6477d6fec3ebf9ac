"""Readers of a room for tests: a console and a client that fold its events, held against what the engine says of the same room."""

from __future__ import annotations

from typing import Any

from liveroom.client import RoomEvent
from liveroom.client.state import fold
from liveroom.console.view import RoomView
from liveroom.features.chat.messages import ChatSent
from liveroom.features.feature import View
from liveroom.features.moderation.view import fold_sanctions
from liveroom.features.registry import FEATURES
from liveroom.features.views import active
from liveroom.messages.fields import Delivery
from liveroom.protocol.codec import encode
from liveroom.protocol.events import Event
from liveroom.protocol.frames import RoomDetail
from liveroom.protocol.records import RoomSpan
from liveroom.rooms.keyframe import KEYFRAME_FILLED_BYTES

__all__ = ["Readers"]


class Readers:
    """A console and a client that begin with a room's detail."""

    def __init__(self, detail: RoomDetail, chat_lines: int) -> None:
        self.console = RoomView(0, detail, chat_lines)
        self.client = detail.keyframe

    def take(self, seq: int, events: tuple[Event, ...], time_ms: int) -> None:
        """Fold the events of one record; the client gets those that a gateway sends."""
        self.console.apply(RoomSpan(seq, events), time_ms)
        for at, event in enumerate(events, seq):
            if event.delivery not in (Delivery.internal, Delivery.personal) and not (isinstance(event, ChatSent) and not event.shown):
                self.client = fold(self.client, RoomEvent(at, time_ms, event))

    def agree_with(self, truth: RoomDetail) -> None:
        """Hold every field of every feature against the engine's."""
        is_cut = len(encode(truth.keyframe)) > KEYFRAME_FILLED_BYTES // 4
        for feature in FEATURES:
            for view in feature.views:
                said = getattr(truth.keyframe, view.field)
                shown = getattr(self.client, view.field)
                _compare(view, getattr(self.console.keyframe, view.field), said, is_cut=is_cut)
                _compare(view, view.shown(shown) if view.shown else shown, said, is_cut=is_cut)
            for view in feature.details:
                known = self.console.details[view.field]
                if view.fold is fold_sanctions:
                    known = active(known, truth.keyframe.time_ms)
                assert known == getattr(truth, view.field), view.field


def _compare(view: View, folded: Any, said: Any, *, is_cut: bool) -> None:
    """Equal; but a list may begin earlier for one of the two, and a keyframe that is full of bytes leaves items out."""
    if not isinstance(said, tuple):
        assert folded == said, view.field
    elif is_cut:
        assert all(item in folded for item in said), view.field
    else:
        both = min(len(folded), len(said))
        assert folded[len(folded) - both :] == said[len(said) - both :], view.field
        assert both == max(len(folded), len(said)) or view.field == "chat", "only chat is cut to the lines that a reader keeps"
