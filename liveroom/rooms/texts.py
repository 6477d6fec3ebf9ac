"""What may be shown: a text goes to everybody exactly as it was written, or it is refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from liveroom.messages.records import Sender
from liveroom.rooms.decision import Refusal

__all__ = ["IGNORABLE", "check_line", "check_optional", "check_paragraphs", "name_of", "utc"]

#: Unicode's Default_Ignorable_Code_Point: drawn as nothing (joiners, selectors, fillers, tags).
IGNORABLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
#: Controls, line and paragraph separators, bidi embeddings, overrides and isolates, deprecated format
#: characters, annotation marks, lone surrogates, noncharacters: they change how other text is drawn, or cannot be drawn.
_FORBIDDEN: Final = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff\ufdd0-\ufdef" + "".join(
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
)
_forbidden = re.compile(f"[{_FORBIDDEN}]")
_forbidden_but_newline = re.compile(f"(?!\n)[{_FORBIDDEN}]")
#: The Braille blank is no space to Unicode, yet it looks like one.
_visible = re.compile(f"[^\\s\u2800{IGNORABLE}]")

#: The letters that are drawn as nothing; every other letter or digit can be seen.
_BLANK_LETTERS: Final = "\u115f\u1160\u3164\uffa0"

_UTC_MAX_MS: Final = 253_402_300_799_000  # the last second of the year 9999


def check_line(text: str, field: str = "text") -> Refusal | None:
    """A line must hold something visible and no forbidden character."""
    return _check_characters(text, field, _forbidden) or _check_visible(text, field)


def check_optional(text: str, field: str = "text") -> Refusal | None:
    """One line, or nothing at all."""
    return check_line(text, field) if text else None


def check_paragraphs(text: str, field: str = "text") -> Refusal | None:
    """Text that may have several lines, or nothing at all."""
    return (_check_characters(text, field, _forbidden_but_newline) or _check_visible(text, field)) if text else None


def _check_characters(text: str, field: str, forbidden: re.Pattern[str]) -> Refusal | None:
    if text.isprintable():  # most texts are, and nothing forbidden is printable
        return None
    found = forbidden.search(text)
    if found is None:
        return None
    return Refusal("control_characters", f"the text holds U+{ord(found.group()):04X}, which cannot be shown as written", field)


def _check_visible(text: str, field: str) -> Refusal | None:
    return None if _is_visible(text) else Refusal("empty_text", "the text holds nothing that can be seen", field)


def _is_visible(text: str) -> bool:
    first = text[:1]
    if first.isalnum() and first not in _BLANK_LETTERS:  # so begin most names and lines
        return True
    return _visible.search(text) is not None


def name_of(sender: Sender) -> str:
    """The sender's name without forbidden characters, or the user id when nothing visible is left."""
    name = sender.name
    if not name.isprintable():
        name = _forbidden.sub("", name)
    return name if _is_visible(name) else sender.user


def utc(time_ms: int) -> str:
    """A time for people, to the second, in UTC."""
    return datetime.fromtimestamp(min(time_ms, _UTC_MAX_MS) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
