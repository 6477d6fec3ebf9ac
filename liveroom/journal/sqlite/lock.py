"""The exclusive lock on a data directory: one process owns it, until that process ends in whatever way."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from liveroom.messages.errors import JournalLocked, JournalUnavailable
from liveroom.process.owner_only import FILE_MODE, make_directory

__all__ = ["LOCK_FILE", "DirectoryLock"]

LOCK_FILE = "journal.lock"


class DirectoryLock:
    """Held from construction to `release`; the file names the process that holds it and is never removed.

    Raises: `JournalLocked` when another process holds it, `JournalUnavailable` when the directory cannot be made or written.
    """

    def __init__(self, data_dir: Path) -> None:
        path = data_dir / LOCK_FILE
        try:
            make_directory(data_dir)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise JournalUnavailable(f"{error.filename}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._file, 20).decode("ascii", "replace").strip()
            os.close(self._file)
            who = f"process {holder}" if holder else "another process"
            raise JournalLocked(f"{data_dir}: is in use by {who}; stop it or choose another data directory (liveroom.data_dir)") from None
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(self._file)
            raise JournalUnavailable(f"{path}: cannot be written: {error.strerror}") from None

    def release(self) -> None:
        """Let others have the directory."""
        os.close(self._file)
