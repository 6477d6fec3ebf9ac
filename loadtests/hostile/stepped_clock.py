"""liveroom with a clock that can be stepped: `python -m loadtests.hostile.stepped_clock FILE COMMAND ...`.

FILE holds the offset of the process's wall clock in ms, as a number. It is read many times a second.
No setting of liveroom does any of this.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

from liveroom import cli

__all__ = ["main"]

LOOK_S: Final = 0.05
OFFSET_CHARACTERS: Final = 20

_time_ns = time.time_ns


class _Clock:
    """The wall clock of this process."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDONLY)  # once: there may be no descriptor left later
        self._off_ns = 0
        threading.Thread(target=self._follow, name="stepped-clock", daemon=True).start()

    def time_ns(self) -> int:
        return _time_ns() + self._off_ns

    def time(self) -> float:
        return self.time_ns() / 1e9

    def _follow(self) -> None:
        while True:
            text = os.pread(self._file, OFFSET_CHARACTERS, 0)
            if text:  # else it is being written
                self._off_ns = int(text) * 1_000_000
            time.sleep(LOOK_S)


def main() -> None:
    """Change the clock, then run liveroom."""
    file, *rest = sys.argv[1:]
    clock = _Clock(Path(file))
    time.time_ns = clock.time_ns
    time.time = clock.time
    cli.main(rest)


if __name__ == "__main__":
    main()
