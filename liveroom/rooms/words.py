"""Banned words: found anywhere in a text, however it is dressed up, in one pass for any number of words."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import ahocorasick

from liveroom.messages.commands import SetBannedWords
from liveroom.messages.events import BannedWordsSet
from liveroom.rooms.decision import Decided, Decision, Refusal, Turn
from liveroom.rooms.state import RoomState, WordList
from liveroom.rooms.texts import IGNORABLE, check_line

__all__ = ["MATCHERS_MAX", "banned_words_set", "check_words", "normal", "set_banned_words"]

#: Automata kept in memory; rooms with the same list share one. They are made from the state, never part of it.
MATCHERS_MAX: Final = 1_024

#: What NFKC left uncomposed is decoration: strike-through, enclosing circles, stacked accents.
_dropped = re.compile(f"[{IGNORABLE}\u0300-\u036f\u20d0-\u20f0]")


def set_banned_words(turn: Turn, command: SetBannedWords) -> Decision:
    """Replace the list; words that differ only in dress are kept once."""
    kept: dict[str, str] = {}
    for word in command.words:
        refusal = check_line(word, "words")
        if refusal is not None:
            return refusal
        plain = _plain(word)
        if not plain:
            return Refusal("empty_text", f"the word {word!r} holds nothing to look for", "words")
        kept.setdefault(plain, word)
    words = tuple(kept.values())
    if words == turn.state.banned_words.words:
        return Decided((), {"words": len(words)})
    return Decided((BannedWordsSet(words, turn.sender.user),), {"words": len(words)})


def banned_words_set(state: RoomState, event: BannedWordsSet, seq: int, time_ms: int) -> None:
    """Fold the list."""
    state.banned_words = WordList(event.words, _digest(event.words) if event.words else "")


def check_words(banned: WordList, text: str) -> Refusal | None:
    """Refuse a text that holds a banned word."""
    if not banned.words:
        return None
    for _end, _word in _matcher(banned).iter(normal(text)):
        return Refusal("banned_words", "the text holds a word that is banned in this room", "text")
    return None


def normal(text: str) -> str:
    """A text as it is compared: NFKC, case-folded, without what is drawn as nothing or as decoration."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", _dropped.sub("", unicodedata.normalize("NFKC", text)).casefold())
    return _dropped.sub("", text)


def _plain(word: str) -> str:
    """A banned word as it is looked for: spaces around it were not meant."""
    return normal(word).strip()


@lru_cache(MATCHERS_MAX)
def _matcher(banned: WordList) -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    for word in banned.words:
        automaton.add_word(_plain(word), None)
    automaton.make_automaton()
    return automaton


def _digest(words: tuple[str, ...]) -> str:
    return blake2b("\n".join(words).encode(), digest_size=16).hexdigest()
