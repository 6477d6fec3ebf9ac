"""Lines of commands that print a room's texts."""

from __future__ import annotations

import sys

from liveroom.messages.text import escaped

__all__ = ["write_line"]


def write_line(line: str) -> None:
    """Print a line that may contain users' texts, with control characters escaped so that they cannot affect a terminal."""
    sys.stdout.write(escaped(line) + "\n")
