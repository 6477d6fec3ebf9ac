"""The rules for characters: names are cleaned and cut, and nothing from outside moves a terminal's cursor."""

from __future__ import annotations

import json
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.messages.text import IGNORABLE, clean_name, cut, escaped, first_forbidden, is_visible

FAMILY = "👨‍👩‍👧‍👦"
ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
ANY_TEXT = st.text(st.one_of(st.characters(codec=None), st.sampled_from("\ud83d\udc00\u202e\u200d\u0301\x9b\n🇨🇳👨🏽")), max_size=200)


def test_a_name_is_cleaned_not_refused() -> None:
    """A name loses what no text may hold; without anything visible another name stands for it."""
    assert clean_name("Eve\u202e\x07!", 64, "u1") == "Eve!"
    assert clean_name("Anna \ud83d", 64, "u1") == "Anna"
    assert clean_name("Eve\x9b\x7f\n2", 64, "u1") == "Eve2"
    for nothing in ("", "\u200b\n", " ", "\ud83d"):
        assert clean_name(nothing, 64, "u1") == "u1"
    assert clean_name("", 64, "u" * 128) == "u" * 64


@given(ANY_TEXT)
def test_every_name_can_be_shown(name: str) -> None:
    """Whatever a token says: what comes out is visible, short enough, valid UTF-8 and without a forbidden character."""
    clean = clean_name(name, 64, "u1")
    assert 0 < len(clean) <= 64
    assert is_visible(clean)
    assert not first_forbidden(clean)
    clean.encode()


@pytest.mark.parametrize("one", ["e\u0301", FAMILY, ENGLAND, "🇨🇳", "👍🏽", "❤️", "한".encode().decode(), "\u1112\u1161\u11ab", "क्‍ष", "1️⃣"], ids=ascii)
def test_a_text_is_cut_between_what_is_drawn_as_one(one: str) -> None:
    """No emoji sequence, flag, skin tone, syllable or letter with its marks is cut in two."""
    for chars_max in range(len(one), 70):
        assert cut(one * 70, chars_max) == one * (chars_max // len(one))


def test_what_is_longer_than_all_that_may_stand_is_cut_inside() -> None:
    """A letter with a thousand marks does not make the name longer than it may be."""
    assert cut("a" + "\u0301" * 1_000, 64) == "a" + "\u0301" * 63


@given(ANY_TEXT)
def test_what_is_escaped_is_fit_for_a_terminal_and_json_stays_json(text: str) -> None:
    """No control, bidi override, line separator or half of a pair is left, and a reader of JSON reads the same."""
    assert not first_forbidden(escaped(text))
    assert json.loads(escaped(json.dumps(text, ensure_ascii=False))) == json.loads(json.dumps(text))


def test_what_is_forbidden_by_its_class() -> None:
    """Every control, half of a pair, line separator, noncharacter and bidi embedding, override or isolate; letters and marks are not."""
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        kind, bidi = unicodedata.category(character), unicodedata.bidirectional(character)
        forbidden = kind in ("Cc", "Cs", "Zl", "Zp") or bidi in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        if forbidden or number & 0xFFFE == 0xFFFE:
            assert first_forbidden(character), hex(number)
        elif kind[0] in "LMNPSZ":
            assert not first_forbidden(character), hex(number)


def test_no_character_is_seen_that_is_drawn_as_nothing() -> None:
    """Every character alone is visible, and stands as a name, exactly when something is drawn for it."""
    blank = re.compile(f"[\\s\u2800{IGNORABLE}]")
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        if character.isprintable():
            assert is_visible(character) is not bool(blank.match(character)), hex(number)
            assert (clean_name(character, 64, "u1") == "u1") is bool(blank.match(character)), hex(number)
