"""A text is shown exactly as it was written, or refused."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.features.chat.messages import SendChat
from liveroom.features.texts import check_line, check_optional, check_paragraphs, utc
from tests.features.play import VERA, Play


@pytest.mark.parametrize("text", ["", " ", "\u3000", "\u200b\u200d", "\u3164", "\u2800", "\u115f \uffa0", "\ufeff", "\U000e0041", "\ufe0f"])
def test_what_looks_like_nothing_is_empty(text: str) -> None:
    """Spaces of all kinds, zero-width characters, fillers and blanks are no text."""
    refusal = check_line(text)
    assert refusal is not None
    assert refusal.code == "empty_text"


CONTROLS = ("\x00", "\t", "\n", "\r", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029")
BIDI = ("\u202a", "\u202e", "\u2066", "\u2069", "\u206f")
NO_CHARACTERS = ("\ufff9", "\ud800", "\udfff", "\ufdd0", "\ufffe", "\uffff", "\U0001ffff", "\U0010ffff")


@pytest.mark.parametrize("character", [*CONTROLS, *BIDI, *NO_CHARACTERS], ids=lambda character: f"{ord(character):04X}")
def test_what_changes_or_breaks_other_text_is_refused(character: str) -> None:
    """Controls, line separators, bidi controls, lone surrogates and noncharacters are named in the refusal."""
    refusal = check_line(f"a{character}b")
    assert refusal is not None
    assert refusal.code == "control_characters"
    assert f"U+{ord(character):04X}" in refusal.detail


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "  spaces stay  ",
        "你好，主播",
        "👩‍👩‍👧‍👦 ❤️ 1️⃣",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "مرحبا\u200f",
        "नमस्ते",
        "e\u0301",
        "zero\u200bwidth",
        "<script>alert(1)</script>",
        '"\\',
    ],
)
def test_what_people_write_is_shown_as_written(text: str) -> None:
    """Every script, emoji sequences, joiners, markup: nothing is changed on its way to the room."""
    play = Play()
    play.says(VERA, text)
    assert play.keyframe.chat[-1].text == text


@given(st.text(st.characters(), min_size=1, max_size=300))
def test_any_text_is_shown_as_written_or_refused(text: str) -> None:
    """There is no third way; and whatever is shown can be sent as UTF-8."""
    play = Play()
    decision = play.tries(VERA, SendChat(text))
    if play.keyframe.chat:
        assert play.keyframe.chat[-1].text == text
        assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
        text.encode()
    else:
        assert decision.code in ("empty_text", "control_characters")  # type: ignore[union-attr]


def test_lines_and_paragraphs() -> None:
    """Newlines may stand in texts that have room for them; an optional text may be empty."""
    assert check_paragraphs("a\nb") is None
    assert check_paragraphs("") is None
    assert check_optional("") is None
    assert check_optional("a\nb") is not None
    assert check_paragraphs("a\rb") is not None


def test_times_are_told_in_utc() -> None:
    """To the second, and without failing on times that no calendar has."""
    assert utc(1_700_000_000_999) == "2023-11-14 22:13:20 UTC"
    assert utc(2**53 - 1).startswith("9999-12-31")
