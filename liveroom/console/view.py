"""One room in the console: its detail, kept current by folding the room's events."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

from msgspec.structs import replace

from liveroom.features.lifecycle.messages import RoomOpened
from liveroom.journal.base import SnapshotPart
from liveroom.journal.room_index import summary_of
from liveroom.protocol.frames import VIEWS, Keyframe, RoomDetail
from liveroom.protocol.public_state import add_details, details_of, fold_details, fold_keyframe
from liveroom.protocol.records import RoomSpan

__all__ = ["RoomView", "SortKey", "fold_text", "new_detail"]

#: Characters of a room's texts that a search examines, after folding. NFKC can turn one character into 18.
SEARCHED_CHARS_MAX: Final = 1_000
_SEARCHED: Final = tuple((view.field, view.searched) for view in VIEWS if view.searched is not None)

#: The directory's order: open rooms first, then the most viewers, then by name.
SortKey = tuple[bool, int, str]


def fold_text(text: str) -> str:
    """The form of a text in which a search compares it."""
    return unicodedata.normalize("NFKC", text).casefold()


def new_detail(room: str, opened: RoomOpened, time_ms: int) -> RoomDetail:
    """The detail of a room right before its first event, which opens it."""
    return RoomDetail(Keyframe(room, opened.stream_id, 0, time_ms, "", "", False, 0))


class RoomView:
    """The readable state of one room. Its events come from `partition`, and `chat_lines` lines of chat are kept."""

    __slots__ = ("_kept", "_searched", "chat_lines", "details", "is_whole", "keyframe", "part", "partition", "text")

    def __init__(self, partition: int, detail: RoomDetail, chat_lines: int, *, is_whole: bool = True) -> None:
        self.partition = partition
        self.is_whole = is_whole  # false if only the room's summary is known
        self.part: SnapshotPart | None = None  # the snapshot part that holds the room's present state, if known
        self.chat_lines = chat_lines
        self._kept = {"chat": chat_lines}
        self.keyframe = detail.keyframe
        self.details = details_of(detail)  # by field
        self._searched: tuple[str, ...] | None = None
        self.text = ""
        self.note_texts()

    def shorten(self) -> RoomView:
        """The same room with only its summary."""
        return RoomView(self.partition, RoomDetail(summary_of(self.keyframe)), self.chat_lines, is_whole=False)

    def go_on(self, detail: RoomDetail) -> None:
        """Take a continuation of the room's detail. A continuation of another seq is ignored."""
        if detail.keyframe.seq == self.keyframe.seq:
            add_details(self.details, detail)
            self.keyframe = replace(self.keyframe)  # a new object, so that cached encodings are renewed

    @property
    def sort_key(self) -> SortKey:
        """The room's place in the order of the directory."""
        return (not self.keyframe.open, -self.keyframe.viewers, self.keyframe.room)

    def note_texts(self) -> None:
        """Fold the texts for the search again if they changed."""
        searched = tuple(text_of(getattr(self.keyframe, field)) for field, text_of in _SEARCHED)
        if searched != self._searched:
            self._searched = searched
            self.text = fold_text("\n".join((self.keyframe.room, *searched)))[:SEARCHED_CHARS_MAX]

    def apply(self, span: RoomSpan, time_ms: int) -> None:
        """Fold the events of one record."""
        changed: dict[str, Any] = {"time_ms": time_ms, "seq": span.from_ + len(span.events)}
        for seq, event in enumerate(span.events, span.from_):
            fold_keyframe(self.keyframe, changed, event, seq, time_ms, self._kept)
            fold_details(self.details, changed, event, seq, time_ms)
        self.keyframe = replace(self.keyframe, **changed)
        self.note_texts()
