"""A room's memory of recent speakers is bounded."""

from __future__ import annotations

import pytest

from liveroom.features.chat import limits
from liveroom.features.chat.messages import SendChat, SetSlowMode
from liveroom.features.chat.state import of as chat_of
from liveroom.protocol.records import Sender
from tests.features.play import MODERATOR, VERA, Play


def test_speakers_are_forgotten_when_they_no_longer_matter() -> None:
    """After two stretches as long as the longest wait, nobody who was silent since is remembered."""
    play = Play(chat_interval_ms=1_000, chat_burst=5)
    for number in range(100):
        play.says(Sender(f"u{number}", "U"))
    for _ in range(3):
        play.passes(5_000)
        play.says(VERA)
    assert len(chat_of(play.room).speakers) + len(chat_of(play.room).speakers_before) == 2
    assert "u0" not in chat_of(play.room).speakers_before


def test_never_more_speakers_than_the_limit_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many spoke, those who spoke longest ago are forgotten; those who just spoke still wait."""
    monkeypatch.setattr(limits, "SPEAKERS_MAX", 100)
    play = Play(chat_burst=1)
    play.does(MODERATOR, SetSlowMode(3_600_000))
    for number in range(1_000):
        play.says(Sender(f"u{number}", "U"))
        assert len(chat_of(play.room).speakers) + len(chat_of(play.room).speakers_before) <= 100
    assert play.refused(Sender("u950", "U"), SendChat("x")).code == "slow_mode"
    play.says(Sender("u0", "U"))
