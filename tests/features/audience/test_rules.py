"""The audience: what gateways reported and has not expired; unique users, exact then estimated."""

from __future__ import annotations

from random import Random

import pytest

from liveroom.features.audience import rules as audience
from liveroom.features.audience.messages import AudienceCounted, AudienceReported, ReportAudience
from liveroom.features.audience.rules import GATEWAYS_MAX, USERS_EXACT_MAX
from liveroom.features.audience.state import of as audience_of
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom
from liveroom.rooms.room import due_ms
from tests.features.play import ANCHOR, GATEWAY, Play


def users(count: int, seed: int = 1) -> tuple[int, ...]:
    rng = Random(seed)
    return tuple(rng.getrandbits(53) for _ in range(count))


def joins(play: Play, hashes: tuple[int, ...], gateway: str = "g1") -> None:
    for at in range(0, len(hashes), 1_000):
        play.does(GATEWAY, ReportAudience(gateway, 1, hashes[at : at + 1_000]))


def test_viewers_are_the_sum_over_gateways() -> None:
    """Each report replaces the gateway's last one."""
    play = Play()
    play.does(GATEWAY, ReportAudience("g1", 10))
    play.does(GATEWAY, ReportAudience("g2", 5))
    assert play.does(GATEWAY, ReportAudience("g1", 7)) == {"viewers": 12, "unique": 0}
    assert (play.keyframe.viewers, play.keyframe.peak) == (12, 15)


def test_numbers_are_announced_when_they_change() -> None:
    """A report that changes nothing only keeps the gateway's count alive."""
    play = Play()
    assert play.events(GATEWAY, ReportAudience("g1", 10, (1,))) == (AudienceReported("g1", 10, (1,)), AudienceCounted(10, 1, 10))
    assert play.events(GATEWAY, ReportAudience("g1", 10, (1,))) == (AudienceReported("g1", 10),)


def test_a_silent_gateway_counts_no_more() -> None:
    """Its report expires `audience_expiry_ms` after it came, by a timer; others stay."""
    play = Play(audience_expiry_ms=30_000)
    play.does(GATEWAY, ReportAudience("g1", 10))
    play.passes(10_000)
    play.does(GATEWAY, ReportAudience("g2", 5))
    assert play.passes(19_999) == ()
    assert due_ms(play.room) == play.now_ms + 1
    assert play.passes(1) == (AudienceReported("g1", 0), AudienceCounted(5, 0, 15))
    assert play.passes(10_000) == (AudienceReported("g2", 0), AudienceCounted(0, 0, 15))
    assert due_ms(play.room) is None


def test_a_report_counts_as_long_as_it_says() -> None:
    """A gateway that repeats its number seldom names a longer time; a shorter one than the room's does not count."""
    play = Play(audience_expiry_ms=30_000)
    play.does(GATEWAY, ReportAudience("g1", 10, expiry_ms=80_000))
    play.does(GATEWAY, ReportAudience("g2", 5, expiry_ms=1_000))
    assert play.passes(29_999) == ()
    assert play.passes(1) == (AudienceReported("g2", 0), AudienceCounted(10, 0, 15))
    assert play.passes(49_999) == ()
    assert play.passes(1) == (AudienceReported("g1", 0), AudienceCounted(0, 0, 15))


def test_a_report_that_expired_is_not_counted_before_its_timer_either() -> None:
    """Another gateway's report at that moment already counts without it."""
    play = Play(audience_expiry_ms=30_000)
    play.does(GATEWAY, ReportAudience("g1", 10))
    play.now_ms += 30_000
    assert play.does(GATEWAY, ReportAudience("g2", 5))["viewers"] == 5


def test_a_gateway_without_viewers_is_forgotten() -> None:
    """A report of none ends its count at once; from an unknown gateway it is nothing at all."""
    play = Play()
    play.does(GATEWAY, ReportAudience("g1", 10))
    play.does(GATEWAY, ReportAudience("g1", 0))
    assert audience_of(play.room).gateways == {}
    assert play.events(GATEWAY, ReportAudience("g2", 0)) == ()


def test_gateways_have_a_limit() -> None:
    """One more than `GATEWAYS_MAX` is refused; known ones go on."""
    play = Play()
    for number in range(GATEWAYS_MAX):
        play.does(GATEWAY, ReportAudience(f"g{number}", 1))
    assert play.refused(GATEWAY, ReportAudience("one-more", 1)).code == "limit_reached"
    play.does(GATEWAY, ReportAudience("g0", 2))


def test_a_user_counts_once() -> None:
    """However often they come, through whichever gateway."""
    play = Play()
    play.does(GATEWAY, ReportAudience("g1", 3, (1, 2, 2, 3)))
    (reported, counted) = play.events(GATEWAY, ReportAudience("g2", 2, (3, 4)))
    assert reported == AudienceReported("g2", 2, (4,))
    assert isinstance(counted, AudienceCounted)
    assert (counted.unique, counted.unique_estimated) == (4, False)


@pytest.mark.parametrize("seed", range(8))
def test_unique_users_are_exact_up_to_the_limit(seed: int) -> None:
    """Up to and with `USERS_EXACT_MAX`; from the next on they are estimated, said to be, and never fewer than were counted."""
    play = Play()
    hashes = users(USERS_EXACT_MAX + 1, seed)
    joins(play, hashes[:-1])
    assert (play.keyframe.unique, play.keyframe.unique_estimated) == (USERS_EXACT_MAX, False)
    joins(play, hashes[-1:])
    assert play.keyframe.unique_estimated is True
    assert play.keyframe.unique >= USERS_EXACT_MAX
    assert audience_of(play.room).users == {}


@pytest.mark.parametrize("count", [1_500, 5_000, 50_000])
def test_estimates_are_within_a_few_percent(count: int) -> None:
    """Four standard errors of 1.6 %, for users who come by and by."""
    play = Play()
    joins(play, users(count, seed=count))
    assert abs(play.keyframe.unique - count) < 0.065 * count


def test_an_estimate_does_not_depend_on_order_or_repeats() -> None:
    """The same users in another order through other gateways give the same sketch; known users make no event beside the report."""
    hashes = users(3_000)
    first, second = Play(), Play()
    joins(first, hashes)
    joins(second, tuple(reversed(hashes)), "g2")
    joins(second, hashes, "g3")
    assert audience_of(first.room).sketch == audience_of(second.room).sketch
    assert first.events(GATEWAY, ReportAudience("g1", 1, hashes[:1_000])) == (AudienceReported("g1", 1),)


def test_once_estimated_an_event_holds_only_what_changed_the_sketch(monkeypatch: pytest.MonkeyPatch) -> None:
    """`seen` are updates that raise a register, far fewer than the users who came."""
    monkeypatch.setattr(audience, "USERS_EXACT_MAX", 10)
    play = Play()
    hashes = users(60_000)
    joins(play, hashes)
    reported = play.events(GATEWAY, ReportAudience("g1", 1, users(1_000, seed=2)))[0]
    assert isinstance(reported, AudienceReported)
    assert 0 < len(reported.seen) < 200
    assert all(update < 4_096 * 64 for update in reported.seen)


def test_peak_and_unique_are_of_the_rooms_life() -> None:
    """Closing and reopening do not reset them, and neither ever falls."""
    play = Play()
    play.does(GATEWAY, ReportAudience("g1", 9, (1, 2)))
    play.does(ANCHOR, CloseRoom())
    play.does(GATEWAY, ReportAudience("g1", 0))
    play.does(ANCHOR, OpenRoom("Again"))
    assert (play.keyframe.viewers, play.keyframe.peak, play.keyframe.unique) == (0, 9, 2)
