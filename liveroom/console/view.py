"""One room in the console: its detail, kept current by folding the room's events."""

from __future__ import annotations

import unicodedata
from heapq import nsmallest
from typing import Any, Final

from msgspec.structs import replace

from liveroom.features.registry import VIEWS
from liveroom.features.views import active
from liveroom.journal.base import Part
from liveroom.journal.room_index import summary_of
from liveroom.protocol.commands import Product
from liveroom.protocol.events import (
    AnnouncementSet,
    AudienceCounted,
    BannedWordsSet,
    ChatBudgetSet,
    ChatSent,
    Event,
    LikesAdded,
    MessageDeleted,
    ProductAdded,
    ProductPinned,
    ProductRemoved,
    ProductUnpinned,
    QuestionAnswered,
    QuestionAsked,
    QuestionDismissed,
    QuestionPicked,
    RoomClosed,
    RoomOpened,
    SlowModeSet,
    TryOnRequested,
    UserBanned,
    UserMuted,
    UserUnbanned,
    UserUnmuted,
)
from liveroom.protocol.frames import ChatLine, Keyframe, Question, RoomDetail
from liveroom.protocol.records import RoomSpan

__all__ = ["RoomView", "SortKey", "fold_text", "new_detail"]

#: Newest open questions in the keyframe, besides the picked one.
QUESTIONS_SHOWN: Final = 20
#: Answered questions that are kept, the newest.
ANSWERED_MAX: Final = 20
#: Products with try-on requests in the keyframe, the most requested first.
TRY_ONS_SHOWN: Final = 30

#: Characters of a room's texts that a search examines, after folding. NFKC can turn one character into 18.
SEARCHED_CHARS_MAX: Final = 1_000

#: The directory's order: open rooms first, then the most viewers, then by name.
SortKey = tuple[bool, int, str]


def fold_text(text: str) -> str:
    """The form of a text in which a search compares it."""
    return unicodedata.normalize("NFKC", text).casefold()


def new_detail(room: str, opened: RoomOpened, time_ms: int) -> RoomDetail:
    """The detail of a room that is just being opened."""
    return RoomDetail(
        Keyframe(
            room=room,
            stream_id=opened.stream_id,
            seq=0,
            time_ms=time_ms,
            title=opened.title,
            anchor=opened.anchor,
            anchor_name=opened.anchor_name,
            open=True,
            opened_ms=time_ms,
            chat_budget=opened.rules.chat_budget,
        )
    )


class RoomView:
    """The readable state of one room. Its events come from `partition`, and `chat_lines` lines of chat are kept."""

    __slots__ = (
        "_searched",
        "answered",
        "banned",
        "banned_words",
        "chat_lines",
        "is_whole",
        "keyframe",
        "muted",
        "part",
        "partition",
        "products",
        "questions",
        "text",
    )

    def __init__(self, partition: int, detail: RoomDetail, chat_lines: int, *, is_whole: bool = True) -> None:
        self.partition = partition
        self.is_whole = is_whole  # false if only the room's summary is known
        self.part: Part | None = None  # the snapshot part that holds the room's present state, if known
        self.chat_lines = chat_lines
        self.keyframe = detail.keyframe
        self.products: dict[str, Product] = {}
        self.questions: dict[int, Question] = {}
        self.answered: dict[int, Question] = {}  # newest answer last
        self.muted: dict[str, int] = {}
        self.banned: dict[str, int] = {}
        self.banned_words: tuple[str, ...] = ()
        self._add(detail)
        self._searched: tuple[str, ...] | None = None
        self.text = ""
        self.note_texts()

    def shorten(self) -> RoomView:
        """The same room with only its summary."""
        return RoomView(self.partition, RoomDetail(summary_of(self.keyframe)), self.chat_lines, is_whole=False)

    def go_on(self, detail: RoomDetail) -> None:
        """Take a continuation of the room's detail. A continuation of another seq is ignored."""
        if detail.keyframe.seq == self.keyframe.seq:
            self._add(detail)
            self.keyframe = replace(self.keyframe)  # a new object, so that cached encodings are renewed

    def _add(self, detail: RoomDetail) -> None:
        self.products |= {p.id: p for p in detail.products}
        self.questions |= {q.seq: q for q in detail.questions if q.state != "answered"}
        self.answered |= {q.seq: q for q in detail.questions if q.state == "answered"}
        self.muted |= detail.muted
        self.banned |= detail.banned
        self.banned_words += tuple(word for word in detail.banned_words if word not in self.banned_words)

    @property
    def sort_key(self) -> SortKey:
        """The room's place in the order of the directory."""
        return (not self.keyframe.open, -self.keyframe.viewers, self.keyframe.room)

    def note_texts(self) -> None:
        """Fold the texts for the search again if they changed."""
        keyframe = self.keyframe
        searched = (keyframe.title, keyframe.anchor, keyframe.anchor_name, keyframe.pinned.title if keyframe.pinned else "")
        if searched != self._searched:
            self._searched = searched
            self.text = fold_text("\n".join((keyframe.room, *searched)))[:SEARCHED_CHARS_MAX]

    def apply(self, span: RoomSpan, time_ms: int) -> None:
        """Fold the events of one record."""
        changed: dict[str, Any] = {"time_ms": time_ms, "seq": span.from_ + len(span.events)}
        for seq, event in enumerate(span.events, span.from_):
            self._fold_public(event, seq, time_ms, changed)
            self._fold_kept(event, seq, time_ms, changed)
            self._fold_view(event, seq, changed)
        self.keyframe = replace(self.keyframe, **changed)
        self.note_texts()

    def _now(self, changed: dict[str, Any], name: str) -> Any:
        return changed[name] if name in changed else getattr(self.keyframe, name)

    def _fold_public(self, event: Event, seq: int, time_ms: int, changed: dict[str, Any]) -> None:
        """Fold an event into the fields of the keyframe."""
        match event:
            case ChatSent() if event.shown and self.chat_lines:
                line = ChatLine(seq=seq, user=event.user, name=event.name, text=event.text, role=event.role, buyer=event.buyer)
                changed["chat"] = (*self._now(changed, "chat"), line)[-self.chat_lines :]
            case MessageDeleted():
                changed["chat"] = tuple(line for line in self._now(changed, "chat") if line.seq != event.message)
            case LikesAdded():
                changed["likes"] = event.total
            case AudienceCounted():
                changed |= {"viewers": event.viewers, "unique": event.unique, "peak": event.peak, "unique_estimated": event.unique_estimated}
            case TryOnRequested():
                counts = {**self._now(changed, "try_ons"), event.product: event.count}
                changed["try_ons"] = dict(nsmallest(TRY_ONS_SHOWN, counts.items(), key=lambda one: (-one[1], one[0])))
            case RoomOpened():
                changed |= {"open": True, "opened_ms": time_ms, "close_reason": "", "title": event.title, "stream_id": event.stream_id}
                changed |= {"anchor": event.anchor, "anchor_name": event.anchor_name}
            case RoomClosed():
                changed |= {"open": False, "close_reason": event.reason}
            case AnnouncementSet():
                changed["announcement"] = event.text
            case SlowModeSet():
                changed["slow_mode_ms"] = event.interval_ms
            case ChatBudgetSet():
                changed["chat_budget"] = event.lines_per_s
            case ProductPinned():
                changed["pinned"] = event.product
            case ProductUnpinned():
                changed["pinned"] = None

    def _fold_kept(self, event: Event, seq: int, time_ms: int, changed: dict[str, Any]) -> None:
        """Fold an event into the state outside the keyframe: the showcase, questions, mutes, bans and banned words."""
        match event:
            case ProductAdded():
                self.products[event.product.id] = event.product
                changed |= {"showcase_version": seq, "showcase_count": len(self.products)}
            case ProductRemoved():
                self.products.pop(event.product, None)
                try_ons = {product: count for product, count in self._now(changed, "try_ons").items() if product != event.product}
                changed |= {"showcase_version": seq, "showcase_count": len(self.products), "try_ons": try_ons}
            case QuestionAsked() | QuestionPicked() | QuestionAnswered() | QuestionDismissed():
                self._fold_question(event, seq)
                changed["questions"] = self._questions_shown()
            case UserMuted():
                self.muted = {**active(self.muted, time_ms), event.user: event.until_ms}
            case UserUnmuted():
                self.muted.pop(event.user, None)
            case UserBanned():
                self.banned = {**active(self.banned, time_ms), event.user: event.until_ms}
                if event.messages_deleted:
                    changed["chat"] = tuple(line for line in self._now(changed, "chat") if line.user != event.user)
            case UserUnbanned():
                self.banned.pop(event.user, None)
            case BannedWordsSet():
                self.banned_words = event.words

    def _fold_view(self, event: Event, seq: int, changed: dict[str, Any]) -> None:
        """Fold an event into the view of its feature."""
        if (view := VIEWS.get(type(event))) is None:
            return
        before = self._now(changed, view.field)
        after = view.fold(before, event, seq)
        if after is not before:
            changed[view.field] = after

    def _fold_question(self, event: QuestionAsked | QuestionPicked | QuestionAnswered | QuestionDismissed, seq: int) -> None:
        if isinstance(event, QuestionAsked):
            self.questions[seq] = Question(seq=seq, user=event.user, name=event.name, text=event.text)
        elif isinstance(event, QuestionDismissed):
            self.questions.pop(event.question, None)
        elif isinstance(event, QuestionPicked):
            for other in [q for q in self.questions.values() if q.state == "picked"]:
                self.questions[other.seq] = replace(other, state="asked")
            if question := self.questions.get(event.question):
                self.questions[event.question] = replace(question, state="picked")
        elif question := self.questions.pop(event.question, None):
            self.answered[event.question] = replace(question, state="answered", answer=event.text)
            if len(self.answered) > ANSWERED_MAX:
                del self.answered[next(iter(self.answered))]

    def all_questions(self) -> tuple[Question, ...]:
        """Open questions and the newest answered ones, oldest first."""
        return tuple(sorted([*self.questions.values(), *self.answered.values()], key=_by_seq))

    def _questions_shown(self) -> tuple[Question, ...]:
        picked = [q for q in self.questions.values() if q.state == "picked"]
        asked = [q for q in self.questions.values() if q.state != "picked"]
        return tuple(sorted([*picked, *asked[-QUESTIONS_SHOWN:], *self.answered.values()], key=_by_seq))


def _by_seq(question: Question) -> int:
    return question.seq
