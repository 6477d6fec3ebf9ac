"""How much of the machine a process gets beside others."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

__all__ = ["STAND_BACK", "STAND_OUT", "set_priority"]

#: For those who must not take what others need.
STAND_BACK: Final = 19
#: For those who must not feel what else the machine does; only root may.
STAND_OUT: Final = -15


def set_priority(pid: int, nice: int) -> bool:
    """Set a process' nice value, and that of its session: Linux shares the machine between sessions first. Gives whether the system let us."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    except PermissionError:
        return False
    with contextlib.suppress(OSError):  # a kernel that does not share between sessions has no such file
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")
    return True
