"""The room's public state, kept right: a keyframe and the events after it give the keyframe that the server would send.

The fold is pure: it returns a new state and leaves the old one unchanged. Only `showcase_count` stays that of the last keyframe,
because events do not say whether a product was there before. To show the showcase, fetch it when `showcase_version` changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from liveroom.client.items import RoomEvent
from liveroom.features.registry import VIEWS
from liveroom.protocol import events as e
from liveroom.protocol.frames import ChatLine, Keyframe, Question

__all__ = ["CHAT_LINES_KEPT", "QUESTIONS_KEPT", "fold", "passed"]

#: Lines of chat that a folded state holds; a keyframe from the server may hold fewer.
CHAT_LINES_KEPT = 200
#: Questions that a folded state holds, the newest.
QUESTIONS_KEPT = 300


def fold(state: Keyframe, item: RoomEvent) -> Keyframe:
    """The state after one event; events without public effect, and unknown ones, only move its seq and time."""
    change = _CHANGES.get(type(item.event))
    changed = change(state, item, item.event) if change else {}
    if view := VIEWS.get(type(item.event)):
        changed = {**changed, view.field: view.fold(getattr(state, view.field), item.event, item.seq)}
    return replace(state, seq=item.seq + 1, time_ms=item.time_ms, **changed)


def passed(state: Keyframe, seq: int, time_ms: int) -> Keyframe:
    """The state after events that the server left out on purpose."""
    return replace(state, seq=seq, time_ms=time_ms)


Changes = dict[str, Any]


def _opened(state: Keyframe, item: RoomEvent, event: e.RoomOpened) -> Changes:
    # A budget that was set outlives a closing, so the one at hand is better than that of the event's rules.
    return {
        "title": event.title,
        "anchor": event.anchor,
        "anchor_name": event.anchor_name,
        "open": True,
        "opened_ms": item.time_ms,
        "close_reason": "",
    }


def _said(state: Keyframe, item: RoomEvent, event: e.ChatSent) -> Changes:
    line = ChatLine(item.seq, event.user, event.name, event.text, event.role, event.buyer)
    return {"chat": (*state.chat, line)[-CHAT_LINES_KEPT:]}


def _deleted(state: Keyframe, item: RoomEvent, event: e.MessageDeleted) -> Changes:
    return {"chat": tuple(line for line in state.chat if line.seq != event.message)}


def _banned(state: Keyframe, item: RoomEvent, event: e.UserBanned) -> Changes:
    return {"chat": tuple(line for line in state.chat if line.user != event.user)} if event.messages_deleted else {}


def _asked(state: Keyframe, item: RoomEvent, event: e.QuestionAsked) -> Changes:
    return {"questions": (*state.questions, Question(item.seq, event.user, event.name, event.text))[-QUESTIONS_KEPT:]}


def _picked(state: Keyframe, item: RoomEvent, event: e.QuestionPicked) -> Changes:
    before = next((q.seq for q in state.questions if q.state == "picked"), -1)
    return {"questions": _with(_with(state.questions, before, state="asked"), event.question, state="picked")}


def _answered(state: Keyframe, item: RoomEvent, event: e.QuestionAnswered) -> Changes:
    return {"questions": _with(state.questions, event.question, state="answered", answer=event.text)}


def _with(questions: tuple[Question, ...], seq: int, **changed: str) -> tuple[Question, ...]:
    return tuple(replace(q, **changed) if q.seq == seq else q for q in questions)


def _dismissed(state: Keyframe, item: RoomEvent, event: e.QuestionDismissed) -> Changes:
    return {"questions": tuple(q for q in state.questions if q.seq != event.question)}


def _removed(state: Keyframe, item: RoomEvent, event: e.ProductRemoved) -> Changes:
    return {"showcase_version": item.seq, "try_ons": {p: count for p, count in state.try_ons.items() if p != event.product}}


def _counted(state: Keyframe, item: RoomEvent, event: e.AudienceCounted) -> Changes:
    return {"viewers": event.viewers, "unique": event.unique, "peak": event.peak, "unique_estimated": event.unique_estimated}


_CHANGES: dict[type, Callable[[Keyframe, RoomEvent, Any], Changes]] = {
    e.RoomOpened: _opened,
    e.RoomClosed: lambda state, item, event: {"open": False, "close_reason": event.reason},
    e.AnnouncementSet: lambda state, item, event: {"announcement": event.text},
    e.ChatSent: _said,
    e.MessageDeleted: _deleted,
    e.UserBanned: _banned,
    e.SlowModeSet: lambda state, item, event: {"slow_mode_ms": event.interval_ms},
    e.ChatBudgetSet: lambda state, item, event: {"chat_budget": event.lines_per_s},
    e.QuestionAsked: _asked,
    e.QuestionPicked: _picked,
    e.QuestionAnswered: _answered,
    e.QuestionDismissed: _dismissed,
    e.LikesAdded: lambda state, item, event: {"likes": event.total},
    e.ProductAdded: lambda state, item, event: {"showcase_version": item.seq},
    e.ProductRemoved: _removed,
    e.ProductPinned: lambda state, item, event: {"pinned": event.product},
    e.ProductUnpinned: lambda state, item, event: {"pinned": None},
    e.TryOnRequested: lambda state, item, event: {"try_ons": {**state.try_ons, event.product: event.count}},
    e.AudienceCounted: _counted,
}
