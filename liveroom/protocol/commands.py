"""All commands: requests with imperative names. Each is decided once and gets exactly one reply.

The class of a command is in its feature's messages: `liveroom/features/<name>/messages.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from liveroom.features.registry import FEATURES
from liveroom.messages.base import CommandBase

__all__ = ["COMMANDS", "Command"]

if TYPE_CHECKING:
    Command = CommandBase  # to a type checker a command is any command: the union follows from the list of features
else:
    Command = Union[tuple(command for feature in FEATURES for command in feature.commands)]

#: Name -> class, in the order of the vocabulary.
COMMANDS: dict[str, type[CommandBase]] = {str(c.__struct_config__.tag): c for feature in FEATURES for c in feature.commands}
