"""How much of the machine a process gets beside others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["Prioritize", "lower_priority", "raise_priority", "set_realtime"]

#: Changes the scheduling of the process with this id; gives whether the system allowed it.
Prioritize = Callable[[int], bool]

NICE_LOW: Final = 19
NICE_HIGH: Final = -15
#: The lowest real-time priority is above every process that has none.
REALTIME: Final = 1


def lower_priority(pid: int) -> bool:
    """Give a process what others leave."""
    return _set_nice(pid, NICE_LOW)


def raise_priority(pid: int) -> bool:
    """Give a process more of the machine than others. Only root may. Gives whether the system allowed it."""
    return _set_nice(pid, NICE_HIGH)


def set_realtime(pid: int) -> bool:
    """Let a process wait for no process without real-time priority. Gives whether the system allowed it.

    Everything else on the machine waits for this process: only for a run that has the machine to itself, or may disturb what shares it.
    """
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(thread), os.SCHED_RR, os.sched_param(REALTIME))
    except PermissionError:
        return False
    return True


def _set_nice(pid: int, nice: int) -> bool:
    """Set the nice value of a process and of its session: Linux shares the machine between sessions first."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    except PermissionError:
        return False
    with contextlib.suppress(OSError):  # a kernel that does not share between sessions has no such file
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")
    return True
