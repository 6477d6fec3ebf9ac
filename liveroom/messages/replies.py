"""Replies to commands: accepted or refused."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Accepted", "FrameBase", "Refused", "Reply", "Result"]

#: The plain values, by name, that come with an accepted command.
Result = dict[str, str | int | bool]


class FrameBase(Struct, frozen=True, omit_defaults=True, tag_field="type", gc=False):
    """The base of all frames."""


class Accepted(FrameBase, frozen=True, tag="accepted"):
    """The command `id` was accepted; its events have seqs below `seq`."""

    id: str
    seq: int
    result: Result = {}


class Refused(FrameBase, frozen=True, tag="refused"):
    """The command `id` was refused and changed nothing; `code` is a refusal code. `id` is empty if the message held no readable id."""

    id: str
    code: str
    detail: str
    seq: int = 0
    field: str = ""
    retry_after_ms: int = 0


#: The one answer to a command.
Reply = Accepted | Refused
