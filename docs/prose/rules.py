"""The rules for a sentence, and how a text is cut into sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["BANNED", "OPENINGS", "SPELLINGS", "WORDS_MAX", "Finding", "Passage", "check", "hidden", "masked"]

#: The most words of a sentence; code in backticks counts as one word.
WORDS_MAX = 30
#: The words that begin no sentence, except a question.
OPENINGS = frozenset({"who", "whoever", "what", "of", "as", "nobody", "none", "those", "whether"})
#: Words and phrases that have a plainer equivalent.
BANNED = ("anew", "whoever", "likewise of", "for so long", "is told", "are told", "stands before", "it is theirs")
#: British spellings and the American ones; a single word also counts at the beginning of a longer one.
SPELLINGS = {
    "acknowledgement": "acknowledgment",
    "behaviour": "behavior",
    "centre": "center",
    "colour": "color",
    "favour": "favor",
    "for ever": "forever",
    "honour": "honor",
    "learnt": "learned",
    "licence": "license",
    "neighbour": "neighbor",
    "towards": "toward",
}

_BANNED = re.compile(r"\b(?:" + "|".join(re.escape(words).replace(r"\ ", r"\s+") for words in BANNED) + r")\b", re.IGNORECASE)
_BRITISH = re.compile(r"\b(?:" + "|".join(words.replace(" ", r"\s+") + (r"\b" if " " in words else "") for words in SPELLINGS) + ")", re.IGNORECASE)
_CODE = re.compile(r"(`+)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s+\"[^\"]*\")?\)")
_URL = re.compile(r"\bhttps?://[^\s)>\]]*[^\s)>\].,;:!?]")
_CLOSERS = r"[\"'”’)\]*_]*"
_OPENERS = r"[\"'“‘(\[*_`]*"
#: A gap between sentences: a line's end or blanks after a full stop. Names such as liveroom begin sentences in lower case, too.
_GAP = re.compile(rf"(?<=[.!?])({_CLOSERS})(?:[ \t]*\n\s*|[ \t]+(?={_OPENERS}[\w\ue000-\uf8ff]))")
_NO_END = re.compile(r"(?:^|[\s(])(?:(?:e\.g|i\.e|vs|cf|approx|etc|p|pp)\.|\.\.\.)$")
_FIRST_WORD = re.compile(rf"\s*{_OPENERS}([A-Za-z]+)(?![\w-])")
_LABEL = re.compile(r"\*\*[^*]+\*\*\s*")
_QUESTION = re.compile(rf"\?{_CLOSERS}\s*$")
#: Characters of code move up by this much, so that no rule sees words or full stops in them.
_MASK = 0xE000


@dataclass(frozen=True, order=True)
class Finding:
    """One place that breaks a rule; `rule` is opening, banned, spelling, length, wrap or subject."""

    path: str
    line: int
    rule: str
    words: str
    hint: str = field(default="", compare=False)

    def __str__(self) -> str:
        """The finding as the command prints it."""
        return f"{self.path}:{self.line}: {self.rule}: {self.hint}: {self.words}"


@dataclass(frozen=True)
class Passage:
    """A paragraph, list item, table cell, docstring paragraph, comment or literal, with the lines that it stands on."""

    lines: tuple[tuple[int, str], ...]
    #: In Markdown every sentence has a line of its own.
    wraps: bool = False
    #: A heading of a table is no sentence, so it may begin with any word.
    sentences: bool = True
    #: The description of a boolean may begin with "Whether".
    boolean: bool = False


@dataclass(frozen=True)
class _Sentence:
    line: int
    text: str
    #: Another sentence follows on the line on which this one ends.
    shares_line: bool


def masked(text: str) -> str:
    """The text without link targets, and with code and addresses turned into one word that no rule looks into."""
    text = _CODE.sub(lambda match: "`" + hidden(match[2]) + "`", text)
    text = _LINK.sub("]", text)
    return _URL.sub(lambda match: hidden(match[0]), text)


def hidden(text: str) -> str:
    """The text as one word that no rule looks into."""
    return "".join(chr(_MASK + ord(c)) if c != "\n" and ord(c) < 0x1000 else c for c in text)


def _shown(text: str) -> str:
    """At most twelve words of a masked text, readable again."""
    words = "".join(chr(ord(c) - _MASK) if _MASK <= ord(c) < _MASK + 0x1000 else c for c in text).split()
    return " ".join(words[:12]) + (" ..." if len(words) > 12 else "")


def _sentences(passage: Passage) -> Iterator[_Sentence]:
    text = masked("\n".join(line for _, line in passage.lines))
    begin = 0
    for gap in _GAP.finditer(text):
        end = gap.end(1)
        if "\n" not in gap[0] and _NO_END.search(text[begin:end]):
            continue
        yield _Sentence(_line(passage, text, begin), text[begin:end], "\n" not in gap[0])
        begin = gap.end()
    if text[begin:].strip():
        yield _Sentence(_line(passage, text, begin), text[begin:], False)


def _line(passage: Passage, text: str, position: int) -> int:
    return passage.lines[text.count("\n", 0, position)][0]


def check(path: str, passage: Passage) -> Iterator[Finding]:
    """Every rule that a passage breaks."""
    for number, sentence in enumerate(_sentences(passage)):
        yield from _check_words(path, passage, sentence)
        if passage.wraps:
            yield from _check_wrap(path, passage, sentence, first=number == 0)


def _check_words(path: str, passage: Passage, sentence: _Sentence) -> Iterator[Finding]:
    first = _FIRST_WORD.match(sentence.text)
    word = first[1].lower() if first and passage.sentences else ""
    if word in OPENINGS and not _QUESTION.search(sentence.text) and not (passage.boolean and word == "whether"):
        yield Finding(path, sentence.line, "opening", _shown(sentence.text), f'no sentence begins with "{word}"')
    for match in _BANNED.finditer(sentence.text):
        line = sentence.line + sentence.text.count("\n", 0, match.start())
        yield Finding(path, line, "banned", _shown(sentence.text[match.start() :]), "has a plainer word")
    for match in _BRITISH.finditer(sentence.text):
        line = sentence.line + sentence.text.count("\n", 0, match.start())
        yield Finding(
            path, line, "spelling", _shown(sentence.text[match.start() :]), f'American English says "{SPELLINGS[" ".join(match[0].lower().split())]}"'
        )
    words = sum(1 for token in sentence.text.split() if any(c.isalnum() or ord(c) >= _MASK for c in token))
    if words > WORDS_MAX:
        yield Finding(path, sentence.line, "length", _shown(sentence.text), f"{words} words, at most {WORDS_MAX}")


def _check_wrap(path: str, passage: Passage, sentence: _Sentence, *, first: bool) -> Iterator[Finding]:
    lines = sentence.text.split("\n")
    for offset, line in enumerate(lines[:-1]):
        if not line.endswith(("  ", "\\")) and not re.search(rf":{_CLOSERS}\s*$", line):
            yield Finding(path, sentence.line + offset, "wrap", _shown(lines[offset + 1]), "the line ends inside a sentence, before")
    if sentence.shares_line and not (first and _LABEL.fullmatch(sentence.text)):
        yield Finding(path, sentence.line + len(lines) - 1, "wrap", _shown(sentence.text), "another sentence follows on the same line")
