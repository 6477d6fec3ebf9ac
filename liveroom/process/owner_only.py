"""Files and directories for their owner alone: a journal holds names, codes that are worth money, and seeds before they are public."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["FILE_MODE", "is_open_to_others", "make_directory", "make_owner_only"]

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
#: The permission bits of the group and of everybody else.
OTHERS = 0o077


def make_directory(path: Path) -> None:
    """Make a directory and its parents; an existing one stays unchanged. Raises `OSError`."""
    path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)


def make_owner_only(path: Path) -> bool:
    """Remove a file's permissions for everybody but its owner. Gives whether that was needed. Raises `OSError`."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & OTHERS:
        return False
    os.chmod(path, mode & ~OTHERS)
    return True


def is_open_to_others(directory: Path) -> bool:
    """Whether users outside its group may list a directory, enter it, or change it. Raises `OSError`."""
    return bool(stat.S_IMODE(directory.stat().st_mode) & 0o007)
