"""The parts of a room's state, as features reach them."""

from __future__ import annotations

from liveroom.features.likes.state import change, of
from tests.features.play import Play


def test_reading_an_absent_part_makes_nothing_that_is_kept() -> None:
    """A part that is read where there is none belongs to no room: a change by mistake reaches no state, and no other room."""
    one, other = Play().room, Play().room
    of(one).total = 7
    assert of(one).total == 0
    assert of(other).total == 0
    change(one).total = 8
    assert of(one).total == 8
    assert of(other).total == 0
