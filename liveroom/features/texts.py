"""Checks of texts: a text is shown exactly as written, or refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from liveroom.features.decision import Refusal
from liveroom.messages.text import first_forbidden, is_visible

__all__ = ["check_line", "check_optional", "check_paragraphs", "utc"]

_UTC_MAX_MS: Final = 253_402_300_799_000  # the last second of the year 9999


def check_line(text: str, field: str = "text") -> Refusal | None:
    """The refusal of a line without a visible character or with a forbidden one, else `None`."""
    return _check_characters(text, field) or _check_visible(text, field)


def check_optional(text: str, field: str = "text") -> Refusal | None:
    """The refusal of a text that is neither one line nor empty, else `None`."""
    return check_line(text, field) if text else None


def check_paragraphs(text: str, field: str = "text") -> Refusal | None:
    """The refusal of a text with forbidden characters, else `None`; it may have several lines or be empty."""
    return (_check_characters(text, field, newlines=True) or _check_visible(text, field)) if text else None


def _check_characters(text: str, field: str, *, newlines: bool = False) -> Refusal | None:
    found = first_forbidden(text, newlines=newlines)
    return Refusal("control_characters", f"the text holds U+{ord(found):04X}, which cannot be shown as written", field) if found else None


def _check_visible(text: str, field: str) -> Refusal | None:
    return None if is_visible(text) else Refusal("empty_text", "the text holds nothing that can be seen", field)


def utc(time_ms: int) -> str:
    """A time for people, to the second, in UTC."""
    return datetime.fromtimestamp(min(time_ms, _UTC_MAX_MS) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
