"""How much of the machine a process gets beside others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["Prioritize", "come_first", "come_soon", "stand_back"]

#: Gives the process with this id its part of the machine.
Prioritize = Callable[[int], object]

NICE_LEAST: Final = 19
NICE_MOST: Final = -15
REALTIME: Final = 1


def stand_back(pid: int) -> None:
    """Take what others leave."""
    _set_nice(pid, NICE_LEAST)


def come_soon(pid: int) -> bool:
    """Get more of the machine than others, where the system lets us. Gives whether it did."""
    return _set_nice(pid, NICE_MOST)


def come_first(pid: int) -> bool:
    """Wait for nobody else on this machine, where the system lets us. Gives whether it did. Only for those who are idle most of the time."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(thread), os.SCHED_RR, os.sched_param(REALTIME))
    except OSError:  # not root, or a system without it
        return come_soon(pid)
    return True


def _set_nice(pid: int, nice: int) -> bool:
    """Of a process and of its session: Linux shares the machine between sessions first."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    except PermissionError:
        return False
    with contextlib.suppress(OSError):  # a kernel that does not share between sessions has no such file
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")
    return True
