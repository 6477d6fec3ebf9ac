"""Banned words are found however they are dressed up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.features.chat.messages import SendChat
from liveroom.features.moderation.banned_words import WORD_CHARS_MAX, Matchers, check_words, normal
from liveroom.features.moderation.messages import BannedWordsSet, SetBannedWords
from liveroom.features.moderation.state import WordList
from liveroom.features.moderation.state import of as moderation_of
from liveroom.features.questions.messages import AskQuestion
from liveroom.features.red_envelope.messages import DropRedEnvelope, EnvelopeCondition
from tests.features.play import ANCHOR, MODERATOR, VERA, Play


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
    assert (check_words(moderation_of(play.room).banned_words, text) is not None) == expected


@given(st.text(max_size=50))
def test_folding_twice_changes_nothing(text: str) -> None:
    """A folded text stays as it is, so words and texts always meet in the same form."""
    assert normal(normal(text)) == normal(text)


def test_the_length_of_a_word_counts_as_it_is_compared() -> None:
    """One character may become 18: a word that is short as it was sent and long as it is compared is refused, with its field."""
    play = Play()
    refusal = play.refused(MODERATOR, SetBannedWords(("scam", "\ufdfa" * 3)))
    assert (refusal.code, refusal.field) == ("too_long", "words")
    play.does(MODERATOR, SetBannedWords(("\ufdfa" * 2, "a" * WORD_CHARS_MAX)))
    refusal = play.refused(ANCHOR, DropRedEnvelope(100, 1, condition=EnvelopeCondition("\ufdfa" * 3)))
    assert (refusal.code, refusal.field) == ("too_long", "condition.keyword")


def test_no_character_becomes_more_than_18() -> None:
    """So a line of 300 characters takes no more than 5,400 while it is compared."""
    assert max(len(normal(chr(code))) for code in range(0x110000) if not 0xD800 <= code < 0xE000) == 18


def lists_of(count: int, words: int = 500, chars: int = 50) -> list[WordList]:
    """Lists without a common word, as large as they may be."""
    draw = Random(count)
    made = [tuple("".join(draw.choices("abcdefghijklmnop", k=chars)) for _ in range(words)) for _ in range(count)]
    return [WordList(some, str(number)) for number, some in enumerate(made)]


def test_an_automaton_goes_with_the_last_list_that_used_it() -> None:
    """Two rooms with equal lists share one automaton. It is freed when neither has the list any more."""
    matchers = Matchers(10**9)
    (first,) = lists_of(1, words=10)
    second = WordList(first.words, first.digest)
    assert matchers.find(first) is matchers.find(second)
    del first
    assert matchers.bytes > 0
    del second
    assert matchers.bytes == 0


def test_the_automaton_that_was_not_used_for_longest_goes_first() -> None:
    """All of them together never take more than they may; one that alone takes more is made, used and not kept."""
    lists = lists_of(4, words=10)
    one = Matchers(10**9)
    one.find(lists[0])
    matchers = Matchers(3 * one.bytes + one.bytes // 2)
    kept = [matchers.find(some) for some in lists[:3]]
    assert matchers.find(lists[0]) is kept[0]
    matchers.find(lists[3])
    assert matchers.bytes <= 3 * one.bytes + one.bytes // 2
    assert matchers.find(lists[0]) is kept[0]
    assert matchers.find(lists[1]) is not kept[1]
    tiny = Matchers(10)
    assert list(tiny.find(lists[0]).iter(lists[0].words[3]))
    assert tiny.bytes == 0


_GROWTH = """
import sys
from random import Random
from liveroom.features.chat.messages import SendChat
from liveroom.features.moderation.messages import SetBannedWords
from liveroom.features.moderation import banned_words as words
from liveroom.features.moderation.banned_words import Matchers
from tests.features.play import MODERATOR, VERA, Play
from tests.features.moderation.test_banned_words import lists_of

def memory():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

lists = lists_of(200)
play = Play(chat_interval_ms=0)
before = memory()
if sys.argv[1] == "attack":
    for some in lists:
        play.does(MODERATOR, SetBannedWords(some.words))
        play.says(VERA, "hello")
    print(memory() - before, words._matchers.bytes)
else:
    matchers = Matchers(10**9)
    for some in lists:
        matchers.find(some)
    print(memory() - before, matchers.bytes)
"""


def growth(what: str) -> tuple[int, int]:
    """Bytes by which a process of its own grows, and the bytes that are counted."""
    run = subprocess.run([sys.executable, "-c", _GROWTH, what], check=True, capture_output=True, text=True, timeout=120)
    grown, counted = map(int, run.stdout.split())
    return grown, counted


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_what_is_counted_is_about_the_memory_that_is_taken() -> None:
    """The count is at least what the process really grows by, and not more than twice as much."""
    grown, counted = growth("build")
    assert grown <= counted <= 2 * grown


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_a_moderator_takes_the_memory_of_one_list_however_many_are_set() -> None:
    """200 of the largest lists with a line after each: the process keeps one automaton."""
    grown, counted = growth("attack")
    assert counted < 2 * 1024 * 1024
    assert grown < 40 * 1024 * 1024
