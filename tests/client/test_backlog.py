"""Items that wait for the application."""

from liveroom.client import EntitlementsReplaced, PersonalEvent, Reconnecting, RoomEvent, StateReplaced
from liveroom.client.backlog import Backlog
from liveroom.client.items import Advanced, Item
from liveroom.features.flash_sale.messages import HoldConfirmed
from liveroom.features.lifecycle.messages import AnnouncementSet
from liveroom.protocol.frames import Entitlements, Skipped
from tests.client.conftest import joined, keyframe


def event(seq: int) -> RoomEvent:
    return RoomEvent(seq, 2, AnnouncementSet(str(seq)))


def drained(backlog: Backlog) -> list[Item]:
    return list(iter(backlog.take, None))


def test_the_state_follows_what_is_taken() -> None:
    """The state is as after the last item taken, and whole at the end of a delta."""
    backlog = Backlog(100)
    backlog.add([joined(), StateReplaced(keyframe(0)), event(0), event(1), Advanced(5, 2)])
    assert backlog.state is None
    states: list[tuple[int, str] | None] = []
    while backlog.take() is not None:
        states.append(backlog.state and (backlog.state.seq, backlog.state.announcement))
    assert states == [None, (0, ""), (1, "0"), (5, "1")]


def test_too_many_items_fall_together() -> None:
    """Beyond its bound a backlog becomes the span that is skipped and the state after it; nothing of the state is lost."""
    backlog = Backlog(10)
    backlog.add([StateReplaced(keyframe(0)), event(0)])
    drained(backlog)
    backlog.add([event(seq) for seq in range(1, 10)])
    backlog.add([Reconnecting(1006, "", 1, 1), event(10)])
    assert len(backlog) == 2
    after = keyframe(11, announcement="10", time_ms=2)
    assert drained(backlog) == [Skipped(from_=1, to=11), StateReplaced(after)]
    assert backlog.state == after


def test_falling_together_before_anything_was_taken_skips_nothing() -> None:
    """An application that has seen nothing yet gets the state alone."""
    backlog = Backlog(5)
    backlog.add([joined(), StateReplaced(keyframe(0)), *(event(seq) for seq in range(9))])
    assert drained(backlog) == [StateReplaced(keyframe(9, announcement="8", time_ms=2))]


def test_what_is_owned_outlives_the_falling_together() -> None:
    """Entitlements that come whole hold the personal events before them, and each event is folded once."""
    backlog = Backlog(10)
    backlog.add([joined(), StateReplaced(keyframe(0)), EntitlementsReplaced(Entitlements(0))])
    drained(backlog)
    entitlements = [PersonalEvent(seq, 2, HoldConfirmed(4, seq, "u1", 1, 0, 100, "p")) for seq in range(7)]
    backlog.add([*entitlements, *(event(seq) for seq in range(5))])
    after = keyframe(5, announcement="4", time_ms=2)
    assert drained(backlog) == [Skipped(from_=0, to=5), StateReplaced(after), EntitlementsReplaced(Entitlements(0, bought={4: 7}))]
    assert (backlog.state, backlog.entitlements) == (after, Entitlements(0, bought={4: 7}))
