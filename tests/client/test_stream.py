"""The cursor of one viewer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.client.items import EntitlementsReplaced, PersonalEvent, Repeated, RoomEvent
from liveroom.client.stream import Gap, Stream
from liveroom.features.flash_sale.messages import HoldExpired
from liveroom.features.lifecycle.messages import AnnouncementSet
from liveroom.features.moderation.messages import UserMuted, UserUnmuted
from liveroom.protocol.frames import Entitlements, Frame, Interruption, Personal, Skipped
from tests.client.conftest import delta, joined, keyframe


def started(seq: int = 0) -> Stream:
    stream = Stream()
    stream.receive(joined(seq))
    stream.receive(keyframe(seq))
    return stream


def seqs(stream: Stream, frame: Frame) -> list[int]:
    return [item.seq for item in stream.receive(frame) if isinstance(item, RoomEvent)]


def numbered(from_: int, to: int) -> Frame:
    return delta(from_, *(AnnouncementSet(str(seq)) for seq in range(from_, to)))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10))))
def test_each_event_comes_once_in_order_or_a_gap_is_seen(spans: list[tuple[int, int]]) -> None:
    """Whatever spans arrive, what comes out is 0, 1, 2, ... without a hole or a double; a span beyond the cursor is a gap."""
    stream, seen = started(), list[int]()
    for from_, length in spans:
        if from_ > len(seen):
            with pytest.raises(Gap):
                stream.receive(numbered(from_, from_ + length))
        else:
            seen += seqs(stream, numbered(from_, from_ + length))
    assert seen == list(range(len(seen)))
    assert stream.cursor == len(seen)


def test_a_keyframe_moves_the_cursor() -> None:
    """After a keyframe, at the start or later, events go on at its seq."""
    stream = started(5)
    stream.receive(keyframe(20))
    assert seqs(stream, numbered(18, 22)) == [20, 21]


def test_a_resumed_connection_goes_on() -> None:
    """A resumed connection may begin below the cursor; nothing comes twice."""
    stream = started(5)
    seqs(stream, numbered(5, 8))
    stream.receive(joined(6, resumed=True))
    assert seqs(stream, numbered(6, 10)) == [8, 9]


def test_an_interruption_lasts_until_it_is_over_or_the_connection_is_another() -> None:
    """The application gets the beginning and the end; a new connection begins without an interruption."""
    stream = started()
    assert stream.receive(Interruption(7)) == [Interruption(7)]
    assert stream.interruption == Interruption(7)
    assert stream.receive(Interruption(7, over=True)) == [Interruption(7, over=True)]
    assert stream.interruption is None
    stream.receive(Interruption(9))
    stream.receive(joined(0, resumed=True))
    assert stream.interruption is None


def test_without_resume_nothing_is_taken_before_the_keyframe() -> None:
    """When a connection is not resumed its deltas mean nothing until the keyframe is there."""
    stream = started(5)
    stream.receive(joined(5))
    assert seqs(stream, numbered(5, 7)) == []
    stream.receive(keyframe(7))
    assert seqs(stream, numbered(7, 8)) == [7]


def test_omitted_events_are_counted_and_passed() -> None:
    """A seq that was left out on purpose is no gap."""
    stream = started()
    stream.receive(delta(0, AnnouncementSet("x"), to=5, omitted={"lossy": 4}))
    assert seqs(stream, numbered(5, 6)) == [5]
    assert stream.omitted == {"lossy": 4}


def test_the_own_mute_is_known() -> None:
    """A client knows until when it is muted: from the welcome, and from events about itself alone."""
    stream = Stream()
    stream.receive(joined(muted_until_ms=50))
    stream.receive(keyframe())
    assert stream.muted_until_ms == 50
    stream.receive(delta(0, UserUnmuted("u1", "a"), UserMuted("u2", 70, "a")))
    assert stream.muted_until_ms == 0
    stream.receive(delta(2, UserMuted("u1", 90, "a")))
    assert stream.muted_until_ms == 90


def test_personal_events_come_once() -> None:
    """A personal event that a gateway repeats is yielded once, until another stream begins. It moves no cursor."""
    stream = started()
    frames = [Personal(seq, 5, {"type": "hold_expired", "sale": 1, "hold": 2, "user": "vera", "seq": seq}) for seq in (3, 5, 3, 5, 6)]
    assert [[item.seq for item in stream.receive(frame) if isinstance(item, PersonalEvent)] for frame in frames] == [[3], [5], [], [], [6]]
    assert stream.cursor == 0
    again = stream.receive(frames[0])
    assert again == [Repeated(PersonalEvent(3, 5, HoldExpired(1, 2, "vera")))], "it still counts for what is owned"


def test_a_stream_that_was_set_back_tells_its_personal_events_anew() -> None:
    """`skipped` from a higher seq to a lower one: what comes next has seqs that were seen before, and is news."""
    stream = started()
    personal = Personal(5, 5, {"type": "hold_expired", "sale": 1, "hold": 2, "user": "vera", "seq": 5})
    assert [type(item) for item in stream.receive(personal)] == [PersonalEvent]
    for frame, expected in ((Skipped(2, 9), Repeated), (Skipped(9, 2), PersonalEvent)):
        stream.receive(frame)
        assert [type(item) for item in stream.receive(personal)] == [expected]


def test_what_a_gateway_that_is_behind_tells_again_counts_from_its_entitlements_on() -> None:
    """Events below the cursor are not yielded again; events that the frame lacks are folded into the entitlements."""
    stream = started(8)
    stream.receive(joined(4, resumed=True))
    stream.receive(Entitlements(6))
    told = [(type(item).__name__, getattr(item, "item", item).seq) for frame in (numbered(4, 7), numbered(7, 10)) for item in stream.receive(frame)]  # type: ignore[union-attr]
    assert told == [("Repeated", 6), ("Repeated", 7), ("RoomEvent", 8), ("RoomEvent", 9), ("Advanced", 10)]


def test_entitlements_come_as_they_are() -> None:
    """They move no cursor."""
    stream = started(4)
    assert stream.receive(Entitlements(9, bought={1: 2})) == [EntitlementsReplaced(Entitlements(9, bought={1: 2}))]
    assert stream.cursor == 4
