"""Mutes and bans: they bind until they end, and say why."""

from __future__ import annotations

from typing import Any

import pytest

from liveroom.features.chat.messages import DeleteMessage, SendChat
from liveroom.features.likes.messages import SendLikes
from liveroom.features.moderation.messages import BanUser, MuteUser, SanctionExplained, UnbanUser, UnmuteUser, UserBanned
from liveroom.features.moderation.state import of as moderation_of
from liveroom.features.questions.messages import AskQuestion
from liveroom.features.showcase.messages import PinProduct, RequestTryOn
from liveroom.messages.fields import Delivery, Role
from liveroom.protocol.commands import Command
from liveroom.protocol.records import Sender
from liveroom.rooms.room import decode_state, encode_state
from tests.features.play import ANCHOR, MODERATOR, PLATFORM, SHIRT, VERA, VICTOR, Play


@pytest.mark.parametrize("command", [SendChat("hi"), AskQuestion("why?")])
def test_a_muted_user_sees_why_and_how_long(command: Command) -> None:
    """The refusal holds the reason, the end in UTC and the wait in ms."""
    play = Play()
    assert play.does(MODERATOR, MuteUser("vera", 60_000, "spam")) == {"until_ms": play.now_ms + 60_000}
    play.passes(10_000)
    refusal = play.refused(VERA, command)
    assert (refusal.code, refusal.retry_after_ms) == ("muted", 50_000)
    assert refusal.detail == "you are muted until 2023-11-14 22:14:20 UTC: spam"


def test_a_muted_user_may_still_do_the_rest() -> None:
    """Taps and try-ons are no words."""
    play = Play()
    play.adds(SHIRT)
    play.does(MODERATOR, MuteUser("vera", 60_000))
    play.does(VERA, SendLikes(3))
    play.does(VERA, RequestTryOn("shirt"))


def test_a_mute_ends_by_itself() -> None:
    """The user is muted at the last millisecond and not at the next; the list has muted users only."""
    play = Play()
    play.does(MODERATOR, MuteUser("vera", 60_000))
    play.passes(59_999)
    assert play.detail.muted == {"vera": play.now_ms + 1}
    assert play.refused(VERA, SendChat("hi")).retry_after_ms == 1
    play.passes(1)
    assert play.detail.muted == {}
    play.says(VERA)


def test_a_user_can_be_unmuted() -> None:
    """Unmuting one who is not muted, or no more, is refused as `not_muted`."""
    play = Play()
    assert play.refused(MODERATOR, UnmuteUser("vera")).code == "not_muted"
    play.does(MODERATOR, MuteUser("vera", 60_000))
    play.does(MODERATOR, UnmuteUser("vera"))
    play.says(VERA)
    play.does(MODERATOR, MuteUser("vera", 60_000))
    play.passes(60_000)
    assert play.refused(MODERATOR, UnmuteUser("vera")).code == "not_muted"


def test_a_second_mute_replaces_the_first() -> None:
    """It may be longer or shorter."""
    play = Play()
    play.does(MODERATOR, MuteUser("vera", 3_600_000))
    play.does(MODERATOR, MuteUser("vera", 1_000))
    play.passes(1_000)
    play.says(VERA)


@pytest.mark.parametrize("command", [SendChat("hi"), AskQuestion("why?"), SendLikes(1), RequestTryOn("shirt")])
def test_a_banned_user_may_do_nothing(command: Command) -> None:
    """Every command is refused as `banned`, with the reason and the wait."""
    play = Play()
    play.adds(SHIRT)
    play.does(MODERATOR, BanUser("vera", 60_000, "fraud"))
    refusal = play.refused(VERA, command)
    assert (refusal.code, refusal.retry_after_ms) == ("banned", 60_000)
    assert refusal.detail.endswith(": fraud")


def test_a_ban_ends_by_itself_or_by_hand() -> None:
    """Unbanning one who is not banned is refused as `not_banned`."""
    play = Play()
    play.does(MODERATOR, BanUser("vera", 60_000))
    assert play.detail.banned == {"vera": play.now_ms + 60_000}
    play.does(MODERATOR, UnbanUser("vera"))
    play.says(VERA)
    assert play.refused(MODERATOR, UnbanUser("vera")).code == "not_banned"
    play.does(MODERATOR, BanUser("vera", 60_000))
    play.passes(60_000)
    assert play.detail.banned == {}
    play.says(VERA)


def test_a_moderator_can_be_muted_and_banned() -> None:
    """A mute binds moderators, too, and a banned moderator has no more rights."""
    play = Play()
    play.adds(SHIRT)
    play.does(ANCHOR, MuteUser("mo", 60_000))
    assert play.refused(MODERATOR, SendChat("hi")).code == "muted"
    play.does(MODERATOR, PinProduct("shirt"))
    play.does(ANCHOR, BanUser("mo", 60_000))
    assert play.refused(MODERATOR, UnbanUser("mo")).code == "banned"


@pytest.mark.parametrize("command", [MuteUser("anna", 60_000), BanUser("anna", 60_000)])
def test_the_rooms_anchor_cannot_be_silenced(command: Command) -> None:
    """The room's own anchor can be neither muted nor banned."""
    assert Play().refused(MODERATOR, command).code == "forbidden"


def test_the_platform_is_bound_by_neither() -> None:
    """A platform token can always undo a moderator's action."""
    play = Play()
    play.does(MODERATOR, MuteUser("platform", 60_000))
    play.does(MODERATOR, BanUser("platform", 60_000))
    play.says(PLATFORM)


@pytest.mark.parametrize(("command", "setting"), [(MuteUser, "muted_users_max"), (BanUser, "banned_users_max")])
def test_the_lists_have_a_limit(command: type[MuteUser], setting: str) -> None:
    """One more than the setting is refused; replacing one is not, and those that are past do not count."""
    limit: dict[str, Any] = {setting: 2}
    play = Play(**limit)
    play.does(MODERATOR, command("a", 60_000))
    play.does(MODERATOR, command("b", 90_000))
    assert play.refused(MODERATOR, command("c", 60_000)).code == "limit_reached"
    play.does(MODERATOR, command("a", 60_000))
    play.passes(60_000)
    play.does(MODERATOR, command("c", 60_000))
    assert len(moderation_of(play.room).muted) + len(moderation_of(play.room).banned) == 2


def test_a_reason_is_shown_so_it_must_be_showable() -> None:
    """Control characters in a reason are refused, naming the field."""
    refusal = Play().refused(MODERATOR, MuteUser("vera", 60_000, "bad\nline"))
    assert (refusal.code, refusal.field) == ("control_characters", "reason")


def test_mutes_bind_the_user_not_the_token() -> None:
    """A muted user who comes back with a buyer's or another name's token is still muted."""
    play = Play()
    play.does(MODERATOR, MuteUser("vera", 60_000))
    assert play.refused(Sender("vera", "Somebody else", Role.viewer, buyer=True), SendChat("hi")).code == "muted"
    play.says(VICTOR)


def test_a_ban_takes_back_what_the_user_said() -> None:
    """The user's lines leave the keyframe and can be deleted no more; others' lines stay, and so does what the user says later."""
    play = Play(chat_interval_ms=0)
    mine = [int(play.says(VERA, f"spam {n}")["message"]) for n in range(3)]
    other = int(play.says(VICTOR, "hello")["message"])
    (event,) = play.events(MODERATOR, BanUser("vera", 60_000))
    assert event == UserBanned("vera", play.now_ms + 60_000, "mo", messages_deleted=True)
    assert [line.text for line in play.keyframe.chat] == ["hello"]
    assert [play.refused(MODERATOR, DeleteMessage(message)).code for message in mine] == ["message_not_found"] * 3
    play.does(MODERATOR, UnbanUser("vera"))
    play.says(VERA, "sorry")
    assert [line.text for line in play.keyframe.chat] == ["hello", "sorry"]
    play.does(MODERATOR, DeleteMessage(other))


def test_a_ban_may_leave_what_the_user_said() -> None:
    """When the moderator wants it so."""
    play = Play()
    play.says(VERA, "hello")
    (event,) = play.events(MODERATOR, BanUser("vera", 60_000, delete_messages=False))
    assert event == UserBanned("vera", play.now_ms + 60_000, "mo")
    assert [line.text for line in play.keyframe.chat] == ["hello"]


@pytest.mark.parametrize(("command", "sanction"), [(MuteUser("vera", 60_000, "spam"), "mute"), (BanUser("vera", 60_000, "spam"), "ban")])
def test_the_reason_is_an_event_of_its_own_for_the_user_alone(command: MuteUser | BanUser, sanction: str) -> None:
    """Only the user gets the reason; their refusals have it, even after the state was written and read again."""
    play = Play()
    first, explained = play.events(MODERATOR, command)
    assert "spam" not in str(first)
    assert (explained, explained.delivery) == (SanctionExplained("vera", sanction, "spam"), Delivery.personal)  # type: ignore[arg-type]
    play.state = decode_state(encode_state(play.room))
    assert play.refused(VERA, SendChat("hi")).detail.endswith(": spam")
    play.does(MODERATOR, type(command)("vera", 60_000))
    assert "spam" not in play.refused(VERA, SendChat("hi")).detail
