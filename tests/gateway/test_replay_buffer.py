"""The past that a room begins with."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from liveroom.features.audience.messages import AudienceReported
from liveroom.features.chat.messages import ChatSent
from liveroom.features.lifecycle.messages import AnnouncementSet
from liveroom.features.moderation.messages import BannedWordsSet
from liveroom.gateway.replay_buffer import ReplayBuffer
from liveroom.protocol.codec import decode_entry, encode
from liveroom.protocol.events import Event
from liveroom.protocol.records import Record, RoomSpan
from tests.collector import looked_at

PLENTY = 1_000_000_000


def _record(**spans: tuple[int, int]) -> Record:
    rooms = {room: RoomSpan(begin, tuple(AnnouncementSet(str(seq)) for seq in range(begin, end))) for room, (begin, end) in spans.items()}
    return Record(v=1, fencing_epoch=0, step=0, from_=0, to=0, time_ms=7, rooms=rooms)


def test_the_past_is_contiguous_up_to_where_it_is_asked_for() -> None:
    """Spans are given in order, end at the seq that was asked for, and nothing before a gap is among them."""
    replay_buffer = ReplayBuffer(100, PLENTY)
    for spans in ({"a": (0, 2)}, {"a": (5, 7), "b": (0, 1)}, {"a": (7, 8)}, {"a": (8, 10)}):
        replay_buffer.add(_record(**spans))
    assert [(p.from_, len(p.events)) for p in replay_buffer.before("a", 8)] == [(5, 2), (7, 1)]
    assert [(p.from_, len(p.events)) for p in replay_buffer.before("a", 10)] == [(5, 2), (7, 1), (8, 2)]
    assert replay_buffer.before("a", 9) == []
    assert replay_buffer.before("nobody", 3) == []


def test_the_oldest_go_first() -> None:
    """No more events are kept than may be, over all rooms; a room without any left is forgotten."""
    replay_buffer = ReplayBuffer(4, PLENTY)
    replay_buffer.add(_record(a=(0, 2)))
    replay_buffer.add(_record(b=(0, 2)))
    replay_buffer.add(_record(b=(2, 4)))
    assert replay_buffer.before("a", 2) == []
    assert [(p.from_, len(p.events)) for p in replay_buffer.before("b", 4)] == [(0, 2), (2, 2)]


def test_the_oldest_go_first_by_bytes_too() -> None:
    """Long events push out more than short ones, and what is kept never takes more than it may."""
    replay_buffer = ReplayBuffer(1_000_000, 100_000)
    for seq in range(1_000):
        replay_buffer.add(Record(v=1, fencing_epoch=0, step=0, from_=0, to=0, time_ms=7, rooms={"a": RoomSpan(seq, (AnnouncementSet("x" * 1_000),))}))
        assert replay_buffer.bytes <= 100_000
    kept = replay_buffer.before("a", 1_000)
    assert 10 < len(kept) < 100
    assert kept[-1].from_ == 999


def test_the_past_is_no_work_for_the_garbage_collector() -> None:
    """However much is kept, a full collection looks at some objects only."""

    def make() -> ReplayBuffer:
        replay_buffer = ReplayBuffer(PLENTY, PLENTY)
        for seq in range(2_000):
            replay_buffer.add(_record(a=(seq, seq + 1)))
        return replay_buffer

    assert looked_at(make) < 100


def test_of_what_no_viewer_is_shown_only_the_place_is_kept() -> None:
    """A moderator who sets long lists of words again and again takes no memory with it, and no seq is missing."""
    replay_buffer = ReplayBuffer(1_000_000, PLENTY)
    words = tuple(chr(0x4E00 + i) * 50 for i in range(500))
    for seq in range(0, 1_000, 2):
        events = (AnnouncementSet("hello"), BannedWordsSet(words, "mo"))
        replay_buffer.add(Record(v=1, fencing_epoch=0, step=0, from_=0, to=0, time_ms=7, rooms={"a": RoomSpan(seq, events)}))
    assert replay_buffer.bytes < 1_000_000
    assert [past.events[1] for past in replay_buffer.before("a", 1_000)] == [BannedWordsSet((), "")] * 500


@pytest.mark.parametrize(
    "event",
    [
        lambda n: ChatSent("vera", "Vera", f"hello {n}"),
        lambda n: ChatSent("v" * 128, "N" * 64, "x" * 290 + str(n)),
        lambda n: ChatSent("v" * 128, "N" * 63 + "\U0001f600", "x" * 290 + f"\U0001f600{n}"),
        lambda n: BannedWordsSet(tuple(str(n + i) for i in range(500)), "mo"),
        lambda n: AudienceReported("gateway", n, tuple(range(2**50, 2**50 + 1_000))),
    ],
)
def test_what_is_counted_is_at_least_the_memory_that_is_taken(event: Callable[[int], Event]) -> None:
    """The count of bytes is held against memory as Python itself measures it."""
    written = [encode(Record(v=1, fencing_epoch=0, step=0, from_=0, to=0, time_ms=7, rooms={"a": RoomSpan(n, (event(n),))})) for n in range(500)]
    replay_buffer = ReplayBuffer(1_000_000, PLENTY)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for data in written:
            entry = decode_entry(data)
            assert isinstance(entry, Record)
            replay_buffer.add(entry)
        del entry
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken <= replay_buffer.bytes < 10 * taken
