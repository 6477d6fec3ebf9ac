"""The past that a room begins with."""

from __future__ import annotations

from liveroom.gateway.history import History
from liveroom.messages.events import AnnouncementSet
from liveroom.messages.records import Record, RoomSpan


def _record(**spans: tuple[int, int]) -> Record:
    rooms = {room: RoomSpan(begin, tuple(AnnouncementSet(str(seq)) for seq in range(begin, end))) for room, (begin, end) in spans.items()}
    return Record(v=1, epoch=0, step=0, from_=0, to=0, time_ms=7, rooms=rooms)


def test_the_past_is_contiguous_up_to_where_it_is_asked_for() -> None:
    """Spans are given in order, end at the seq that was asked for, and nothing before a gap is among them."""
    history = History(100)
    for spans in ({"a": (0, 2)}, {"a": (5, 7), "b": (0, 1)}, {"a": (7, 8)}, {"a": (8, 10)}):
        history.add(_record(**spans))
    assert [(p.from_, len(p.events)) for p in history.before("a", 8)] == [(5, 2), (7, 1)]
    assert [(p.from_, len(p.events)) for p in history.before("a", 10)] == [(5, 2), (7, 1), (8, 2)]
    assert history.before("a", 9) == []
    assert history.before("nobody", 3) == []


def test_the_oldest_go_first() -> None:
    """No more events are kept than may be, over all rooms; a room without any left is forgotten."""
    history = History(4)
    history.add(_record(a=(0, 2)))
    history.add(_record(b=(0, 2)))
    history.add(_record(b=(2, 4)))
    assert history.before("a", 2) == []
    assert [(p.from_, len(p.events)) for p in history.before("b", 4)] == [(0, 2), (2, 2)]
