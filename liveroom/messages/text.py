"""The rules for characters: forbidden ones, visible ones, and the cleaning of names.

Every text from outside is checked here: a token's claims, another program's request, a chat line, and text for a terminal.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["IGNORABLE", "clean_name", "cut", "escaped", "first_forbidden", "is_visible"]

#: Unicode's Default_Ignorable_Code_Point: invisible (joiners, selectors, fillers, tags).
IGNORABLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
#: Controls, separators of lines and paragraphs, bidi embeddings, overrides and isolates, deprecated format characters,
#: annotation marks, lone surrogates and noncharacters. They change the look of other text, or have no look.
_FORBIDDEN: Final = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff\ufdd0-\ufdef" + "".join(
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
)
_forbidden = re.compile(f"[{_FORBIDDEN}]")
_forbidden_but_newline = re.compile(f"(?!\n)[{_FORBIDDEN}]")
#: The Braille blank looks like a space, but Unicode does not count it as one.
_visible = re.compile(f"[^\\s\u2800{IGNORABLE}]")

#: Invisible letters; every other letter or digit is visible.
_BLANK_LETTERS: Final = "\u115f\u1160\u3164\uffa0"

_JOINER: Final = "\u200d"
#: Characters that are drawn with the one before them, like combining marks: joiners, skin tones, tags, vowels and finals of Hangul.
_extends = re.compile("[\u200c\u200d\u1160-\u11ff\ud7b0-\ud7fb\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")


def first_forbidden(text: str, *, newlines: bool = False) -> str:
    """The first forbidden character of a text, or an empty text; `newlines` allows newlines."""
    if text.isprintable():  # most texts are, and nothing forbidden is printable
        return ""
    found = (_forbidden_but_newline if newlines else _forbidden).search(text)
    return found.group() if found else ""


def is_visible(text: str) -> bool:
    """Whether the text has a visible character."""
    first = text[:1]
    if first.isalnum() and first not in _BLANK_LETTERS:  # the common case
        return True
    return _visible.search(text) is not None


def clean_name(name: str, chars_max: int, otherwise: str) -> str:
    """The name without forbidden characters and outer spaces, cut to `chars_max`; `otherwise` if nothing visible is left."""
    if not name.isprintable():
        name = _forbidden.sub("", name)
    name = cut(name.strip(), chars_max)
    return name if is_visible(name) else cut(otherwise, chars_max)


def cut(text: str, chars_max: int) -> str:
    """At most `chars_max` characters of the text, never cut inside an emoji sequence, a flag or a letter with its marks.

    A single such sequence that is longer than `chars_max` is cut inside.
    """
    at = chars_max
    while 0 < at < len(text) and _is_drawn_as_one(text, at):
        at -= 1
    return text[: at or chars_max]


def _is_drawn_as_one(text: str, at: int) -> bool:
    """Whether the character at `at` belongs to the one before it."""
    character, before = text[at], text[at - 1]
    if before == _JOINER or _extends.match(character) or unicodedata.category(character)[0] == "M":
        return True
    letters = 0  # regional indicators: a pair of them is one flag
    while "\U0001f1e6" <= text[at - letters : at - letters + 1] <= "\U0001f1ff":
        letters += 1
    return letters % 2 == 0 and letters > 0


def escaped(text: str) -> str:
    r"""The text with every forbidden character as a JSON escape, such as `\u009b`: safe for a terminal, and JSON stays valid."""
    return text if text.isprintable() else _forbidden.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    units = found.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
