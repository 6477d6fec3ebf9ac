"""Banned words are found however they are dressed up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.messages.commands import AskQuestion, SendChat, SetBannedWords
from liveroom.messages.events import BannedWordsSet
from liveroom.rooms.words import check_words, normal
from tests.rooms.play import ANCHOR, MODERATOR, VERA, Play


def banning(*words: str) -> Play:
    play = Play(chat_interval_ms=0)
    play.does(MODERATOR, SetBannedWords(words))
    return play


@pytest.mark.parametrize(
    "text",
    [
        "scam",
        "SCAM",
        "what a scam!",
        "ｓｃａｍ",
        "s\u200bc\u200da\u2060m",
        "ⓢⓒⓐⓜ",
        "𝓼𝓬𝓪𝓶",
        "s\u00adcam",
        "s\u0336c\u0336a\u0336m\u0336",
        "ſcam",
        "s\ufe0fcam",
        "antiscamming",
    ],
)
def test_a_banned_word_in_any_dress_is_refused(text: str) -> None:
    """Case, width, styled letters, zero-width characters and strike-through do not hide it; nor do letters around it."""
    refusal = banning("Scam").refused(VERA, SendChat(text))
    assert (refusal.code, refusal.field) == ("banned_words", "text")


@pytest.mark.parametrize(
    ("word", "text"), [("加微信", "加\u200b微信 123"), ("STRASSE", "straße"), ("straße", "STRASSE"), ("①②", "12"), ("가", "\u1100\u1161")]
)
def test_every_script_is_folded(word: str, text: str) -> None:
    """Folding is Unicode's own (NFKC and case folding), for the words as for the text."""
    assert banning(word).refused(VERA, SendChat(text)).code == "banned_words"


def test_other_words_pass() -> None:
    """A text without a banned word is not touched, and words do not match across what stands between them."""
    play = banning("scam", "spam")
    play.says(VERA, "s c a m")
    play.says(VERA, "hello")


def test_the_list_binds_everybody_and_questions_too() -> None:
    """The anchor's own lines are checked as well."""
    play = banning("scam")
    assert play.refused(ANCHOR, SendChat("a scam")).code == "banned_words"
    assert play.refused(VERA, AskQuestion("a scam?")).code == "banned_words"


def test_an_empty_list_bans_nothing() -> None:
    """Setting no words lifts the ban; setting the same list again is no event."""
    play = banning("scam")
    assert play.events(MODERATOR, SetBannedWords(("scam",))) == ()
    play.does(MODERATOR, SetBannedWords(()))
    play.says(VERA, "scam")


def test_the_list_is_kept_as_it_was_written_without_doubles() -> None:
    """Moderators see their own words again; those that differ only in dress are kept once, the first way."""
    play = Play()
    (event,) = play.events(MODERATOR, SetBannedWords(("Scam", "ｓｃａｍ", " scam ", "赌博")))
    assert isinstance(event, BannedWordsSet)
    assert event.words == play.detail.banned_words == ("Scam", "赌博")


@pytest.mark.parametrize(("word", "code"), [(" ", "empty_text"), ("\u200b", "empty_text"), ("\u0336", "empty_text"), ("a\x00", "control_characters")])
def test_a_word_must_be_something_to_look_for(word: str, code: str) -> None:
    """A word of nothing would ban every line; it is refused instead."""
    assert Play().refused(MODERATOR, SetBannedWords(("ok", word))).code == code


@given(st.lists(st.text("abc加微", min_size=1, max_size=4), max_size=6), st.text("abcABC加微\u200bａ", min_size=1, max_size=30))
def test_finding_is_the_same_as_looking_for_each_word(words: list[str], text: str) -> None:
    """The automaton finds exactly what a search for every single word would."""
    play = banning(*words)
    expected = any(normal(word) in normal(text) for word in words)
    assert (check_words(play.room.banned_words, text) is not None) == expected


@given(st.text(max_size=50))
def test_folding_twice_changes_nothing(text: str) -> None:
    """A folded text stays as it is, so words and texts always meet in the same form."""
    assert normal(normal(text)) == normal(text)
