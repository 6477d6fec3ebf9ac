"""Checks of files before a library opens them, because its errors would name neither the setting nor the file."""

from __future__ import annotations

import os
from pathlib import Path

from liveroom.messages.errors import BadConfig

__all__ = ["check_file"]


def check_file(setting: str, file: str) -> None:
    """Check that a file is a regular one that this user may read; raises `BadConfig`."""
    try:
        is_file = Path(file).is_file()  # opening another kind, such as a pipe, may block forever
    except OSError as error:  # for example below a directory that this user may not search
        raise BadConfig(f"{setting}: {file}: {error.strerror}") from None
    if not is_file:
        raise BadConfig(f"{setting}: {file}: there is no such file")
    if not os.access(file, os.R_OK):
        raise BadConfig(f"{setting}: {file}: this user may not read it")
