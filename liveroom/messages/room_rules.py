"""The settings that a room keeps from its opening on."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["RoomRules"]


class RoomRules(Struct, frozen=True, omit_defaults=True):
    """The settings of a room's chat and audience rules, recorded in an event so that replay never depends on the configuration.

    With `chat_budget_set` the budget is the one that `set_chat_budget` gave, which reopening keeps.
    """

    chat_interval_ms: int
    chat_burst: int
    chat_budget: int
    audience_expiry_ms: int
    chat_budget_set: bool = False
