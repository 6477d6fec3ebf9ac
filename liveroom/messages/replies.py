"""Replies to commands: accepted or refused."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Accepted", "FrameBase", "Refused", "Result"]

#: Plain values by name, which a reply gives beside yes.
Result = dict[str, str | int | bool]


class FrameBase(Struct, frozen=True, omit_defaults=True, tag_field="type", gc=False):
    """The base of all frames."""


class Accepted(FrameBase, frozen=True, tag="accepted"):
    """The command `id` happened; its events have seqs below `seq`."""

    id: str
    seq: int
    result: Result = {}


class Refused(FrameBase, frozen=True, tag="refused"):
    """The command `id` did not happen; `code` is one of the refusal codes. `id` is empty if none could be read."""

    id: str
    code: str
    detail: str
    seq: int = 0
    field: str = ""
    retry_after_ms: int = 0
