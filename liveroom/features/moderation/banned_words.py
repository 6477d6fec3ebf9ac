"""Banned words: found anywhere in a text, however it is decorated, in one pass for any number of words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Final
from weakref import ref

import ahocorasick

from liveroom.features.decision import Decided, Decision, Refusal, Turn
from liveroom.features.moderation.messages import BannedWordsSet, SetBannedWords
from liveroom.features.moderation.state import WordList, change, of
from liveroom.features.state import RoomState
from liveroom.features.texts import check_line
from liveroom.messages.text import IGNORABLE

__all__ = ["MATCHERS_BYTES_MAX", "WORD_CHARS_MAX", "Matchers", "banned_words_set", "check_words", "normal", "plain", "set_banned_words"]

#: Bytes that all automata of a process may take together: about 80 of the largest lists, or a thousand usual ones.
MATCHERS_BYTES_MAX: Final = 128 * 1024 * 1024
#: Most characters of a normalized word. NFKC makes up to 18 characters of one, so this is checked beside the length that was sent.
WORD_CHARS_MAX: Final = 50
#: Bytes of one state of an automaton. The library takes 43 to 49 (measured); a test compares this with real memory.
STATE_BYTES: Final = 64
#: Bytes of an automaton beside its states.
MATCHER_BYTES: Final = 1_024

#: Marks that NFKC left uncomposed are decoration: strike-through, enclosing circles, stacked accents.
_dropped = re.compile(f"[{IGNORABLE}\u0300-\u036f\u20d0-\u20f0]")


def set_banned_words(turn: Turn, command: SetBannedWords) -> Decision:
    """Replace the list; words that differ only in decoration are kept once."""
    kept: dict[str, str] = {}
    for word in command.words:
        refusal = check_line(word, "words")
        if refusal is not None:
            return refusal
        compared = plain(word)
        if not compared:
            return Refusal("empty_text", f"the word {word!r} has no character that can be found in a text", "words")
        if len(compared) > WORD_CHARS_MAX:
            return Refusal(
                "too_long", f"the word {word!r} has {len(compared)} characters after normalization, at most {WORD_CHARS_MAX} are allowed", "words"
            )
        kept.setdefault(compared, word)
    words = tuple(kept.values())
    if words == of(turn.state).banned_words.words:
        return Decided((), {"words": len(words)})
    return Decided((BannedWordsSet(words, turn.sender.user),), {"words": len(words)})


def banned_words_set(state: RoomState, event: BannedWordsSet, seq: int, time_ms: int) -> None:
    """Fold the list."""
    change(state).banned_words = WordList(event.words, _digest(event.words) if event.words else "")


def check_words(banned: WordList, text: str) -> Refusal | None:
    """Refuse a text that holds a banned word."""
    if not banned.words:
        return None
    for _end, _word in _matchers.find(banned).iter(normal(text)):
        return Refusal("banned_words", "the text holds a word that is banned in this room", "text")
    return None


@lru_cache(maxsize=1)  # a line is compared with banned words, and right afterwards with envelopes' keywords
def normal(text: str) -> str:
    """The normalized form of a text for comparison: NFKC, case-folded, without invisible characters and decoration."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", _dropped.sub("", unicodedata.normalize("NFKC", text)).casefold())
    return _dropped.sub("", text)


def plain(word: str) -> str:
    """The normalized form of a word, without spaces around it."""
    return normal(word).strip()


class _Matcher:
    """The automaton of a list, and the room's list that keeps it alive."""

    __slots__ = ("automaton", "bytes", "owner")

    def __init__(self, words: Iterable[str]) -> None:
        self.automaton = ahocorasick.Automaton()
        for word in words:
            self.automaton.add_word(plain(word), None)
        self.automaton.make_automaton()
        self.bytes = MATCHER_BYTES + STATE_BYTES * self.automaton.get_stats()["nodes_count"]
        self.owner: ref[WordList] | None = None


class Matchers:
    """The automata of rooms' lists. They are made from the state and never part of it.

    Rooms with equal lists share one. An automaton is freed when the list that used it last is gone, so a room
    that sets another list keeps one automaton. If all take more than `bytes_max`, the least recently used one is dropped.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._kept: dict[str, _Matcher] = {}  # by digest; used longest ago first
        self.bytes = 0

    def find(self, banned: WordList) -> ahocorasick.Automaton:
        """The automaton of a list, made on first use."""
        digest = banned.digest
        matcher = self._kept.pop(digest, None)
        if matcher is None:
            matcher = _Matcher(banned.words)
            self.bytes += matcher.bytes
        if matcher.owner is None or matcher.owner() is not banned:
            matcher.owner = ref(banned, lambda owner: self._free(digest, owner))
        self._kept[digest] = matcher
        while self.bytes > self._bytes_max:
            self.bytes -= self._kept.pop(next(iter(self._kept))).bytes
        return matcher.automaton

    def _free(self, digest: str, owner: ref[WordList]) -> None:
        matcher = self._kept.get(digest)
        if matcher is not None and matcher.owner is owner:
            self.bytes -= self._kept.pop(digest).bytes


_matchers = Matchers(MATCHERS_BYTES_MAX)


def _digest(words: tuple[str, ...]) -> str:
    return blake2b("\n".join(words).encode(), digest_size=16).hexdigest()
