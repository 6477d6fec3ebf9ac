"""Opening, closing, opening again; the announcement."""

from __future__ import annotations

import pytest

from liveroom.features.audience.messages import ReportAudience
from liveroom.features.chat.messages import SendChat
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, SetAnnouncement
from liveroom.features.likes.messages import ReportLikes, SendLikes
from liveroom.features.moderation.messages import BanUser, MuteUser, SetBannedWords
from liveroom.features.questions.messages import AskQuestion
from liveroom.features.showcase.messages import AddProduct, RequestTryOn
from liveroom.protocol.commands import Command
from liveroom.protocol.records import Sender
from tests.features.play import ANCHOR, GATEWAY, MODERATOR, PLATFORM, SHIRT, VERA, Play


def test_an_open_room_cannot_be_opened() -> None:
    """A second opening is refused as `room_already_open`."""
    assert Play().refused(ANCHOR, OpenRoom("Again")).code == "room_already_open"


def test_a_closed_room_cannot_be_closed() -> None:
    """A second closing is refused as `room_closed`."""
    play = Play()
    play.does(ANCHOR, CloseRoom("the end"))
    assert play.refused(ANCHOR, CloseRoom()).code == "room_closed"


def test_opening_again_keeps_the_stream_id_and_what_was_earned() -> None:
    """The stream id names the room's stream of seqs for its whole life; likes, showcase and lists stay too."""
    play = Play()
    stream_id = play.keyframe.stream_id
    play.adds(SHIRT)
    play.does(GATEWAY, ReportLikes(7))
    play.does(ANCHOR, CloseRoom())
    play.passes(3_600_000)
    assert play.does(ANCHOR, OpenRoom("Second evening")) == {"stream_id": stream_id}
    frame = play.keyframe
    assert (frame.stream_id, frame.title, frame.open, frame.likes, frame.showcase_count) == (stream_id, "Second evening", True, 7, 1)
    assert frame.opened_ms == play.now_ms


def test_two_rooms_have_different_stream_ids() -> None:
    """The stream id is drawn by chance, 64 bits of it."""
    first, second = Play(opened=False), Play(opened=False)
    second.rng.seed(2)
    first.does(ANCHOR, OpenRoom("a"))
    second.does(ANCHOR, OpenRoom("b"))
    assert first.keyframe.stream_id != second.keyframe.stream_id
    assert len(first.keyframe.stream_id) == 16


@pytest.mark.parametrize("command", [SendChat("hi"), AskQuestion("why?"), SendLikes(1), RequestTryOn("shirt")])
@pytest.mark.parametrize("sender", [VERA, MODERATOR, ANCHOR, PLATFORM])
def test_nothing_may_be_said_in_a_closed_room(command: Command, sender: Sender) -> None:
    """Words, taps and try-ons are refused as `room_closed`, the anchor's too."""
    play = Play()
    play.adds(SHIRT)
    play.does(ANCHOR, CloseRoom())
    assert play.refused(sender, command).code == "room_closed"


@pytest.mark.parametrize(
    "command", [AddProduct(SHIRT), MuteUser("vera", 60_000), BanUser("vera", 60_000), SetBannedWords(("x",)), SetAnnouncement("See you tomorrow")]
)
def test_a_closed_room_can_be_tidied_and_prepared(command: Command) -> None:
    """Staff may still moderate it, announce, and stock the showcase for the next time."""
    play = Play()
    play.does(ANCHOR, CloseRoom())
    play.does(ANCHOR, command)


def test_a_closed_room_still_counts_its_viewers() -> None:
    """Viewers stay connected and gateways go on reporting them; taps count no more."""
    play = Play()
    play.does(ANCHOR, CloseRoom())
    play.does(GATEWAY, ReportAudience("g1", 3))
    assert play.refused(GATEWAY, ReportLikes(2)).code == "room_closed"
    assert (play.keyframe.viewers, play.keyframe.likes) == (3, 0)


def test_a_room_belongs_to_the_anchor_who_opened_it() -> None:
    """The platform opening it again does not make it the anchor; another anchor does."""
    play = Play()
    play.does(ANCHOR, CloseRoom())
    play.does(PLATFORM, OpenRoom("Again"))
    assert play.keyframe.anchor == ANCHOR.user
    play.does(ANCHOR, CloseRoom())
    play.does(Sender("ben", "Ben", ANCHOR.role), OpenRoom("Ben's turn"))
    assert play.keyframe.anchor == "ben"


def test_a_title_must_be_visible() -> None:
    """A title of spaces is refused, and so is one with control characters."""
    play = Play(opened=False)
    assert (play.refused(ANCHOR, OpenRoom("   ")).code, play.refused(ANCHOR, OpenRoom("a\x00")).code) == ("empty_text", "control_characters")
    assert play.refused(ANCHOR, OpenRoom(" ")).field == "title"


def test_an_announcement_is_shown_until_it_is_taken_down() -> None:
    """An empty text takes it down; the same text again is no event; it may have several lines."""
    play = Play()
    play.does(MODERATOR, SetAnnouncement("Two for one\nuntil nine"))
    assert play.keyframe.announcement == "Two for one\nuntil nine"
    assert play.events(MODERATOR, SetAnnouncement("Two for one\nuntil nine")) == ()
    play.does(MODERATOR, SetAnnouncement(""))
    assert play.keyframe.announcement == ""


def test_an_announcement_is_shown_as_written_or_refused() -> None:
    """Control characters are refused, and so is a text that looks like nothing but is not empty."""
    play = Play()
    assert play.refused(MODERATOR, SetAnnouncement("a\u202eb")).code == "control_characters"
    assert play.refused(MODERATOR, SetAnnouncement(" \u200b ")).code == "empty_text"
