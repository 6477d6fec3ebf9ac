"""Likes add up."""

from __future__ import annotations

from liveroom.features.likes.messages import LikesAdded, ReportLikes, SendLikes
from liveroom.features.likes.state import change
from tests.features.play import GATEWAY, VERA, Play


def test_taps_of_viewers_and_sums_of_gateways_make_one_total() -> None:
    """Each event holds what came and what it adds up to."""
    play = Play()
    assert play.does(VERA, SendLikes(3)) == {"total": 3}
    assert play.events(GATEWAY, ReportLikes(1_000)) == (LikesAdded(1_000, 1_003),)
    assert play.keyframe.likes == 1_003


def test_the_total_stays_an_integer_that_browsers_can_hold() -> None:
    """It stops at 2^53 - 1."""
    play = Play()
    change(play.room).total = 2**53 - 2
    play.does(VERA, SendLikes(50))
    assert play.keyframe.likes == 2**53 - 1
