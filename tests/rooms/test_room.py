"""The room as a whole: who may send what, and that every command and every event has its place."""

from __future__ import annotations

import pytest

from liveroom.features.audience.messages import ReportAudience
from liveroom.features.chat.messages import SendChat, SetChatBudget
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, RequestKeyframe, RoomOpened
from liveroom.features.likes.messages import ReportLikes
from liveroom.features.moderation.messages import MuteUser
from liveroom.features.red_envelope.messages import DropRedEnvelope
from liveroom.features.showcase.messages import AddProduct, PinProduct
from liveroom.messages.errors import InvariantBroken
from liveroom.messages.fields import Role
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.events import EVENTS
from liveroom.protocol.records import Sender
from liveroom.rooms import room
from liveroom.rooms.room import due_ms, evolve
from tests.features.play import ANCHOR, GATEWAY, MODERATOR, PLATFORM, SHIRT, START_MS, VERA, Play


def test_every_command_is_decided() -> None:
    """No command of the vocabulary is without a decision."""
    assert {*room._DECIDERS, OpenRoom} == set(COMMANDS.values())


def test_every_event_is_folded() -> None:
    """No event of the vocabulary is without a fold."""
    assert set(room._FOLDERS) == set(EVENTS.values())


@pytest.mark.parametrize("command", [PinProduct("shirt"), MuteUser("victor", 60_000), AddProduct(SHIRT), CloseRoom(), SetChatBudget(5)])
def test_a_viewer_may_not_run_the_room(command: PinProduct) -> None:
    """Commands of moderators and anchors are `forbidden` for viewers, even before the room exists."""
    assert Play().refused(VERA, command).code == "forbidden"
    assert Play(opened=False).refused(VERA, command).code == "forbidden"


@pytest.mark.parametrize("command", [AddProduct(SHIRT), CloseRoom(), SetChatBudget(5), OpenRoom("Mine")])
def test_a_moderator_may_not_do_what_is_the_anchors(command: AddProduct) -> None:
    """Commands of anchors are refused to moderators."""
    assert Play().refused(MODERATOR, command).code == "forbidden"


@pytest.mark.parametrize("command", [ReportAudience("g1", 5), ReportLikes(5), RequestKeyframe()])
@pytest.mark.parametrize("role", list(Role))
def test_only_gateways_may_report(command: ReportLikes, role: Role) -> None:
    """No token can send what gateways send, whatever its role."""
    assert Play().refused(Sender("x", "X", role), command).code == "forbidden"


@pytest.mark.parametrize("command", [SendChat("hi"), RequestKeyframe()])
def test_a_room_begins_by_being_opened(command: SendChat) -> None:
    """Anything else in a room that never was is `room_not_found`."""
    sender = GATEWAY if isinstance(command, RequestKeyframe) else VERA
    assert Play(opened=False).refused(sender, command).code == "room_not_found"


def test_asking_for_a_keyframe_changes_nothing() -> None:
    """The answer carries it; nothing happens in the room."""
    assert Play().events(GATEWAY, RequestKeyframe()) == ()


def test_events_must_come_in_order() -> None:
    """Folding an event at another seq than the next one stops at once."""
    play = Play()
    opened = play.story[0][2]
    assert isinstance(opened, RoomOpened)
    with pytest.raises(InvariantBroken):
        evolve(play.state, opened, 0, START_MS)
    with pytest.raises(InvariantBroken):
        evolve(None, opened, 1, START_MS)


def test_an_empty_room_waits_for_nothing() -> None:
    """Reports of gateways and red envelopes have due times; the earliest counts."""
    play = Play()
    assert due_ms(play.room) is None
    play.does(GATEWAY, ReportAudience("g1", 5))
    assert due_ms(play.room) == play.now_ms + play.rules.audience_expiry_ms
    play.does(ANCHOR, DropRedEnvelope(100, 5, opens_in_ms=1_000))
    assert due_ms(play.room) == play.now_ms + 1_000
    play.does(ANCHOR, DropRedEnvelope(100, 5, opens_in_ms=900))
    assert due_ms(play.room) == play.now_ms + 900


def test_the_platform_may_do_what_an_anchor_may() -> None:
    """The platform opens, stocks and closes rooms for their anchors."""
    play = Play(opened=False)
    play.does(PLATFORM, OpenRoom("Opened for Anna"))
    play.does(PLATFORM, AddProduct(SHIRT))
    play.does(ANCHOR, CloseRoom())
